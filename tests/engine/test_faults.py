"""What dies in real sweeps, killed for real."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from actrec.study.factors import Factor, Study
from actrec.study.plan import plan
from benchmarks.gate import Gate
from tests.engine.disk import Disk
from tests.engine.swept import TRIALS, Start, check_same, ends, finished_trials, values, wait_for
from tests.engine.watched import processes

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_a_killed_driver_goes_on_to_the_same_result(
    start: Start, gate: Gate, whole: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    gate.close(broken, TRIALS // 3)
    driver = start(broken)
    wait_for("a third of the trials", lambda: finished_trials(broken) >= TRIALS // 3)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    gate.open()
    kept = ends(broken)
    assert TRIALS // 3 <= len(kept) < TRIALS

    again = start(broken)
    _, text = again.communicate()
    assert again.returncode == 0, text
    assert ": 0 decoded now" in text
    check_same(broken, whole)
    assert kept.items() <= ends(broken).items(), "what was done is not done again"


def test_an_interrupt_is_orderly_and_the_same_command_goes_on(
    start: Start, gate: Gate, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    gate.close(out, 1)
    first = start(out)
    wait_for("a trial", lambda: finished_trials(out) >= 1)
    first.send_signal(signal.SIGINT)
    _, text = first.communicate()
    gate.open()
    assert first.returncode == 130, text
    assert "the same command goes on from here" in text
    assert "Traceback" not in text
    assert 1 <= len(values(out)) < TRIALS
    assert (out / "index.html").exists()

    second = start(out)
    _, text = second.communicate()
    assert second.returncode == 0, text
    assert len(values(out)) == TRIALS
    mark = str(tmp_path / "cache")
    wait_for("all of Ray's processes gone", lambda: not processes("ray::", mark), 30)


@pytest.mark.usefixtures("ray_session")
def test_killed_workers_and_trial_actors_cost_nothing_but_time(
    small_study: Callable[..., Study], launch: Callable[..., Any], tmp_path: Path
) -> None:
    weights = Factor("loss.class_weights", levels=("balanced", "sqrt"), baseline="none")
    study = small_study(weights, seeds=(0, 1), optim__epochs=30)
    killed: list[str] = []

    def kill(title: str, after: int) -> None:
        """Kills a process of that title once ``after`` trials are done and it runs."""
        wait_for("trials", lambda: finished_trials(tmp_path / "out") >= after)
        pid = wait_for(title, lambda: ours(title))[0]
        os.kill(pid, signal.SIGKILL)
        killed.append(title)
        wait_for("its end", lambda: pid not in ours(title))

    def ours(title: str) -> list[int]:
        return processes(title, os.environ["ACTREC_TESTS"])

    def killer() -> None:
        kill("ray::RayTrainWorker", 1)
        kill("ray::ResourceTrainable", 2)
        kill("ray::ResourceTrainable", 3)

    def free() -> float:
        return float(ray.available_resources().get("CPU", 0.0))  # type: ignore[no-untyped-call]

    thread = threading.Thread(target=killer)
    thread.start()
    done = launch(study, workers=2, checkpoint_s=0.0)
    thread.join()

    assert len(killed) == 3
    assert done.outcome.ok == len(plan(study)) == 6
    assert set(values(done.out)) == {trial.trial_id for trial in plan(study)}
    wait_for("all CPUs given back", lambda: free() == 2.0, 60)
    groups = ray.util.placement_group_table().values()
    assert {group["state"] for group in groups} == {"REMOVED"}


def test_a_full_disk_stops_the_sweep_and_the_same_command_goes_on(
    start: Start, gate: Gate, whole: Path, small_disk: Callable[[Path, int], Disk], tmp_path: Path
) -> None:
    disk = small_disk(tmp_path / "disk", 64 * 2**20)
    out = disk.folder / "out"
    gate.close(out, TRIALS // 3)
    first = start(out)
    wait_for("a third of the trials", lambda: finished_trials(out) >= TRIALS // 3)
    disk.fill()
    gate.open()
    _, text = first.communicate()
    assert first.returncode == 2, text
    assert re.search(f"error: cannot write .*{out}.*: No space left on device", text)
    assert "Traceback" not in text
    kept = ends(out)
    assert TRIALS // 3 <= len(kept) < TRIALS

    disk.make_room()
    second = start(out)
    _, text = second.communicate()
    assert second.returncode == 0, text
    check_same(out, whole)
    assert kept.items() <= ends(out).items(), "what was done is not done again"

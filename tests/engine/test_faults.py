"""What dies in real sweeps, killed for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from actrec.results.ledger import Ledger
from actrec.study.factors import Factor, Study
from actrec.study.plan import plan
from tests.engine.watched import processes

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
SWEEP = Path(__file__).with_name("sweep.py")
TRIALS = 9
TIMES = ("started", "ended", "seconds", "host")  # the columns that may differ between two runs of a trial


def wait_for(what: str, found: Callable[[], Any], limit_s: float = 240.0) -> Any:
    """Polls until ``found()`` is true; fails the test after ``limit_s``."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {limit_s} s")


def values(out: Path) -> dict[str, dict[str, Any]]:
    """What the trials of a study came to, by trial id; each must be there once."""
    rows = Ledger(out).read("trials").to_pylist()
    assert len({row["trial_id"] for row in rows}) == len(rows)
    return {row["trial_id"]: {k: v for k, v in row.items() if k not in TIMES} for row in rows}


def predictions(out: Path) -> list[dict[str, Any]]:
    rows = Ledger(out).read("predictions").to_pylist()
    return sorted(rows, key=lambda row: (row["trial_id"], row["video_id"]))


@pytest.fixture
def start(manifest_path: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the sweep as a process of its own."""
    running: list[subprocess.Popen[str]] = []

    def go(out: Path, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(SWEEP), "--data", str(manifest_path), "--out", str(out), *more]
        environment = os.environ | {"ACTREC_CACHE": str(tmp_path / "cache")}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield go
    for process in running:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def test_a_study_runs_on_a_cluster_of_several_nodes(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    # One worker of each trial on either node: a node has no room for two.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        study = start(
            tmp_path / "out", "--address", cluster.address, "--workers-per-trial", "2", "--epochs", "2"
        )
        _, text = study.communicate()
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]
    assert study.returncode == 0, text
    assert "1 at a time × 2 workers" in text
    assert {row["status"] for row in values(tmp_path / "out").values()} == {"ok"}
    assert len(values(tmp_path / "out")) == TRIALS
    assert not (tmp_path / "out" / ".ray").exists()


def finished_trials(out: Path) -> int:
    return len(list((out / "parts").glob("[0-9a-f]*")))


def test_a_killed_driver_goes_on_to_the_same_result(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(whole).wait() == 0

    driver = start(broken)
    wait_for("a third of the trials", lambda: finished_trials(broken) >= TRIALS // 3)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    kept = finished_trials(broken)
    assert TRIALS // 3 <= kept < TRIALS

    again = start(broken)
    _, text = again.communicate()
    assert again.returncode == 0, text
    assert ": 0 decoded now" in text
    assert values(broken) == values(whole)
    assert len(values(whole)) == TRIALS
    assert predictions(broken) == predictions(whole)


def test_an_interrupt_is_orderly_and_the_same_command_goes_on(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = start(out)
    wait_for("a trial", lambda: finished_trials(out) >= 1)
    first.send_signal(signal.SIGINT)
    _, text = first.communicate()
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

"""What a long sweep must not pile up, counted: processes, placement groups, object-store bytes, memory."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray

from actrec.engine.cache import cache_root
from actrec.results.ledger import Ledger
from actrec.study.factors import Factor, Study
from tests.engine.disk import Disk
from tests.engine.watched import processes

TRIALS = 200
MEGABYTE = 2**20
STORE = 80 * MEGABYTE  # Ray takes no less
pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@contextmanager
def watching(out: Path) -> Iterator[tuple[set[int], list[tuple[int, int]]]]:
    """The processes that trained meanwhile; and, as trials were done, the bytes that Python's objects took in
    this process. (What the process takes of the system comes and goes by 20 MB, whatever is kept.)"""
    trained: set[int] = set()
    memory: list[tuple[int, int]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):  # a process that is started for one trial lives for seconds
            trained.update(training_processes())
            memory.append((len(list((out / "parts").glob("[0-9a-f]*"))), tracemalloc.get_traced_memory()[0]))

    thread = threading.Thread(target=watch)
    tracemalloc.start()
    thread.start()
    try:
        yield trained, memory
    finally:
        ended.set()
        thread.join()
        tracemalloc.stop()


def training_processes() -> list[int]:
    """Those of this session's Ray, by the titles that Ray gives them."""
    mark = os.environ["ACTREC_TESTS"]
    return processes("ray::ResourceTrainable", mark) + processes("ray::RayTrainWorker", mark)


def stored() -> float:
    """Bytes in the object store."""
    total: float = ray.cluster_resources()["object_store_memory"]  # type: ignore[no-untyped-call]
    free: float = ray.available_resources()["object_store_memory"]  # type: ignore[no-untyped-call]
    return total - free


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("workers", [1, 2])
def test_two_hundred_trials_leave_nothing_behind(
    small_study: Callable[..., Study], launch: Callable[..., Any], tmp_path: Path, workers: int
) -> None:
    # Every other trial fails: its loss is not finite after the first step.
    rates = Factor("optim.lr", levels=(1e30,), baseline=1e-3)
    seeds = tuple(range(TRIALS // 2))
    study = small_study(rates, seeds=seeds, optim__epochs=1, clip__height=8, clip__width=8)
    before = stored()

    with watching(tmp_path / "out") as (trained, memory):
        done = launch(study, workers=workers)

    assert (done.outcome.ok, done.outcome.failed) == (TRIALS // 2, TRIALS // 2)
    # Two trials side by side, or one on two workers beside its supervisor: and none for any later trial.
    assert len(trained) == {1: 2, 2: 3}[workers]
    assert stored() == before
    states = {group["state"] for group in ray.util.placement_group_table().values()}
    assert states == {"REMOVED"}
    # The least of a while: what is garbage already does not count.
    early = min(size for count, size in memory if TRIALS // 4 < count <= TRIALS // 2)
    late = min(size for count, size in memory if count > TRIALS * 3 // 4)
    # Tune keeps 33 kB a trial.
    assert late - early < 60_000 * TRIALS // 2


LARGE = """
import json, sys
from pathlib import Path
import ray
from actrec.data.manifest import Manifest
from actrec.engine.progress import Display
from actrec.engine.run import RunOptions, run_study, with_data
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.factors import Study

path, out, store, stream = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "stream"
spill = sys.argv[5] if len(sys.argv) > 5 else None
spec = TrialSpec(
    clip=ClipSpec(sampling="clips", clips=12, num_frames=16, height=112, width=112),
    model=ModelSpec(name="frame_transformer", width=16, layers=1, attention_heads=2),
    optim=OptimSpec(epochs=1, batch_size=48),
)
manifest = Manifest.read(path)
study = with_data(Study(name="large", base=spec, factors=(), seeds=(0, 1), placebo=False), path, manifest)
store_of = {"object_store_memory": store, "object_spilling_directory": spill}
ray.init("local", num_cpus=2, include_dashboard=False, **store_of)

def peak():  # of this process; ru_maxrss would begin with that of the process that started it
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

before = peak()
outcome = run_study(study, manifest, RunOptions(out=out, stream=stream), Display())
print(json.dumps({"ok": outcome.ok, "grown": peak() - before}))
"""


@pytest.fixture
def run_large(
    manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Runs the script above in a process of its own; returns what it told."""
    monkeypatch.setenv("ACTREC_CACHE", str(tmp_path / "cache"))
    # The script starts Ray itself, which would leave a token in the user's home for every later cluster.
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))

    def run(feed: str, *spill: str) -> dict[str, Any]:
        given = [str(manifest_path), str(tmp_path / "out"), str(STORE), feed, *spill]
        command = [sys.executable, "-c", LARGE, *given]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told

    return run


@pytest.mark.parametrize("feed", ["cache", "stream"])
def test_a_clip_set_of_four_times_the_object_store(
    run_large: Callable[..., dict[str, Any]], feed: str
) -> None:
    told = run_large(feed)
    clips = 48 * 12 * 16 * 112 * 112 * 3
    assert clips > 4 * STORE
    assert told["ok"] == 2
    if feed == "cache":
        kept = sum(path.stat().st_size for path in (cache_root() / "clips").rglob("*.npy"))
        assert kept >= clips
        # Nothing of the clips passes through the driver: most of what it takes is modules imported late.
        assert told["grown"] < clips / 2


def test_a_full_object_store_on_a_full_disk_is_a_failed_row_that_says_so(
    run_large: Callable[..., dict[str, Any]], small_disk: Callable[[Path, int], Disk], tmp_path: Path
) -> None:
    disk = small_disk(tmp_path / "spill", 8 * MEGABYTE)
    assert run_large("stream", str(disk.folder))["ok"] == 0
    rows = Ledger(tmp_path / "out").read("trials").to_pylist()
    assert [row["status"] for row in rows] == ["failed", "failed"]
    assert all("the local object store is full" in row["error"] for row in rows)

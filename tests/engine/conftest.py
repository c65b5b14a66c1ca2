"""A small data set and small studies for the engine's tests: seconds, not minutes."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from actrec.data import clipset, synthetic
from actrec.data.manifest import Manifest
from actrec.engine.cache import ClipKey, clip_keys
from actrec.engine.progress import Display
from actrec.engine.run import Outcome, RunOptions, run_study, with_data
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec, override
from actrec.study.factors import Factor, Study
from actrec.study.plan import Trial, plan
from benchmarks.gate import Gate
from tests.engine.disk import Disk, mount, unmount
from tests.engine.swept import Start, sweep


@pytest.fixture(scope="session")
def manifest_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 real videos."""
    return synthetic.build(tmp_path_factory.mktemp("videos"), videos=48, size=32, frames=(6, 10))


@pytest.fixture(scope="session")
def manifest(manifest_path: Path) -> Manifest:
    return Manifest.read(manifest_path)


@pytest.fixture(scope="session")
def small_study(manifest: Manifest, manifest_path: Path) -> Callable[..., Study]:
    """Makes a study of two epochs on the small set; keyword arguments change its base by path."""

    def make(*factors: Factor, seeds: tuple[int, ...] = (0,), placebo: bool = False, **changes: Any) -> Study:
        base = TrialSpec(
            clip=ClipSpec(sampling="uniform", num_frames=4, height=16, width=16),
            model=ModelSpec(name="frame_transformer", width=16, layers=1, attention_heads=2),
            optim=OptimSpec(epochs=2, batch_size=16),
        )
        base = override(base, {path.replace("__", "."): value for path, value in changes.items()})
        study = Study(name="small", base=base, factors=factors, seeds=seeds, placebo=placebo)
        return with_data(study, str(manifest_path), manifest)

    return make


Planned = tuple[list[Trial], dict[str, ClipKey]]


@pytest.fixture
def planned(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[Study], Planned]:
    """A plan, and its clips, decoded into a cache of the test's own."""
    monkeypatch.setenv("ACTREC_CACHE", str(tmp_path))

    def make(study: Study) -> Planned:
        trials = plan(study)
        keys = clip_keys(manifest, [trial.spec for trial in trials], tmp_path)
        for key in {key.folder: key for key in keys}.values():
            parts = clipset.cut_into_shards(key.videos, key.clip)
            clipset.begin(key.folder, key.clip, {})
            for number, part in enumerate(parts):
                clipset.write_shard(key.folder, number, part, key.clip)
            clipset.finish(key.folder, parts)
        return trials, {trial.trial_id: key for trial, key in zip(trials, keys, strict=True)}

    return make


@dataclasses.dataclass(frozen=True)
class Launched:
    """A study that ran, and what its user saw."""

    outcome: Outcome
    out: Path
    text: str


@pytest.fixture
def launch(manifest: Manifest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Launched]:
    """Runs a study into ``tmp_path/out`` with its own clip cache, ``tmp_path/cache``."""
    monkeypatch.setenv("ACTREC_CACHE", str(tmp_path / "cache"))

    def run(study: Study, **options: Any) -> Launched:
        text = StringIO()
        display = Display(Console(file=text, width=200))
        settings = RunOptions(**{"out": tmp_path / "out", **options})
        outcome = run_study(study, manifest, settings, display)
        return Launched(outcome, settings.out, text.getvalue())

    return run


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path, int], Disk]]:
    """Makes a folder a disk of so many bytes, for the test's duration; see :mod:`tests.engine.disk`."""
    disks: list[Disk] = []

    def make(folder: Path, size: int) -> Disk:
        disks.append(mount(folder, size))
        return disks[-1]

    yield make
    for disk in disks:
        unmount(disk)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """In front of every epoch of what ``start`` starts; open at first."""
    return Gate(tmp_path / "gate")


@pytest.fixture
def start(manifest_path: Path, gate: Gate, tmp_path: Path) -> Iterator[Start]:
    """Starts the sweep of ``sweep.py`` as a process of its own."""
    running: list[subprocess.Popen[str]] = []

    def go(out: Path, *more: str) -> subprocess.Popen[str]:
        command = sweep(manifest_path, out, *more)
        environment = os.environ | gate.environment() | {"ACTREC_CACHE": str(tmp_path / "cache")}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield go
    for process in running:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture(scope="session")
def whole(manifest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that sweep where nothing disturbed it."""
    folder = tmp_path_factory.mktemp("whole")
    command = sweep(manifest_path, folder / "out")
    environment = os.environ | {"ACTREC_CACHE": str(folder / "cache")}
    subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
    return folder / "out"

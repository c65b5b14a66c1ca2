"""What a training worker does with its commands, without Ray."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from actrec.data.clipset import ClipSet
from actrec.data.manifest import Manifest
from actrec.engine.messages import EpochDone, Failure, RunEpoch, TrialResult
from actrec.engine.station import Source, Station
from actrec.engine.worker import Worker
from actrec.errors import WorkerLostError
from actrec.results.ledger import Ledger
from actrec.spec import ModelSpec, TrialSpec, override, trial_id
from actrec.study.factors import Study
from actrec.study.plan import plan
from actrec.training.batch import Batch
from actrec.training.feed import CachedFeed, task_of
from tests.engine.one_trial import clip_set, essence


@pytest.fixture
def clips(manifest: Manifest, small_study: Callable[..., Study], tmp_path: Path) -> ClipSet:
    return clip_set(manifest, small_study().base, tmp_path)


@pytest.fixture
def spec(small_study: Callable[..., Study]) -> TrialSpec:
    return plan(small_study())[0].spec


def command(spec: TrialSpec, clips: ClipSet, manifest: Manifest) -> RunEpoch:
    return RunEpoch(trial_id(spec), spec.to_dict(), clips.folder, manifest.class_names)


def worker(station: Station, clips: ClipSet) -> Worker:
    def open_source(given: RunEpoch) -> Source:
        groups = dict(zip(clips.video_ids, clips.groups, strict=True))
        return Source(CachedFeed(clips), task_of(clips, given.class_names), groups)

    return Worker(station, open_source)


def station(folder: Path, checkpoint_s: float = 1e9) -> Station:
    return Station(folder, Ledger(folder).claim(), checkpoint_s=checkpoint_s)


def train(handler: Worker, given: RunEpoch) -> TrialResult:
    for _ in range(100):
        answer = handler(given)
        assert isinstance(answer, EpochDone), answer
        if answer.result is not None:
            return answer.result
    raise AssertionError("it never ends")


def test_the_eleventh_trial_of_a_worker_is_that_of_a_fresh_process(
    manifest: Manifest, clips: ClipSet, spec: TrialSpec, tmp_path: Path
) -> None:
    # Dropout and augmentation on: whatever draws random numbers takes part.
    spec = override(spec, {"augment": "set2", "model.dropout": 0.3})
    given = command(spec, clips, manifest)
    warm = worker(station(tmp_path), clips)
    for seed in range(10):
        model = "cnn_lstm_2" if seed % 3 == 0 else spec.model.name
        changes = {"seed": seed + 1, "model.name": model, "optim.epochs": 1, "optim.lr": 1e-3 * (seed + 1)}
        if model != spec.model.name:
            changes |= {f"model.{name}": None for name in ("attention_heads", "layers", "width", "motion")}
        train(warm, command(override(spec, changes), clips, manifest))
    alone = subprocess.run(
        [sys.executable, __file__, json.dumps(spec.to_dict()), str(clips.folder), str(tmp_path / "alone")],
        input=json.dumps(manifest.class_names),
        capture_output=True,
        text=True,
        check=True,
    )
    assert essence(train(warm, given)) == alone.stdout.strip()


def test_a_trial_that_diverges_fails_alone(
    manifest: Manifest, clips: ClipSet, spec: TrialSpec, tmp_path: Path
) -> None:
    handler = worker(station(tmp_path), clips)
    bad = handler(command(override(spec, {"optim.lr": 1e35}), clips, manifest))
    assert isinstance(bad, Failure)
    assert bad.error.startswith("diverged: the ")
    assert bad.alike
    assert train(handler, command(spec, clips, manifest)).trial["n_test"] == len(clips.videos("test"))


def test_a_model_that_cannot_take_the_clips_fails_on_every_worker_alike(
    manifest: Manifest, spec: TrialSpec, tmp_path: Path
) -> None:
    tiny = override(
        spec,
        {"model": ModelSpec(name="cnn_lstm_1"), "clip.num_frames": 2, "clip.height": 4, "clip.width": 4},
    )
    clips = clip_set(manifest, tiny, tmp_path)
    failed = worker(station(tmp_path), clips)(command(tiny, clips, manifest))
    assert isinstance(failed, Failure)
    assert failed.error.startswith("cnn_lstm_1 cannot take clips of 2×4×4: ")
    assert failed.alike


def test_any_other_fault_is_a_failure_too_and_may_be_this_workers_alone(
    manifest: Manifest, clips: ClipSet, spec: TrialSpec, tmp_path: Path
) -> None:
    def open_source(given: RunEpoch) -> Source:
        raise KeyError("nobody foresaw this")

    failed = Worker(station(tmp_path), open_source)(command(spec, clips, manifest))
    assert isinstance(failed, Failure)
    place = r"\(actrec/engine/worker\.py:\d+ in _begin\)"  # the last frame of ours
    assert re.fullmatch(f"KeyError: 'nobody foresaw this' {place}", failed.error)
    assert not failed.alike


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lost_gpu_ends_the_worker_not_the_trial(
    manifest: Manifest, clips: ClipSet, spec: TrialSpec, tmp_path: Path, error: RuntimeError
) -> None:
    def open_source(given: RunEpoch) -> Source:
        raise error

    with pytest.raises(WorkerLostError, match=r"GPU is lost to this worker: CUDA error"):
        Worker(station(tmp_path), open_source)(command(spec, clips, manifest))


def test_a_worker_started_anew_goes_on_from_the_checkpoint_to_the_same_result(
    manifest: Manifest, clips: ClipSet, spec: TrialSpec, tmp_path: Path
) -> None:
    given = command(override(spec, {"optim.epochs": 4}), clips, manifest)
    whole = train(worker(station(tmp_path / "whole"), clips), given)
    place = station(tmp_path / "broken", checkpoint_s=0.0)
    first = worker(place, clips)
    for epoch in (1, 2, 3):
        answer = first(given)
        assert isinstance(answer, EpochDone)
        assert answer.epoch == epoch
    again = worker(place, clips)  # the first one is dead
    answer = again(given)
    assert isinstance(answer, EpochDone)
    assert answer.epoch == 4  # one epoch, not four
    assert answer.result is not None
    assert essence(answer.result) == essence(whole)


def test_a_worker_whose_driver_is_gone_writes_no_checkpoint(
    manifest: Manifest, clips: ClipSet, spec: TrialSpec, tmp_path: Path
) -> None:
    stale = station(tmp_path, checkpoint_s=0.0)
    owner = station(tmp_path)
    assert not stale.is_ours()
    assert owner.is_ours()
    worker(stale, clips)(command(spec, clips, manifest))
    assert not stale.checkpoint(trial_id(spec)).exists()


@dataclass
class Beats:
    """A feed that counts the beats of its worker, with a clock that jumps at each batch."""

    feed: CachedFeed
    clock: list[float]
    decoded: int = 0
    undecodable: dict[str, str] = field(default_factory=dict)

    def steps(self, epoch: int, batch_size: int) -> int:
        return self.feed.steps(epoch, batch_size)

    def train(self, seed: int, epoch: int, batch_size: int) -> Iterator[Batch]:
        for batch in self.feed.train(seed, epoch, batch_size):
            self.clock[0] += 10.0
            yield batch

    def evaluate(self, split: str, batch_size: int) -> Iterator[Batch]:
        return self.feed.evaluate(split, batch_size)


@dataclass
class Seen:
    """A feed that keeps what its worker trained on."""

    feed: CachedFeed
    batches: list[Batch] = field(default_factory=list)
    decoded: int = 0
    undecodable: dict[str, str] = field(default_factory=dict)

    def steps(self, epoch: int, batch_size: int) -> int:
        return self.feed.steps(epoch, batch_size)

    def train(self, seed: int, epoch: int, batch_size: int) -> Iterator[Batch]:
        for batch in self.feed.train(seed, epoch, batch_size):
            self.batches.append(batch)
            yield batch

    def evaluate(self, split: str, batch_size: int) -> Iterator[Batch]:
        return self.feed.evaluate(split, batch_size)


def test_arms_of_one_seed_train_on_the_same_batches(
    manifest: Manifest, clips: ClipSet, spec: TrialSpec, tmp_path: Path
) -> None:
    """What makes a difference between arms one of the arms: the pairs of a verdict."""

    def batches(**changes: Any) -> list[tuple[list[str], list[int], int]]:
        feed = Seen(CachedFeed(clips))
        groups = dict(zip(clips.video_ids, clips.groups, strict=True))
        source = Source(feed, task_of(clips, manifest.class_names), groups)
        given = override(spec, {path.replace("__", "."): value for path, value in changes.items()})
        train(Worker(station(tmp_path), lambda _: source), command(given, clips, manifest))
        return [
            (list(batch.video_ids), batch.valid.tolist(), hash(batch.clips.numpy().tobytes()))
            for batch in feed.batches
        ]

    baseline = batches()
    assert len(baseline) == 2 * CachedFeed(clips).steps(0, spec.optim.batch_size)  # two epochs
    assert batches(model__dropout=0.5) == baseline
    assert batches(seed=1) != baseline


@pytest.mark.parametrize("threads", [1, 2])
def test_a_worker_computes_on_the_threads_that_it_was_given(
    clips: ClipSet, tmp_path: Path, threads: int
) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - threads)
        worker(dataclasses.replace(station(tmp_path), threads=threads), clips)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_busy_worker_gives_signs_of_life(
    manifest: Manifest, clips: ClipSet, spec: TrialSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, beats = [0.0], []
    monkeypatch.setattr("actrec.engine.worker.time.monotonic", lambda: clock[0])
    source = Source(
        Beats(CachedFeed(clips), clock),
        task_of(clips, manifest.class_names),
        dict(zip(clips.video_ids, clips.groups, strict=True)),
    )
    handler = Worker(station(tmp_path), lambda given: source, beat=lambda: beats.append(clock[0]))
    handler(command(spec, clips, manifest))
    assert len(beats) == source.feed.steps(0, spec.optim.batch_size)


if __name__ == "__main__":  # a fresh process, for the comparison with a warm worker
    given_spec = TrialSpec.from_dict(json.loads(sys.argv[1]))
    opened = ClipSet.open(Path(sys.argv[2]))
    names = tuple(json.loads(sys.stdin.read()))
    fresh = worker(station(Path(sys.argv[3])), opened)
    print(essence(train(fresh, RunEpoch(trial_id(given_spec), given_spec.to_dict(), opened.folder, names))))

"""What a training worker does when it is told to train an epoch. No Ray in here.

A worker holds at most one trial. It builds it, or takes it up from its checkpoint, when it is first asked for
an epoch of it, so a worker that was started anew in the middle of a trial needs to be told nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import actrec
from actrec.engine.embeddings import Rows, rows_of
from actrec.errors import ActrecError, DivergedError, ModelError, SpecError, WorkerLostError
from actrec.results.ledger import Ledger
from actrec.spec import TrialSpec
from actrec.training.batch import Batch
from actrec.training.feed import Feed
from actrec.training.learner import PLAIN, Modes
from actrec.training.tally import Tally
from actrec.training.task import Task
from actrec.training.trial import TrialRun

BEAT_S = 5.0
_OURS = Path(actrec.__file__).parent


@dataclass(frozen=True, slots=True)
class Failure:
    """The answer that says: this trial failed through its own fault.

    ``alike`` tells that every worker of the trial fails in the same way at the same point, so that none is
    left waiting for another and the group stays sound.
    """

    error: str
    alike: bool = True


@dataclass(frozen=True, slots=True)
class RunEpoch:
    """The command: train one more epoch of this trial, and test it if that was its last.

    ``clips`` is the folder of its clip set; ``splits`` those of its fold, video id → split, where it has one;
    ``features`` the folder of what its frozen prefix makes of the clips, if it trains on that; ``embed`` asks
    for what its head gets of the test videos.
    """

    trial_id: str
    spec: Mapping[str, Any]
    clips: Path
    class_names: tuple[str, ...]
    splits: Mapping[str, str] = field(default_factory=dict)
    features: Path | None = None
    embed: bool = False


@dataclass(frozen=True, slots=True)
class TrialResult:
    """All that a finished trial leaves, as rows of the ledger's tables, beside what the plan knows of it."""

    trial: Mapping[str, Any]
    epochs: tuple[Mapping[str, Any], ...]
    predictions: tuple[Mapping[str, Any], ...]
    embeddings: Rows = ()


@dataclass(frozen=True, slots=True)
class EpochDone:
    """The answer.

    Attributes:
        epoch, epochs: how many are done of how many.
        clips: how many the last one trained on.
        decoded: videos that were decoded for this step on this worker; 0 where the clip cache feeds it.
        undecodable: those of the trial that did not decode, video id → reason.
        val: validation metrics of the last.
        result: if it was the last.
    """

    epoch: int
    epochs: int
    clips: int
    decoded: int
    undecodable: Mapping[str, str]
    val: Mapping[str, float]
    result: TrialResult | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a trial's batches come from on one worker, and the group of each of its test videos.

    Attributes:
        first: the stage of the model that the batches go to: 0, or what comes after a shared prefix.
        prefix: the key of that.
    """

    feed: Feed
    task: Task
    groups: Mapping[str, str]
    first: int = 0
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Station:
    """What every worker of a study is given.

    Attributes:
        folder: of the study; checkpoints go to ``checkpoints/<trial_id>`` in it.
        token: of the driver that owns the folder. A driver that was killed leaves workers behind for some
            seconds; what they still write is dropped.
        threads: intra-op threads.
        checkpoint_s: least seconds between two checkpoints of a trial. What is lost is trained again, to
            the same values.
    """

    folder: Path
    token: str
    threads: int = 1
    checkpoint_s: float = 10.0
    modes: Modes = PLAIN

    def checkpoint(self, trial_id: str) -> Path:
        return self.folder / "checkpoints" / trial_id

    def is_ours(self) -> bool:
        return Ledger(self.folder).owner() == self.token


class Worker:
    """Handles commands on one worker.

    Args:
        open_source: makes a command's source.
        beat: tells that this worker is alive.
    """

    def __init__(
        self,
        station: Station,
        open_source: Callable[[RunEpoch], Source],
        *,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        torch.set_num_threads(station.threads)
        self._station, self._open_source, self._beat = station, open_source, beat
        self._rank, self._world_size, self._device = rank, world_size, torch.device(device)
        self._current: _Current | None = None
        self._beaten = time.monotonic()

    def __call__(self, command: RunEpoch) -> EpochDone | Failure:
        """Does one command.

        Raises:
            WorkerLostError: if another worker of the group died meanwhile, or this one can no longer use its
                GPU. The trial is not to blame.
        """
        answer: EpochDone | Failure
        try:
            answer = self._epoch(command)
        except Exception as error:  # whatever else it is, it is this trial's own and must not cost the others
            if self._world_size > 1 and _lost_peer(error):
                raise WorkerLostError(f"another worker of the group is gone: {error}") from error
            if _lost_device(error):
                raise WorkerLostError(f"the GPU is lost to this worker: {error}") from error
            answer = _failure(error)
        # Not before the error is gone: its traceback holds on to the trial's tensors.
        if isinstance(answer, Failure) or answer.result is not None:
            self._drop()
        return answer

    def _epoch(self, command: RunEpoch) -> EpochDone:
        if self._current is None or self._current.trial_id != command.trial_id:
            self._drop()  # the last trial's memory first
            self._current = self._begin(command)
        current = self._current
        run, feed, size = current.run, current.source.feed, current.run.spec.optim.batch_size
        decoded = feed.decoded
        if not run.finished:
            seed, epoch = run.spec.seed, run.epoch
            batches = self._alive(feed.train(seed, epoch, size))
            run.train_epoch(batches, steps=feed.steps(epoch, size))
            run.finish_epoch(run.evaluate(self._alive(feed.evaluate("val", size))))
        result = None
        if run.finished:
            run.restore_best()
            result = _result(current, run.evaluate(self._alive(feed.evaluate("test", size))))
            if command.embed:
                embedded = run.embed(self._alive(feed.evaluate("test", size)))
                result = dataclasses.replace(result, embeddings=rows_of(embedded))
        else:
            self._save(current)
        last = run.history[-1]
        return EpochDone(
            epoch=run.epoch,
            epochs=run.spec.optim.epochs,
            clips=last.train.clips,
            decoded=feed.decoded - decoded,
            undecodable=dict(feed.undecodable),
            val=last.val,
            result=result,
        )

    def _begin(self, command: RunEpoch) -> _Current:
        source = self._open_source(command)
        run = TrialRun(
            TrialSpec.from_dict(command.spec),
            source.task,
            device=self._device,
            rank=self._rank,
            world_size=self._world_size,
            first=source.first,
            modes=self._station.modes,
        )
        run.load(self._station.checkpoint(command.trial_id))
        return _Current(command.trial_id, run, source, started=time.time(), saved=time.monotonic())

    def _drop(self) -> None:
        """Forgets the trial, and gives its memory back."""
        self._current = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _save(self, current: _Current) -> None:
        if self._rank or time.monotonic() - current.saved < self._station.checkpoint_s:
            return
        if self._station.is_ours():
            with contextlib.suppress(OSError):  # a full disk must not cost a trial that only wants to train
                current.run.save(self._station.checkpoint(current.trial_id))
        current.saved = time.monotonic()

    def _alive(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            if time.monotonic() - self._beaten > BEAT_S:
                self._beat()
                self._beaten = time.monotonic()
            yield batch


def _lost_peer(error: Exception) -> bool:
    """Whether a collective operation broke because another worker ended.

    Gloo says so with a plain RuntimeError, which names its own source files.
    """
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def _lost_device(error: Exception) -> bool:
    """Whether a CUDA call failed in a way that leaves the process without its GPU; out of memory does not."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    )


def _failure(error: Exception) -> Failure:
    """What is told of a trial's fault, in one line. One that nobody foresaw names the place in our code."""
    if isinstance(error, DivergedError):
        message = f"diverged: {error}"
    elif isinstance(error, ActrecError):
        message = str(error)
    else:
        frames = traceback.extract_tb(error.__traceback__)
        last = [frame for frame in frames if Path(frame.filename).is_relative_to(_OURS)][-1]
        place = f"{Path(last.filename).relative_to(_OURS.parent)}:{last.lineno} in {last.name}"
        message = f"{type(error).__name__}: {error} ({place})"
    return Failure(" ".join(message.split()), alike=isinstance(error, (DivergedError, SpecError, ModelError)))


@dataclass(slots=True)
class _Current:
    """The trial that a worker holds."""

    trial_id: str
    run: TrialRun
    source: Source
    started: float
    saved: float


def _result(current: _Current, test: Tally) -> TrialResult:
    run = current.run
    # What was selected, on validation: the best epoch under early stopping, else the last.
    chosen = run.history[(run.best_epoch if run.spec.optim.patience else run.epoch) - 1]
    trial = {
        "epochs": run.epoch,
        "best_epoch": run.best_epoch,
        **{f"test_{name}": value for name, value in test.metrics().items()},
        "val_top1": chosen.val["top1"],
        "n_test": len(test),
        "trainable_params": sum(value.numel() for value in run.model.parameters() if value.requires_grad),
        "fingerprint": run.fingerprint(),
        "clips_trained": sum(stats.train.clips for stats in run.history),
        "seconds": time.time() - current.started,
        "host": platform.node(),
        "shared_stages": current.source.first,
        "prefix": current.source.prefix,
    }
    epochs = [
        {"epoch": stats.epoch, "split": split, "metric": name, "value": value}
        for stats in run.history
        for split, values in (
            ("train", {"loss": stats.train.loss, "top1": stats.train.top1, "lr": stats.train.lr}),
            ("val", stats.val),
        )
        for name, value in values.items()
    ]
    groups = current.source.groups
    predictions = [
        {
            "video_id": video_id,
            "group": groups[video_id],
            "fold": run.spec.data.fold,
            "label": label,
            "scores": scores,
        }
        for video_id, label, scores in test.rows()
    ]
    return TrialResult(trial, tuple(epochs), tuple(predictions))

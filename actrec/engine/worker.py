"""What a training worker does when it is told to train an epoch. No Ray in here.

A worker holds at most one trial. It builds it, or takes it up from its checkpoint, when it is first asked for
an epoch of it, so a worker that was started anew in the middle of a trial needs to be told nothing else.
"""

from __future__ import annotations

import dataclasses
import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from actrec import files
from actrec.engine import faults, halving, watchdog
from actrec.engine.embeddings import Rows, rows_of
from actrec.errors import DivergedError, ModelError, SpecError, WorkerLostError
from actrec.results.ledger import Ledger
from actrec.results.schema import OK, PRUNED
from actrec.spec import TrialSpec, override
from actrec.training import distributed
from actrec.training.batch import Batch
from actrec.training.feed import Feed
from actrec.training.learner import PLAIN, Modes
from actrec.training.tally import Tally
from actrec.training.task import EpochStats, Task
from actrec.training.trial import TrialRun

BEAT_S = 5.0
STALL_S = 1800.0
KEPT = "kept"  # the folder of last states


@dataclass(frozen=True, slots=True)
class Failure:
    """The answer that says: this trial failed through its own fault.

    ``alike`` tells that every worker of the trial fails in the same way at the same point, so that none is
    left waiting for another and the group stays sound. ``out_of_memory`` tells that a smaller batch may do.
    """

    error: str
    alike: bool = True
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class RunEpoch:
    """The command: train one more epoch of this trial, and test it if that was its last.

    ``clips`` is the folder of its clip set; ``splits`` those of its fold, video id → split, where it has one;
    ``features`` the folder of what its frozen prefix makes of the clips, if it trains on that; ``embed`` asks
    for what its head gets of the test videos. ``cutoffs`` has the validation top-1 that the best epoch must
    have reached by some epochs, or the trial is stopped there; a stopped one is not tested. ``keep`` asks for
    the trial's last state, from which others go on.
    """

    trial_id: str
    spec: Mapping[str, Any]
    clips: Path
    class_names: tuple[str, ...]
    splits: Mapping[str, str] = field(default_factory=dict)
    features: Path | None = None
    embed: bool = False
    cutoffs: Mapping[int, float] = field(default_factory=dict)
    keep: bool = False


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
        metrics: of the last, such as ``train/loss`` and ``val/top1``.
        result: if it was the last.
        notes: what went otherwise than asked, in sentences for the user.
    """

    epoch: int
    epochs: int
    clips: int
    decoded: int
    undecodable: Mapping[str, str]
    metrics: Mapping[str, float]
    result: TrialResult | None = None
    notes: tuple[str, ...] = ()


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
        folder: of the study; checkpoints go to ``checkpoints/<trial_id>`` in it, last states to
            ``kept/<trial_id>``.
        token: of the driver that owns the folder. A driver that was killed leaves workers behind for some
            seconds; what they still write is dropped.
        threads: intra-op threads.
        checkpoint_s: least seconds between two checkpoints of a trial. What is lost is trained again, to
            the same values.
        stall_s: seconds without a sign of life after which a worker is taken to hang, and ended. More than
            the longest that a batch may take, the first with what is built for it.
        halve_batch: a trial that runs out of memory is begun anew with half its batch size, again and
            again down to 1.
    """

    folder: Path
    token: str
    threads: int = 1
    checkpoint_s: float = 10.0
    modes: Modes = PLAIN
    stall_s: float = STALL_S
    halve_batch: bool = False

    def checkpoint(self, trial_id: str) -> Path:
        return self.folder / "checkpoints" / trial_id

    def kept(self, trial_id: str) -> Path:
        return self.folder / KEPT / trial_id

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
                GPU, or all must begin the trial anew together. The trial is not to blame.
        """
        with watchdog.watching(self._station.stall_s):
            answer = self._attempt(command)
            while isinstance(answer, Failure) and answer.out_of_memory and self._halve():
                self._drop()
                if self._world_size > 1:  # the others may be anywhere: the group is started anew
                    raise WorkerLostError(f"{answer.error}: the trial is begun anew with half of it")
                answer = self._attempt(command)
        # Not before the error is gone: its traceback holds on to the trial's tensors.
        if isinstance(answer, Failure) or answer.result is not None:
            self._drop()
        return answer

    def _attempt(self, command: RunEpoch) -> EpochDone | Failure:
        try:
            return self._epoch(command)
        except Exception as error:  # whatever else it is, it is this trial's own and must not cost the others
            if self._world_size > 1 and faults.lost_peer(error):
                raise WorkerLostError(f"another worker of the group is gone: {error}") from error
            if faults.lost_device(error):
                raise WorkerLostError(f"the GPU is lost to this worker: {error}") from error
            memory = faults.out_of_memory(error)
            size = self._current.run.spec.optim.batch_size if self._current is not None else None
            message = faults.told(error, batch_size=size)
            if memory and size and not self._station.halve_batch:
                message += "; --halve-batch would begin such a trial anew with half its batch size"
            return Failure(message, isinstance(error, (DivergedError, SpecError, ModelError)), memory)

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
        if _stopped(run, command.cutoffs):
            result = _result(current, None)
        elif run.finished:
            if command.keep and self._station.is_ours():
                run.save(self._station.kept(command.trial_id))
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
            metrics={f"{split}/{name}": value for split, name, value in _measured(last)},
            result=result,
            notes=current.told(),
        )

    def _begin(self, command: RunEpoch) -> _Current:
        source = self._open_source(command)
        spec = TrialSpec.from_dict(command.spec)
        place, notes = self._station.checkpoint(command.trial_id), []
        if self._station.halve_batch:
            full = spec.optim.batch_size
            size = distributed.from_first(lambda: halving.current(place, full), self._rank, self._world_size)
            if size < full:
                spec = override(spec, {"optim.batch_size": size})
                place = halving.place_of(place, size)
                notes.append(f"trial {command.trial_id} ran out of memory: its batch size is now {size}")
        run = TrialRun(
            spec,
            source.task,
            device=self._device,
            rank=self._rank,
            world_size=self._world_size,
            first=source.first,
            modes=self._station.modes,
        )
        notes += [f"trial {command.trial_id}: checkpoint passed over: {why}" for why in run.load(place)]
        if spec.start and not run.epoch:
            kept = self._station.kept(spec.start)
            notes += [f"trial {command.trial_id}: state passed over: {why}" for why in run.take_over(kept)]
        now = time.monotonic()
        began = now - run.seconds
        return _Current(command.trial_id, run, source, place, started=began, saved=now, notes=notes)

    def _halve(self) -> bool:
        """Whether the trial is to be begun anew with half the batch size that it had."""
        current, station = self._current, self._station
        if current is None or not station.halve_batch or not station.is_ours():
            return False
        return halving.halve(station.checkpoint(current.trial_id), current.run.spec.optim.batch_size)

    def _drop(self) -> None:
        """Forgets the trial, and gives its memory back."""
        self._current = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _save(self, current: _Current) -> None:
        if self._rank or time.monotonic() - current.saved < self._station.checkpoint_s:
            return
        if self._station.is_ours():
            current.run.seconds = time.monotonic() - current.started
            try:
                current.run.save(current.place)
            except OSError as error:  # a full disk must not cost a trial that only wants to train
                where = self._station.folder / "checkpoints"
                current.notes.append(
                    f"no checkpoint can be written to {where}: {files.reason(error)}; trials go on, but one "
                    "that is interrupted loses what it trained since its last checkpoint"
                )
        current.saved = time.monotonic()

    def _alive(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            if time.monotonic() - self._beaten > min(BEAT_S, self._station.stall_s / 4):
                self._beat()
                watchdog.alive(self._station.stall_s)
                self._beaten = time.monotonic()
            yield batch


@dataclass(slots=True)
class _Current:
    """The trial that a worker holds.

    Attributes:
        place: where its checkpoints go.
        started, saved: when it was begun, were it here and without a stop, and last saved; by a clock that
            nobody sets.
        notes: what is still to be told of it.
    """

    trial_id: str
    run: TrialRun
    source: Source
    place: Path
    started: float
    saved: float
    notes: list[str]

    def told(self) -> tuple[str, ...]:
        """The notes, once."""
        notes, self.notes = tuple(self.notes), []
        return notes


def _stopped(run: TrialRun, cutoffs: Mapping[int, float]) -> bool:
    """Whether a search stops the trial here. Every worker of it says the same."""
    best = max(stats.val["top1"] for stats in run.history)
    return best < cutoffs.get(run.epoch, -math.inf) and not run.finished


def _measured(stats: EpochStats) -> Iterator[tuple[str, str, float]]:
    """Split, metric and value of an epoch."""
    train = {"loss": stats.train.loss, "top1": stats.train.top1, "lr": stats.train.lr}
    for split, values in (("train", train), ("val", stats.val)):
        for name, value in values.items():
            yield split, name, value


def _result(current: _Current, test: Tally | None) -> TrialResult:
    """What a trial leaves; one that was stopped has no ``test``."""
    run = current.run
    # What was selected, on validation: the best epoch under early stopping, else the last.
    chosen = run.history[(run.best_epoch if run.spec.optim.patience else run.epoch) - 1]
    tested = {} if test is None else {f"test_{name}": value for name, value in test.metrics().items()}
    trial = {
        "status": PRUNED if test is None else OK,
        "epochs": run.epoch,
        "best_epoch": run.best_epoch,
        **tested,
        "val_top1": chosen.val["top1"],
        "n_test": len(test) if test is not None else None,
        "trainable_params": sum(value.numel() for value in run.model.parameters() if value.requires_grad),
        "fingerprint": run.fingerprint(),
        "batch_size": run.spec.optim.batch_size,
        "clips_trained": sum(stats.train.clips for stats in run.history[run.inherited :]),
        "seconds": time.monotonic() - current.started,
        "host": platform.node(),
        "shared_stages": current.source.first,
        "prefix": current.source.prefix,
    }
    epochs = [
        {"epoch": stats.epoch, "split": split, "metric": name, "value": value}
        for stats in run.history
        for split, name, value in _measured(stats)
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
        for video_id, label, scores in (() if test is None else test.rows())
    ]
    return TrialResult(trial, tuple(epochs), tuple(predictions))

"""What a training worker does when it is told to train an epoch. No Ray in here.

A worker holds at most one trial. It builds it, or takes it up from its checkpoint, when it is first asked for
an epoch of it, so a worker that was started anew in the middle of a trial needs to be told nothing else.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

import torch

from actrec import files
from actrec.engine import faults, halving, watchdog
from actrec.engine.embeddings import rows_of
from actrec.engine.energy import UNTOLD, Meter
from actrec.engine.held import Held, measured, result_of, stopped
from actrec.engine.messages import EpochDone, Failure, RunEpoch
from actrec.engine.station import Source, Station
from actrec.errors import DataError, DivergedError, ModelError, SpecError, WorkerLostError
from actrec.spec import TrialSpec, override
from actrec.study.plan import rehearse
from actrec.training import distributed
from actrec.training.batch import Batch
from actrec.training.feed import Feed
from actrec.training.trial import TrialRun

BEAT_S = 5.0


class Worker:
    """Handles commands on one worker.

    Args:
        open_source: makes a command's source.
        beat: tells that this worker is alive.
        meter: of what its device takes; None: that is not told.
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
        meter: Meter | None = None,
    ) -> None:
        torch.set_num_threads(station.threads)
        self._station, self._open_source, self._beat = station, open_source, beat
        self._rank, self._world_size, self._device = rank, world_size, torch.device(device)
        self._meter = meter or Meter([UNTOLD])
        self._current: Held | None = None
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
        self._count(run)
        result = None
        if stopped(run, command.cutoffs):
            result = result_of(current, None)
        elif run.finished:
            if command.keep and self._station.is_ours():
                run.save(self._station.kept(command.trial_id))
            run.restore_best()
            test = run.evaluate(self._alive(feed.evaluate("test", size)))
            self._count(run)
            result = result_of(current, test)
            if command.embed and (shown := self._shown(current)):
                embedded = run.embed(self._alive(shown.evaluate("test", size)))
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
            metrics={f"{split}/{name}": value for split, name, value in measured(last)},
            result=result,
            notes=current.told(),
        )

    def _shown(self, current: Held) -> Feed | None:
        """What a trial's test videos are embedded from; None on all workers if one cannot open it."""
        source = current.source
        if source.sample is None:
            return source.feed
        shown = None
        try:
            shown = source.sample()
        except DataError as error:  # a map of the videos is less than a trial
            current.notes.append(f"the report cannot map the test videos of every trial: {error}")
        missing = torch.tensor(float(shown is None), device=self._device)
        return None if distributed.add_up(missing, self._world_size).item() else shown

    def _begin(self, command: RunEpoch) -> Held:
        spec = TrialSpec.from_dict(command.spec)
        rehearse(spec)  # what cannot be built is refused by every worker of the trial alike
        source = self._open_source(command)
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
        self._meter.lap()  # what was taken before is not the trial's
        now = time.monotonic()
        began = now - run.seconds
        return Held(command.trial_id, run, source, place, started=began, saved=now, notes=notes)

    def _count(self, run: TrialRun) -> None:
        """Adds to the trial's energy what the devices of all its workers took since the last time."""
        taken = torch.tensor(self._meter.lap(), dtype=torch.float64, device=self._device)
        run.joules += distributed.add_up(taken, self._world_size).item()

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

    def _save(self, current: Held) -> None:
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
                self._meter.poll()
                watchdog.alive(self._station.stall_s)
                self._beaten = time.monotonic()
            yield batch

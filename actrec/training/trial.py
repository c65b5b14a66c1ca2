"""One trial in plain torch: steppable, restorable, and the same whatever ran before it in its process.

::

    run = TrialRun(spec, task)
    run.load(folder)                                   # goes on from the newest sound checkpoint, if any
    while not run.finished:
        run.train_epoch(training_batches, steps=len(training_batches))
        run.finish_epoch(run.evaluate(validation_batches))
        run.save(folder)
    run.restore_best()
    test = run.evaluate(test_batches)

Generators are made anew for each purpose and epoch, so a checkpoint holds no random state. Dropout alone
can only draw from torch's global generator, which is therefore seeded at the start of every epoch; so is
it before the weights are made. The number of threads is the caller's to fix.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from actrec.data.augment import build_augment
from actrec.data.clips import clips_per_video
from actrec.errors import DivergedError, TrialError
from actrec.models.zoo import find
from actrec.seeding import derive, torch_rng
from actrec.spec import TrialSpec, trial_id
from actrec.training import checkpoint, distributed, fingerprint
from actrec.training.batch import Batch
from actrec.training.evaluate import embed, score
from actrec.training.learner import PLAIN, Learner, Modes, check_finite
from actrec.training.losses import class_weights
from actrec.training.optim import lr_factor
from actrec.training.tally import Tally
from actrec.training.task import EpochStats, Task, TrainStats


class TrialRun:
    """One trial on one worker, or one worker's part of a trial that several share.

    With ``world_size`` > 1 every worker makes its own ``TrialRun`` inside an initialised process group and
    calls the same methods in the same order with its part of each batch. Then every worker holds the same
    weights, history and tallies. Running statistics of batch normalisation are each worker's own within an
    epoch and averaged at its end.

    Args:
        first: the stage that batches go to. If it is not 0, they hold what the stages before it, all of them
            frozen, made of the clips; see :mod:`actrec.training.prefix`.

    Attributes:
        epoch: how many epochs are done.
        history: one entry for each.
        inherited: how many of them are those of the trial that it goes on from (``spec.start``).
        best_epoch: the one with the lowest validation loss; 0 before the first.
        seconds, joules: of work, as far as whoever runs the trial says; its checkpoints keep them. Joules are
            nan where its devices do not tell.
        model: the network, float32 (B, 3, T, H, W) → logits (B, K).

    Raises:
        SpecError, ModelError: if the model cannot be built or frozen as asked.
        TrialError: if ``world_size`` > 1 and there is no such process group.
    """

    def __init__(
        self,
        spec: TrialSpec,
        task: Task,
        *,
        device: str | torch.device = "cpu",
        rank: int = 0,
        world_size: int = 1,
        first: int = 0,
        modes: Modes = PLAIN,
    ) -> None:
        self.spec, self.task = spec, task
        self.device, self.rank, self.world_size = torch.device(device), rank, world_size
        self.epoch = 0
        self.history: list[EpochStats] = []
        self.best_epoch = 0
        self.inherited = 0

        card = find(spec.model.name)
        self._learner = Learner(spec, task, card, self.device, world_size, first=first, modes=modes)
        self.model: nn.Module = self._learner.model
        self._augment, self._prepare = (
            _as_it_is if first else build_augment(spec.augment, mean=card.mean, std=card.std, train=train)
            for train in (True, False)
        )
        self.seconds, self.joules = 0.0, 0.0
        self._trained: TrainStats | None = None
        self._best: dict[str, Tensor] = {}
        self._fingerprint = ""

    @property
    def finished(self) -> bool:
        """All epochs are done, or ``patience`` of them passed without a better validation loss."""
        optim = self.spec.optim
        stale = optim.patience > 0 and self.epoch - self.best_epoch >= optim.patience
        return self.epoch >= optim.epochs or stale

    def train_epoch(self, batches: Iterable[Batch], *, steps: int) -> TrainStats:
        """One pass over the training clips, in the order given.

        The schedule counts ``steps`` batches an epoch; should there be more, as a stream may have, the rest
        are trained on at the rate of the last.

        Raises:
            DivergedError: if the loss is not finite, on every worker alike. On a CPU at that step; on a GPU,
                which is not made to wait for the loss of each step, at the end of the epoch.
            TrialError: if there is no batch.
        """
        assert not self.finished
        assert self._trained is None
        assert self.epoch or not self.spec.start, "what it goes on from was not taken over"
        started = time.perf_counter()
        # On the CPU, whatever the device: a trial sees the same draws everywhere.
        augment_rng = torch_rng(self.spec.seed, "augment", self.epoch, self.rank)
        torch.manual_seed(derive(self.spec.seed, "dropout", self.epoch, self.rank))
        self._learner.train_mode()
        rows: list[Tensor] = []
        video_ids: list[Sequence[str]] = []
        sums: list[Tensor] = []
        for batch in batches:
            real = batch.without_padding()
            # A worker without a clip of its own still takes part in the step, with one that weighs nothing.
            present = float(len(real) > 0)
            real = real if present else batch.rows(torch.tensor([0]))
            inputs = self._augment(real.clips.to(self.device, non_blocking=True), augment_rng)
            labels = real.labels.to(self.device, non_blocking=True)
            if self.epoch == self.inherited and not rows:
                self._begin(inputs, labels, steps)
            video_ids.append(real.video_ids)
            of_clips = fingerprint.pixel_sums(inputs) if real.sums is None else real.sums
            sums.append(fingerprint.batch_sum(of_clips))
            rows.append(self._learner.step(inputs, labels, present, self._lr(len(rows), steps)))
            if self.device.type == "cpu":
                check_finite(rows[-1:], self.epoch + 1, first_step=len(rows))
        if not rows:
            raise TrialError(f"epoch {self.epoch + 1} has no training batch")
        check_finite(rows, self.epoch + 1)
        self._learner.average_statistics()
        self._fingerprint = fingerprint.extend(self._fingerprint, video_ids, torch.stack(sums).tolist())
        loss, weight, hits, clips = torch.stack(rows).sum(dim=0).tolist()
        seconds, lr = time.perf_counter() - started, self._lr(len(rows) - 1, steps)
        self._trained = TrainStats(loss / weight, hits / clips, lr, int(clips), seconds)
        return self._trained

    def evaluate(self, batches: Iterable[Batch]) -> Tally:
        """Scores every clip once and returns the tally of all workers together.

        Raises:
            DataError: if a video came on more or fewer clips than the specification says.
        """
        self.model.eval()
        rng = torch_rng(self.spec.seed, "evaluate")
        classes = len(self.task.class_names)
        mine = score(
            lambda clips: self._learner.logits(self._prepare(clips, rng)), batches, classes, self.device
        )
        tally = distributed.union(mine, self.world_size)
        tally.check_clips(clips_per_video(self.spec.clip, train=False))
        return tally

    def embed(self, batches: Iterable[Batch]) -> Tally:
        """What goes into the model's head, in the place of scores, of every clip once.

        Vectors float32 (D,), D ≤ 512; see :func:`actrec.training.evaluate.pooled`.
        """
        self.model.eval()
        rng = torch_rng(self.spec.seed, "evaluate")
        mine = embed(lambda clips: self._learner.features(self._prepare(clips, rng)), batches, self.device)
        return distributed.union(mine, self.world_size)

    def finish_epoch(self, val: Tally) -> EpochStats:
        """Closes an epoch that was trained, with the tally of the validation videos.

        Raises:
            DivergedError: if the validation loss is not finite.
            TrialError: if no video was validated.
        """
        assert self._trained is not None
        if not len(val):
            raise TrialError("no validation video was evaluated: there is nothing to select on")
        measured = val.metrics()
        if not math.isfinite(measured["loss"]):
            raise DivergedError(f"the validation loss is {measured['loss']} after epoch {self.epoch + 1}")
        self.epoch += 1
        self.history.append(EpochStats(self.epoch, self._trained, measured))
        self._trained = None
        if not self.best_epoch or measured["loss"] < self.history[self.best_epoch - 1].val["loss"]:
            self.best_epoch = self.epoch
            if self.spec.optim.patience:
                self._best = {name: value.clone() for name, value in self.model.state_dict().items()}
        return self.history[-1]

    def restore_best(self) -> None:
        """Before the test: puts back the weights of the best epoch if early stopping (``patience`` > 0)
        selects them on validation. Otherwise the last weights are the trial's result, and stay."""
        if self._best:
            self.model.load_state_dict(self._best)

    def fingerprint(self) -> str:
        """What the trial has consumed up to now, as a hash; see :mod:`actrec.training.fingerprint`.

        A placebo has that of its baseline. Workers of one trial differ; that of rank 0 is the trial's.

        Raises:
            TrialError: before the first epoch.
        """
        if not self._fingerprint:
            raise TrialError("a trial has no fingerprint before its first epoch")
        return self._fingerprint

    def save(self, folder: Path) -> None:
        """Writes a checkpoint between epochs; of several workers, rank 0 does.

        Raises:
            OSError: if it cannot be written; older checkpoints are then still there.
        """
        assert self._trained is None
        if self.rank:
            return
        tensors = checkpoint.joined(learner=self._learner.tensors(), best=self._best)
        state = {
            "trial_id": trial_id(self.spec),
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "inherited": self.inherited,
            "history": [stats.to_dict() for stats in self.history],
            "fingerprint": self._fingerprint,
            "seconds": self.seconds,
            "joules": None if math.isnan(self.joules) else self.joules,
        }
        checkpoint.write(folder, self.epoch, tensors, state)

    def load(self, folder: Path) -> tuple[str, ...]:
        """Goes on from the newest sound checkpoint in a folder; without one, nothing changes.

        Of several workers rank 0 alone reads, and gives what it found to the others. So all go on from the
        same epoch, whether or not the folder is the same one on every machine.

        Returns:
            The broken checkpoints that were passed over, with the reasons.

        Raises:
            TrialError: if the checkpoint is another trial's.
        """
        found = distributed.from_first(lambda: checkpoint.read(folder), self.rank, self.world_size)
        if found.checkpoint is None:
            return found.ignored
        state = found.checkpoint.state
        if state["trial_id"] != trial_id(self.spec):
            raise TrialError(f"{folder} is of trial {state['trial_id']}, not {trial_id(self.spec)}")
        self._resume(found.checkpoint)
        self.inherited = state.get("inherited", 0)  # older checkpoints lack it
        self.seconds = state.get("seconds", 0.0)
        told = state.get("joules")
        self.joules = math.nan if told is None else told
        return found.ignored

    def take_over(self, folder: Path) -> tuple[str, ...]:
        """Goes on from the end of another trial, which :meth:`save` wrote to ``folder``: from its weights,
        the state of its optimiser, its epochs and history, with hyper-parameters of its own.

        The other's parameters and optimiser must be those of this one. Several workers do as in :meth:`load`.

        Returns:
            As :meth:`load`.

        Raises:
            TrialError: if nothing sound is there.
        """
        assert not self.epoch
        found = distributed.from_first(lambda: checkpoint.read(folder), self.rank, self.world_size)
        if found.checkpoint is None:
            why = f" ({'; '.join(found.ignored)})" if found.ignored else ""
            raise TrialError(f"trial {self.spec.start}, from which this one goes on, is not in {folder}{why}")
        self._resume(found.checkpoint)
        self.inherited = self.epoch
        return found.ignored

    def _resume(self, saved: checkpoint.Checkpoint) -> None:
        tensors, state = saved.tensors, saved.state
        self._learner.load(checkpoint.part(tensors, "learner"))
        best = checkpoint.part(tensors, "best")
        self._best = {name: value.to(self.device) for name, value in best.items()}
        self.epoch, self.best_epoch = state["epoch"], state["best_epoch"]
        self.history = [EpochStats.from_dict(values) for values in state["history"]]
        self._fingerprint = state["fingerprint"]

    def _lr(self, step: int, steps: int) -> float:
        """The learning rate of a step of the current epoch."""
        step = self.epoch * steps + min(step, steps - 1)
        return self.spec.optim.lr * lr_factor(self.spec.optim, step, steps)

    def _begin(self, inputs: Tensor, labels: Tensor, steps: int) -> None:
        """Before the first step: begins the fingerprint, then applies the placebo. A trial that goes on from
        another had its placebo there; what it changes enters the fingerprint that it took over."""
        loss, few = self.spec.loss, slice(fingerprint.PROBE_CLIPS)
        begun = fingerprint.begin(
            probe_loss=self._learner.probe(inputs[few], labels[few]),
            optimizer=self._learner.optimizer,
            class_weights=class_weights(loss.class_weights, self.task.train_counts, loss.beta).tolist(),
            spec=self.spec.optim,
            steps_per_epoch=steps,
        )
        self._fingerprint = fingerprint.joined(self._fingerprint, begun) if self.inherited else begun
        if self.spec.placebo and not self.inherited:
            self._learner.disturb(self.spec.placebo)


def _as_it_is(features: Tensor, generator: torch.Generator) -> Tensor:
    return features

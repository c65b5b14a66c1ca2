"""What learns in a trial: the model, its frozen parts, the loss and the optimiser, one step at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actrec.errors import DivergedError
from actrec.models.card import ModelCard
from actrec.models.layers import Staged
from actrec.models.zoo import build
from actrec.seeding import derive
from actrec.spec import TrialSpec
from actrec.training import checkpoint, distributed, freeze
from actrec.training.fingerprint import apply_placebo, undisturbed
from actrec.training.losses import make_loss
from actrec.training.optim import make_optimizer, set_lr
from actrec.training.task import Task

_Call = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Modes:
    """How the arithmetic is carried out, where that is a choice.

    Attributes:
        compiled: by ``torch.compile``.
        sync_batchnorm: batch statistics are those of all workers' parts of a batch together.
    """

    compiled: bool = False
    sync_batchnorm: bool = False


PLAIN = Modes()


def initial_model(spec: TrialSpec, num_classes: int) -> nn.Module:
    """A trial's model as it is at the start, on the CPU, nothing frozen yet.

    Its weights are drawn from torch's global generator, as every initialiser of torch does, seeded here.

    Raises:
        SpecError, ModelError: if the model cannot be built or frozen as asked.
    """
    frames = 1 if spec.clip.sampling == "middle" else spec.clip.num_frames
    torch.manual_seed(derive(spec.seed, "init"))
    return build(spec.model, num_classes=num_classes, num_frames=frames)


def autocasts(spec: TrialSpec, device: torch.device) -> bool:
    """Whether a trial's models compute in bfloat16 on a device."""
    return spec.optim.amp == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()


class Learner:
    """The model of a trial as it is at the start, and the means to train it.

    Attributes:
        model: (B, 3, T, H, W) float32 → logits (B, K).
        optimizer: over the parameters that are trained.

    Args:
        first: the stage that inputs go to: 0, or what comes after a frozen prefix whose output they are.

    Raises:
        SpecError, ModelError: if the model cannot be built or frozen as asked.
        TrialError: if ``world_size`` > 1 and there is no such process group.
    """

    def __init__(
        self,
        spec: TrialSpec,
        task: Task,
        card: ModelCard,
        device: torch.device,
        world_size: int,
        *,
        first: int = 0,
        modes: Modes = PLAIN,
    ) -> None:
        self.model = initial_model(spec, len(task.class_names)).to(device)
        if modes.sync_batchnorm:
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # type: ignore[no-untyped-call]
        # The layout of memory that a GPU's convolutions over time and space are fastest on.
        conv3d = any(isinstance(module, nn.Conv3d) for module in self.model.modules())
        self._channels_last = device.type == "cuda" and conv3d
        if self._channels_last:
            self.model.to(memory_format=torch.channels_last_3d)
        self._first = first
        groups = freeze.apply(freeze.rules(spec.freeze, card, self.model), self.model)
        self.optimizer = make_optimizer(spec.optim, groups)
        self._trained = [parameter for group in groups for parameter in group["params"]]
        self._frozen = freeze.frozen_modules(self.model)
        # As it is called in training, and where no gradients are averaged.
        self._replica: _Call = distributed.replicate(self.model, device, world_size)
        self._plain: _Call = self.model
        if modes.compiled:
            torch.compiler.reset()  # what the last trial of this process left
            self._plain = torch.compile(self.model)
            self._replica = torch.compile(self._replica)
        self._loss = make_loss(spec.loss, task.train_counts, device)
        self._amp = autocasts(spec, device)
        self._clip_norm = spec.optim.clip_norm
        self._device, self._world_size = device, world_size

    def logits(self, inputs: Tensor) -> Tensor:
        """float32 (B, K), in the mode that the model is in."""
        return self._forward(self._plain, inputs)

    def features(self, inputs: Tensor) -> Tensor:
        """What goes into the head, float32 (B, …); of a model that is no chain of stages, its logits."""
        if not isinstance(self.model, Staged):
            return self.logits(inputs)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._amp):
            for stage in self.model.stages()[self._first : -1]:
                inputs = stage.run(inputs)
        return inputs.float()

    def train_mode(self) -> None:
        """Train mode, but for what is frozen; see :func:`actrec.training.freeze.set_train_mode`."""
        freeze.set_train_mode(self.model, self._frozen)

    def step(self, inputs: Tensor, labels: Tensor, present: float, lr: float) -> Tensor:
        """One optimiser step on the mean over the global batch, of which this is one worker's part.

        Args:
            present: 0 if the part only keeps the worker in step and weighs nothing, else 1.

        Returns:
            The sums of losses and of their weights, the hits and the clips over all workers: float64 (4,),
            on the device, which is not waited for.
        """
        logits = self._forward(self._replica, inputs)
        losses, weights = self._loss(logits, labels)
        loss = losses.sum() * present
        hits, clips = (logits.argmax(dim=1) == labels).sum(), torch.full_like(loss, len(labels))
        sums = torch.stack([loss.detach(), weights.sum() * present, hits * present, clips * present]).double()
        distributed.add_up(sums, self._world_size)
        self.optimizer.zero_grad(set_to_none=True)
        # Replicas average their gradients: times their number, it is the mean over the global batch.
        (loss * self._world_size / sums[1].float()).backward()  # type: ignore[no-untyped-call]
        if self._clip_norm:
            nn.utils.clip_grad_norm_(self._trained, self._clip_norm)
        set_lr(self.optimizer, lr)
        self.optimizer.step()
        return sums

    @torch.no_grad()
    def probe(self, inputs: Tensor, labels: Tensor) -> float:
        """The training loss of a few clips in the current mode, leaving no trace."""
        with undisturbed(self.model, self._device):
            losses, weights = self._loss(self.logits(inputs), labels)
        return float(losses.sum() / weights.sum())

    def disturb(self, placebo: int) -> None:
        """Makes this the learner of a placebo arm."""
        apply_placebo(self._trained, placebo)

    def average_statistics(self) -> None:
        """Makes the running statistics of all workers one."""
        distributed.average_buffers(self.model, self._world_size)

    def tensors(self) -> dict[str, Tensor]:
        """All that a checkpoint needs."""
        optimizer = checkpoint.optimizer_tensors(self.optimizer)
        return checkpoint.joined(model=self.model.state_dict(), optimizer=optimizer)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`tensors`."""
        self.model.load_state_dict(checkpoint.part(tensors, "model"))
        checkpoint.load_optimizer(self.optimizer, checkpoint.part(tensors, "optimizer"))

    def _forward(self, model: _Call, inputs: Tensor) -> Tensor:
        if self._channels_last and inputs.dim() == 5:
            inputs = inputs.contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._amp):
            logits = model(inputs, first=self._first) if self._first else model(inputs)
        return logits.float()


def check_finite(rows: Sequence[Tensor], epoch: int, *, first_step: int = 1) -> None:
    """Looks at what :meth:`Learner.step` returned for consecutive steps; waits for the device.

    Raises:
        DivergedError: if the loss of one is not finite, naming the step and the epoch, counted from 1.
    """
    losses = torch.stack(list(rows))[:, 0].tolist()
    for step, loss in enumerate(losses, start=first_step):
        if not math.isfinite(loss):
            raise DivergedError(f"the training loss is {loss} at step {step} of epoch {epoch}")

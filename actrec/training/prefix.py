"""The frozen prefix of a model: the leading stages whose output for a clip is the same at every step.

A stage belongs to it if none of its parameters is trained and none of its modules behaves otherwise in train
mode than in eval (dropout, BatchNorm on batch statistics), and if what feeds it is fixed too: no random
augmentation. The clips themselves are fixed draws already. What such a prefix makes of a clip can be computed
once, for all epochs and for all trials whose prefix does the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from actrec.data.augment import Augment, build_augment
from actrec.models.layers import Stage, Staged
from actrec.models.zoo import find
from actrec.seeding import torch_rng
from actrec.spec import AugmentSpec, TrialSpec
from actrec.training import fingerprint, freeze
from actrec.training.learner import autocasts, initial_model

_BATCH = 8  # clips that go through a prefix at a time, where memory allows


@dataclass(frozen=True, slots=True)
class Prefix:
    """The frozen prefix of a trial.

    Attributes:
        spec: of a trial that has it; the model is made from that.
        num_classes: of that trial.
        stages: how many stages it has, at least one and never the head.
        row_shape: of its output for one clip.
        flop: of one clip through it, two for each multiply-add, of matrix products and convolutions.
        key: a hash of all that its output depends on but the clips and the device: the weights, what the
            stages make of a probe clip, how clips are prepared. Trials with the same key share its output.
    """

    spec: TrialSpec
    num_classes: int
    stages: int
    row_shape: tuple[int, ...]
    flop: int
    key: str

    @classmethod
    def of(cls, spec: TrialSpec, num_classes: int) -> Prefix | None:
        """The prefix that a trial could share, if it has one.

        The probe clip stands for what no list of settings could name: the code of the stages, options without
        weights (a number of attention heads, a pooling), the version of torch. It goes through on one thread,
        whatever the caller's number: the bits of sums over several depend on how many those are. Rounding
        would not do in its place: at four digits, the 64 values of ``frame_transformer`` still differ between
        one thread and two for 2 seeds of 10, and models that differ by less would share wrongly.

        Raises:
            SpecError, ModelError: if the model cannot be built or frozen as asked.
        """
        if not may_have_one(spec):
            return None
        clip = spec.clip
        frames = 1 if clip.sampling == "middle" else clip.num_frames
        shape, rng = (1, frames, clip.height, clip.width, 3), torch_rng(0, "probe clip")
        probe = torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)
        with _one_thread():
            model = initial_model(spec, num_classes)
            count = shared_stages(model, spec)
            if not count:
                return None
            assert isinstance(model, Staged)
            features, _ = Extractor(model, spec, count, torch.device("cpu"))(probe)
        digest = hashlib.sha256(features.numpy().tobytes())
        for stage in model.stages()[:count]:
            digest.update(stage.name.encode())
            for module in stage.modules:
                for name, tensor in module.state_dict().items():
                    digest.update(f"{name} {tuple(tensor.shape)}".encode())
                    digest.update(tensor.contiguous().numpy().tobytes())
        card = find(spec.model.name)
        digest.update(json.dumps([card.name, spec.augment.size, card.mean, card.std, shape]).encode())
        flop = _flop(model, count, frames, spec.augment.size or clip.height, spec.augment.size or clip.width)
        return cls(spec, num_classes, count, tuple(features.shape[1:]), flop, digest.hexdigest())

    def extractor(self, device: torch.device) -> Extractor:
        """Builds the model anew, to compute on ``device``."""
        model = initial_model(self.spec, self.num_classes)
        assert isinstance(model, Staged)
        return Extractor(model, self.spec, self.stages, device)


class Extractor:
    """Clips → what the first ``stages`` stages of a model make of them, in eval mode.

    Attributes:
        batch: how many clips go through at a time; who runs out of memory may make it smaller.
    """

    def __init__(self, model: Staged, spec: TrialSpec, stages: int, device: torch.device) -> None:
        self.batch = _BATCH
        card = find(spec.model.name)
        self._model, self._stages, self._device = model.to(device).eval(), stages, device
        self._prepare: Augment = build_augment(spec.augment, mean=card.mean, std=card.std, train=False)
        self._rng = torch_rng(spec.seed, "evaluate")
        self._amp = autocasts(spec, device)

    @torch.no_grad()
    def __call__(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (n, T, H, W, 3), n ≥ 1 → features float32 (n, …) and the sums of the pixels, int64 (n,), both
        on the CPU."""
        features, sums = [], []
        for first in range(0, len(clips), self.batch):
            part = clips[first : first + self.batch]
            inputs = self._prepare(part.to(self._device), self._rng)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._amp):
                features.append(self._model.prefix(inputs, self._stages).float().cpu())
            sums.append(fingerprint.pixel_sums(inputs).cpu())
        return torch.cat(features), torch.cat(sums)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _flop(model: Staged, stages: int, frames: int, height: int, width: int) -> int:
    """Of one clip through the first stages of a model, which loses its weights.

    On the meta device: that of fused layers on a CPU (LSTMs, encoders in eval mode) is not counted there.
    """
    from torch.utils.flop_counter import FlopCounterMode  # a tenth of a second, which no worker needs

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.to("meta").prefix(torch.empty(1, 3, frames, height, width, device="meta"), stages)
    return int(counter.get_total_flops())


def may_have_one(spec: TrialSpec) -> bool:
    """Whether a trial may have a prefix, as far as that can be told before a model is built."""
    return spec.freeze.strategy != "none" and is_fixed(spec.augment)


def is_fixed(augment: AugmentSpec) -> bool:
    """Whether training sees the same pixels of a clip every time: nothing random is asked for."""
    plain = AugmentSpec()
    return dataclasses.replace(augment, size=plain.size, min_scale=plain.min_scale) == plain


def shared_stages(model: nn.Module, spec: TrialSpec) -> int:
    """How many leading stages of a new model make the same of a clip at every training step.

    The model comes out frozen as ``spec`` says, and in train mode. 0 for a model that is no chain of stages.

    Raises:
        SpecError, ModelError: if it cannot be frozen as asked.
    """
    freeze.apply(freeze.rules(spec.freeze, find(spec.model.name), model), model)
    freeze.set_train_mode(model, freeze.frozen_modules(model))
    stages = model.stages()[:-1] if isinstance(model, Staged) else ()
    fixed = [_is_fixed_stage(stage) for stage in stages]
    return [*fixed, False].index(False)


def _is_fixed_stage(stage: Stage) -> bool:
    if any(parameter.requires_grad for module in stage.modules for parameter in module.parameters()):
        return False
    return not any(_varies(layer) for module in stage.modules for layer in module.modules())


def _varies(layer: nn.Module) -> bool:
    """Whether a layer, in the mode that it is in, is random or looks at the whole batch.

    Told from the layers of torch. A model that calls a random function itself, such as
    ``functional.dropout``, must do so in its last stage.
    """
    if not layer.training:
        return False
    if isinstance(layer, _DropoutNd):
        return layer.p > 0
    drops: Any = getattr(layer, "dropout", 0.0)  # of recurrent layers and of attention, which have it inside
    return isinstance(layer, (_NormBase, nn.RReLU)) or (isinstance(drops, (int, float)) and drops > 0)

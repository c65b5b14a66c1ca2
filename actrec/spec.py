"""What one trial is: frozen dataclasses, all of whose values are checked when they are made.

A *path* names one value (``"loss.class_weights"``) or one part (``"augment"``). Studies change trials
only through :func:`override`, so a typo can never become a default.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from actrec.errors import SpecError
from actrec.fields import Between, conform, field_types, parse, unknown

Probability = Annotated[float, Between(0, 1)]
Positive = Annotated[int, Between(1)]
Count = Annotated[int, Between(0)]
NonNegative = Annotated[float, Between(0)]
Rate = Annotated[float, Between(0, above=True)]


class _Checked:
    """Checks every field against its annotation when an instance is made."""

    __slots__ = ()
    part: ClassVar[str] = ""

    def __post_init__(self) -> None:
        prefix = f"{self.part}." if self.part else ""
        hints = field_types(type(self))  # type: ignore[arg-type]  # a class is hashable
        for entry in dataclasses.fields(self):  # type: ignore[arg-type]
            value = conform(getattr(self, entry.name), hints[entry.name], prefix + entry.name)
            object.__setattr__(self, entry.name, value)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSpec(_Checked):
    """Which videos. ``digest`` identifies the manifest's content; its path may change freely.

    ``cv``: empty for the manifest's own splits; ``leave-one-group-out``, or a number of folds, replaces them
    by fold ``fold`` of that cross-validation (:mod:`actrec.data.folds`).
    """

    part: ClassVar[str] = "data"
    manifest: str = field(default="builtin", metadata={"identity": False})
    digest: str = ""
    classes: tuple[str, ...] = ()  # empty: all
    per_class: Count = 0  # at most so many videos of each class and split of the manifest; 0: all
    cv: str = ""
    fold: Count = 0  # counted from 0; there is no other without ``cv``


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSpec(_Checked):
    """Which frames of a video, and how they are decoded. Everything here is upstream of the clip cache.

    ``sampling``: ``middle`` one middle frame · ``uniform`` ``num_frames`` spread evenly · ``random`` one
    random clip of ``num_frames`` at ``stride``, of which ``draws`` are stored (epoch e trains on draw
    e mod draws; evaluation takes the centred clip) · ``clips`` ``clips`` uniform clips of ``num_frames`` at
    ``stride``, all trained on and averaged in evaluation · ``centre`` ``num_frames`` over the centred
    ``seconds``.
    """

    part: ClassVar[str] = "clip"
    sampling: Literal["middle", "uniform", "random", "clips", "centre"] = "uniform"
    num_frames: Positive = 8
    stride: Positive = 1
    clips: Positive = 1
    draws: Positive = 1
    seconds: Rate = 2.0
    height: Positive = 112
    width: Positive = 112
    fit: Literal["stretch", "crop"] = "stretch"  # crop: short side to size, then the centre
    decoder: Literal["auto", "decord", "torchcodec", "pyav"] = "auto"


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentSpec(_Checked):
    """Random changes to a training clip, one draw a clip and the same for all of its frames."""

    part: ClassVar[str] = "augment"
    size: Count = 0  # side of the square that the model sees, in pixels; 0: as decoded
    crop: Literal["none", "random", "random_resized", "multi_scale"] = "none"
    min_scale: Annotated[float, Between(0, 1, above=True)] = 0.5  # least area of a random resized crop
    hflip: Probability = 0.0
    vflip: Probability = 0.0
    jitter: Probability = 0.0  # brightness, contrast and saturation × U(1−jitter, 1+jitter), hue ± jitter/4
    greyscale: Probability = 0.0
    rotation: Annotated[float, Between(0, 180)] = 0.0  # degrees, drawn from U(−rotation, rotation)
    erasing: Probability = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec(_Checked):
    """Which architecture. An option left at None takes the default of the model's card; an option that
    the architecture does not have may not be set."""

    part: ClassVar[str] = "model"
    name: str = "frame_transformer"
    weights: str = ""  # published ones to start from, by their name on the card; empty: random
    dropout: Annotated[float, Between(0, 0.95)] | None = None
    attention_heads: Count | None = None
    layers: Positive | None = None  # of the temporal part
    width: Positive | None = None  # features a frame
    motion: bool | None = None  # frame differences as further input channels
    pool_size: Positive | None = None  # side of the feature map that attention sees


@dataclass(frozen=True, kw_only=True, slots=True)
class FreezeSpec(_Checked):
    """Which parameters are not trained.

    ``strategy``: ``none`` · ``backbone`` the card's backbone stages are frozen · ``head_only`` all but the
    head is frozen · ``first_k`` the first ``k`` stages are frozen · ``last_k`` all but the last ``k`` stages
    before the head, and the head, is frozen · ``norm_only`` all but normalisation layers and the head is
    frozen · ``frozen_norm`` normalisation layers alone are frozen.
    """

    part: ClassVar[str] = "freeze"
    strategy: Literal["none", "backbone", "head_only", "first_k", "last_k", "norm_only", "frozen_norm"] = (
        "none"
    )
    k: Count = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LossSpec(_Checked):
    """The training loss. Evaluation always reports the plain cross-entropy."""

    part: ClassVar[str] = "loss"
    kind: Literal["cross_entropy", "focal"] = "cross_entropy"
    class_weights: Literal["none", "balanced", "sqrt", "effective"] = "none"
    label_smoothing: Annotated[float, Between(0, 0.99)] = 0.0
    gamma: NonNegative = 2.0  # of the focal loss
    beta: Annotated[float, Between(0, 0.999999)] = 0.999  # of the effective number of samples


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimSpec(_Checked):
    """Optimisation and its budget. ``horizon`` says for how many epochs the schedule is made, where that is
    not ``epochs``: a part of a longer training has that of the whole."""

    part: ClassVar[str] = "optim"
    name: Literal["adam", "adamw", "sgd"] = "adamw"
    lr: Rate = 1e-3
    weight_decay: NonNegative = 1e-2
    momentum: Annotated[float, Between(0, 0.9999)] = 0.9  # of SGD
    schedule: Literal["constant", "exponential", "cosine"] = "cosine"
    gamma: Annotated[float, Between(0, 1, above=True)] = 0.95  # of the exponential schedule, an epoch
    warmup_epochs: NonNegative = 0.0
    clip_norm: NonNegative = 0.0  # 0: gradients are not clipped
    epochs: Positive = 15
    horizon: Count = field(default=0, metadata={"identity": "if set"})  # 0: epochs
    batch_size: Positive = 32  # over all workers of the trial
    patience: Count = 0  # epochs without a better validation loss before the trial stops; 0: never
    amp: Literal["auto", "off"] = "auto"  # auto: bfloat16 on a GPU that has it


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSpec(_Checked):
    """One trial, whole. ``placebo`` > 0 multiplies the initial trainable weights by 1 ± 1e-6 and changes
    nothing else: what it moves is the noise of a paired comparison. ``start`` is the id of a trial that this
    one goes on from: from its last weights, the state of its optimiser, and its epochs, which count as done.
    """

    data: DataSpec = field(default_factory=DataSpec)
    clip: ClipSpec = field(default_factory=ClipSpec)
    augment: AugmentSpec = field(default_factory=AugmentSpec)
    model: ModelSpec = field(default_factory=ModelSpec)
    freeze: FreezeSpec = field(default_factory=FreezeSpec)
    loss: LossSpec = field(default_factory=LossSpec)
    optim: OptimSpec = field(default_factory=OptimSpec)
    seed: Annotated[int, Between(0, 2**31 - 1)] = 0
    placebo: Count = 0
    start: str = field(default="", metadata={"identity": "if set"})

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, ready for JSON."""
        # Not dataclasses.asdict, which copies every value and takes four times as long: ids are made of this.
        parts = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        return {
            name: {inner.name: getattr(part, inner.name) for inner in dataclasses.fields(part)}
            if dataclasses.is_dataclass(part)
            else part
            for name, part in parts.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrialSpec:
        """The inverse of :meth:`to_dict`; missing values take their defaults.

        Raises:
            SpecError: on an unknown path or a value of the wrong type.
        """
        flat = {
            f"{part}.{name}" if isinstance(value, Mapping) else part: inner
            for part, value in values.items()
            for name, inner in (value.items() if isinstance(value, Mapping) else [("", value)])
        }
        return override(cls(), flat)


# Whole parts that can be named in a study, as in override(spec, {"augment": "flip"}).
# The three "set" names are those of the fourth report of SYSTEMS.md; the next two, of its second and third.
PRESETS: dict[str, dict[str, Any]] = {
    "augment": {
        "none": AugmentSpec(),
        "hflip": AugmentSpec(hflip=0.5),
        "set1": AugmentSpec(),
        "set2": AugmentSpec(crop="random_resized", hflip=0.5, vflip=0.5, jitter=0.4),
        "set3": AugmentSpec(hflip=0.5, vflip=0.5, jitter=0.4),
        "crop_flip_rotate": AugmentSpec(crop="random", hflip=0.5, rotation=15.0),
        "multi_scale": AugmentSpec(crop="multi_scale", hflip=0.5, jitter=0.4, greyscale=0.2),
        "jitter": AugmentSpec(jitter=0.4),
        "crop": AugmentSpec(crop="random_resized"),
        "erasing": AugmentSpec(erasing=0.5),
    },
    "freeze": {
        "none": FreezeSpec(),
        "head_only": FreezeSpec(strategy="head_only"),
        "last_stage": FreezeSpec(strategy="last_k", k=1),  # and the head
    },
}


def paths(spec: TrialSpec | None = None) -> list[str]:
    """Every path that names one value, in order."""
    spec = spec or TrialSpec()
    found: list[str] = []
    for entry in dataclasses.fields(spec):
        value = getattr(spec, entry.name)
        if dataclasses.is_dataclass(value):
            found += [f"{entry.name}.{inner.name}" for inner in dataclasses.fields(value)]
        else:
            found.append(entry.name)
    return found


def override(spec: TrialSpec, changes: Mapping[str, Any]) -> TrialSpec:
    """``spec`` with the values at the given paths replaced, in the order given.

    A path may name a whole part, whose value is then an instance of its class or the name of a preset.

    Raises:
        SpecError: on an unknown path, a wrong type or a value out of range; names the path and what is valid.
    """
    for path, value in changes.items():
        head, _, tail = path.partition(".")
        if head not in TrialSpec.__dataclass_fields__:
            raise SpecError(unknown("path", path, [entry.name for entry in dataclasses.fields(spec)]))
        part = getattr(spec, head)
        if tail and not dataclasses.is_dataclass(part):
            raise SpecError(f"unknown path {path!r}: {head!r} is a value, not a part")
        if tail:
            names = [entry.name for entry in dataclasses.fields(part)]
            if tail not in names:
                raise SpecError(unknown("path", path, [f"{head}.{name}" for name in names]))
            value = dataclasses.replace(part, **{tail: value})
        elif dataclasses.is_dataclass(part) and isinstance(value, str):
            presets = PRESETS.get(head, {})
            if value not in presets:
                raise SpecError(unknown(f"preset of {head!r}", value, presets or ["(it has none)"]))
            value = presets[value]
        spec = dataclasses.replace(spec, **{head: value})
    return spec


def get(spec: TrialSpec, path: str) -> Any:
    """The value at a path.

    Raises:
        SpecError: on an unknown path.
    """
    if path not in paths(spec) and path not in TrialSpec.__dataclass_fields__:
        raise SpecError(unknown("path", path, paths(spec)))
    value: Any = spec
    for name in path.split("."):
        value = getattr(value, name)
    return value


def assignment(text: str) -> tuple[str, Any]:
    """``PATH=VALUE`` of a command line → the path and its value; a whole part takes the name of a preset.

    Raises:
        SpecError: on anything else, an unknown path, or a value that is not the path's; names what is valid.
    """
    path, equals, value = text.partition("=")
    if not equals:
        raise SpecError(f"{text!r}: must be PATH=VALUE, such as clip.num_frames=16")
    current = get(TrialSpec(), path)
    if dataclasses.is_dataclass(current):
        return path, value
    part, _, name = path.rpartition(".")
    owner: Any = type(get(TrialSpec(), part)) if part else TrialSpec
    return path, parse(value, field_types(owner)[name], path)


def identity(spec: TrialSpec) -> dict[str, Any]:
    """The values that make a trial what it is: all but where its manifest lies, and fields that are younger
    than ledgers and not set, so that ids stay what they were."""
    values = spec.to_dict()
    for entry in dataclasses.fields(spec):
        part = getattr(spec, entry.name)
        if dataclasses.is_dataclass(part):
            for inner in dataclasses.fields(part):
                if not _identifies(inner, getattr(part, inner.name)):
                    del values[entry.name][inner.name]
        elif not _identifies(entry, part):
            del values[entry.name]
    return values


def _identifies(entry: dataclasses.Field[Any], value: Any) -> bool:
    kind = entry.metadata.get("identity", True)
    return value != entry.default if kind == "if set" else bool(kind)


def trial_id(spec: TrialSpec) -> str:
    """A content hash, 12 hexadecimal digits: run name, resume key and ledger key of the trial."""
    text = json.dumps(identity(spec), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]

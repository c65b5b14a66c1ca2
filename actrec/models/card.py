"""What the platform knows of an architecture, beside its builder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import nn

from actrec.spec import ModelSpec


class Builder(Protocol):
    """Makes a model: float32 (B, 3, T, H, W) → logits float32 (B, K)."""

    def __call__(self, spec: ModelSpec, *, num_classes: int, num_frames: int) -> nn.Module: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """Published weights, which :mod:`actrec.models.weights` finds and loads.

    Attributes:
        file: name of the safetensors file; its tensors are named as the model's.
        sha256: of the whole file, in hexadecimal.
        classes: K of its head.
        source: where they come from, and what they were trained on.
    """

    file: str
    sha256: str
    classes: int
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """One architecture.

    Attributes:
        name: its key in the zoo.
        summary: one line for ``actrec models``, with its source.
        build: makes it; ``spec`` has every option of ``options`` filled in.
        num_frames: T that it was designed for; any T ≥ 1 must work unless ``fixed_frames``.
        stride: frames between two frames of a clip that it was designed for.
        crop: side of the square input in pixels that it was designed for.
        mean, std: per channel, of inputs in [0, 1].
        stages: ordered name → regex (full match) over parameter names, from input to output, the head
            last; every parameter matches exactly one. ``first_k`` freezing and prefix sharing cut here.
        backbone: the names of the stages that make the feature extractor.
        head: the name of the stage that maps features to classes.
        options: the fields of ModelSpec that it takes, with their defaults.
        weights: published weights it can start from, by the name that ``model.weights`` takes.
    """

    name: str
    summary: str
    build: Builder
    num_frames: int
    stride: int
    crop: int
    stages: Mapping[str, str]
    backbone: tuple[str, ...]
    head: str
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    fixed_frames: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Weights] = field(default_factory=dict)

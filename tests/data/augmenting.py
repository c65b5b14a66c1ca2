"""Clips and calls that the tests of augmentation share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from actrec.data.augment import build_augment
from actrec.seeding import torch_rng
from actrec.spec import AugmentSpec

SIZES: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # leaves values in [0, 1]


def random_clips(batch: int = 6, frames: int = 3, height: int = 20, width: int = 24) -> Tensor:
    """uint8 (B, T, H, W, 3), every pixel different."""
    shape = (batch, frames, height, width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch_rng(0, "clips"))


def plain(clips: Tensor) -> Tensor:
    """(B, T, H, W, 3) → (B, 3, T, H, W) in [0, 1]: what no augmentation gives."""
    return clips.permute(0, 4, 1, 2, 3) / 255


def frames_of(clips: Tensor) -> Tensor:
    """(B, 3, T, h, w) → (B, T, 3, h, w), as torchvision takes videos."""
    return clips.transpose(1, 2)


def apply(
    clips: Tensor, seed: int = 0, *, train: bool = True, size: int | None = None, **fields: Any
) -> Tensor:
    augment = build_augment(AugmentSpec(**fields), **SIZES, size=size, train=train)
    return augment(clips, torch_rng(seed, "augment"))

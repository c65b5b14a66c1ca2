"""The only source of randomness: (seed, purpose, …) → a generator.

A generator is a pure function of its seed and of what it is for, so that nothing depends on what ran
before it in the same process, and two arms of a study that share a seed share their data order.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Purpose = str | int


def derive(seed: int, *purpose: Purpose) -> int:
    """A 63-bit seed from ``seed`` and what it is for, e.g. ``derive(0, "order", epoch)``.

    Different purposes give independent streams (SHA-256 of the tuple).
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_rng(seed: int, *purpose: Purpose) -> np.random.Generator:
    """A NumPy generator for one purpose."""
    return np.random.default_rng(derive(seed, *purpose))


def torch_rng(seed: int, *purpose: Purpose, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator on ``device`` for one purpose."""
    import torch  # here, so that numpy-only layers (statistics, reports) never load torch

    return torch.Generator(device=device).manual_seed(derive(seed, *purpose))

"""What a training loop is fed, wherever it comes from (cache or stream)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """One worker's part of a global batch.

    Attributes:
        clips: uint8 (B, T, H, W, 3), on any device.
        labels: int64 (B,).
        video_ids: B of them; several clips may belong to one video.
        valid: bool (B,); False on rows that only pad a last, uneven batch to the same length on every
            worker. They count for nothing.
    """

    clips: Tensor
    labels: Tensor
    video_ids: Sequence[str]
    valid: Tensor

    def __len__(self) -> int:
        return len(self.video_ids)

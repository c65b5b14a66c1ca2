"""What a training loop is fed, wherever it comes from (cache or stream)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """One worker's part of a global batch.

    Attributes:
        clips: uint8 (B, T, H, W, 3), on any device; or what a frozen prefix made of them, float32 (B, …).
        labels: int64 (B,).
        video_ids: B of them; several clips may belong to one video.
        valid: bool (B,); False on rows that only pad a last, uneven batch to the same length on every
            worker. They count for nothing. Best kept in host memory, where reading it stalls no GPU.
        sums: of the pixels behind features, int64 (B,); None where the clips are pixels themselves. See
            :func:`actrec.training.fingerprint.pixel_sums`.
    """

    clips: Tensor
    labels: Tensor
    video_ids: Sequence[str]
    valid: Tensor
    sums: Tensor | None = None

    def __len__(self) -> int:
        return len(self.video_ids)

    def without_padding(self) -> Batch:
        """The batch itself if it has no padding, else its real rows alone.

        Padding is dropped before the model sees it, not masked after: it would otherwise take part in the
        statistics of batch normalisation.
        """
        if bool(self.valid.all()):
            return self
        keep = self.valid.nonzero().flatten()
        return self.rows(keep)

    def rows(self, keep: Tensor) -> Batch:
        """The rows at the indices ``keep``, int64 (n,), in that order."""
        return Batch(
            clips=self.clips[keep.to(self.clips.device)],
            labels=self.labels[keep.to(self.labels.device)],
            video_ids=[self.video_ids[row] for row in keep.tolist()],
            valid=self.valid[keep.to(self.valid.device)],
            sums=None if self.sums is None else self.sums[keep.to(self.sums.device)],
        )

    def pinned(self) -> Batch:
        """A copy in page-locked memory, which a GPU fetches without anyone waiting."""
        return replace(self, clips=self.clips.pin_memory(), labels=self.labels.pin_memory())

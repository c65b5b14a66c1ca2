"""Scoring clips with a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional

from actrec.training.batch import Batch
from actrec.training.tally import Tally


@torch.no_grad()
def score(
    logits_of: Callable[[Tensor], Tensor], batches: Iterable[Batch], num_classes: int, device: torch.device
) -> Tally:
    """Scores every clip that is not padding, once.

    Args:
        logits_of: uint8 (B, T, H, W, 3) on ``device`` → logits float32 (B, K).
    """
    video_ids: list[str] = []
    # Kept on the device to the end, so that it is never waited for in between.
    labels = [torch.empty(0, dtype=torch.int64, device=device)]
    scores = [torch.empty(0, num_classes, device=device)]
    losses = [torch.empty(0, device=device)]
    for batch in batches:
        real = batch.without_padding()
        if not len(real):
            continue
        logits = logits_of(real.clips.to(device, non_blocking=True))
        labels.append(real.labels.to(device, non_blocking=True))
        video_ids += real.video_ids
        scores.append(logits.softmax(dim=1))
        losses.append(functional.cross_entropy(logits, labels[-1], reduction="none"))
    columns = [torch.cat(column).cpu().numpy() for column in (labels, scores, losses)]
    return Tally.of(video_ids, *columns)

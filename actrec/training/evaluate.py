"""Scoring clips with a model, or looking at what its head gets of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from actrec.training.batch import Batch
from actrec.training.tally import Tally

WIDTH = 512  # most numbers of an embedding


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


@torch.no_grad()
def embed(features_of: Callable[[Tensor], Tensor], batches: Iterable[Batch], device: torch.device) -> Tally:
    """The vector of every clip that is not padding, as a tally: in the place of scores, without losses.

    Args:
        features_of: uint8 (B, T, H, W, 3) on ``device`` → float32 (B, …); see :func:`pooled`.
    """
    video_ids: list[str] = []
    labels = [torch.empty(0, dtype=torch.int64)]
    vectors: list[Tensor] = []
    for batch in batches:
        real = batch.without_padding()
        if len(real):
            video_ids += real.video_ids
            labels.append(real.labels)
            vectors.append(pooled(features_of(real.clips.to(device, non_blocking=True))))
    found = torch.cat(vectors) if vectors else torch.empty(0, 1)
    return Tally.of(video_ids, torch.cat(labels).numpy(), found.cpu().numpy(), np.zeros(len(video_ids)))


def pooled(features: Tensor) -> Tensor:
    """Features of any shape as vectors float32 (B, D), D ≤ :data:`WIDTH`.

    Tokens (B, N, D) become their mean, maps (B, D, …) the mean of each channel; where D is larger than the
    width, neighbours are averaged.
    """
    if features.dim() > 2:
        features = features.mean(1) if features.dim() == 3 else features.flatten(2).mean(2)
    width = min(WIDTH, features.shape[1])
    return functional.adaptive_avg_pool1d(features[:, None], width)[:, 0]

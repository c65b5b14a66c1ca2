"""Predictions of test videos → scores of videos, whose mean is the metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actrec.stats.paired import Floats

Cell = tuple[str, int]  # an arm and a seed
MISSING = -1
LEAST = 1e-30  # probability; float32 has no smaller normal number to speak of


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What came of the test videos in every trial, or in all folds of it together. R rows, V videos.

    Attributes:
        cells: (arm, seed) → row.
        groups: (V,), the group of each video. labels: int64 (V,).
        predicted: int32 (R, V), the class of the highest score; :data:`MISSING` where the trial lacks it.
        rank: int32 (R, V), how many classes come before the label; equal ones before it count.
        loss: float32 (R, V), the cross-entropy in nats; NaN where the trial lacks the video.
    """

    cells: Mapping[Cell, int]
    groups: NDArray[Any]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int32]
    rank: NDArray[np.int32]
    loss: NDArray[np.float32]

    def values(self, metric: str, arm: str, seeds: Sequence[int]) -> Floats:
        """float64 (S, V), whose means over videos are ``metric`` of the arm's trials; see :func:`influence`.

        NaN where there is no prediction. ``metric`` is one of :data:`actrec.metrics.DIRECTIONS`, or
        ``recall:<k>``, the recall of class k, which is NaN on the videos of other classes.
        """
        rows = [self.cells.get((arm, seed)) for seed in seeds]
        found = np.full((len(seeds), len(self.labels)), np.nan)
        there = [i for i, row in enumerate(rows) if row is not None]
        own = np.array([row for row in rows if row is not None], np.int64)
        if metric == "loss":
            found[there] = self.loss[own]
        elif metric == "macro_f1":
            for i, row in zip(there, own, strict=True):
                scored = self.predicted[row] != MISSING
                found[i, scored] = influence(self.labels[scored], self.predicted[row, scored])
        else:
            k = 5 if metric == "top5" else 1
            found[there] = np.where(self.predicted[own] == MISSING, np.nan, self.rank[own] < k)
        if metric.startswith("recall:"):
            found[:, self.labels != int(metric.removeprefix("recall:"))] = np.nan
        return found


def outcomes_of(scores: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[np.int32], ...]:
    """Predicted classes and ranks, int32 (V,), and losses, float32 (V,), of probabilities (V, K).

    Of equal scores the lower class comes first, as in :func:`actrec.metrics.top_k`.
    """
    row = np.arange(len(labels))
    own = scores[row, labels][:, None]
    before = (scores > own) | ((scores == own) & (np.arange(scores.shape[1]) < np.asarray(labels)[:, None]))
    loss = -np.log(np.maximum(own[:, 0], LEAST))
    return (
        scores.argmax(axis=1).astype(np.int32),
        before.sum(axis=1).astype(np.int32),
        loss.astype(np.float32),
    )


def influence(labels: NDArray[Any], predicted: NDArray[Any]) -> Floats:
    """float64 (V,), whose mean is the macro-F1, exactly, and whose spread is that of the macro-F1.

    F1 of a class is a ratio of means over videos, 2 mean[label = predicted = k] / mean[label = k + predicted
    = k]. A video's value is the macro-F1 plus its influence on it, which is the derivative in the video's
    weight: for a ratio a / b that is (a[v] − (a/b) b[v]) / b. Influences add up to 0.

    Classes that are neither a label nor predicted do not count, as in :func:`actrec.metrics.macro_f1`.

    Source: linearisation (delta method) of a function of means: Deville, "Variance estimation for complex
    statistics and estimators", Survey Methodology 25 (1999).
    """
    if not len(labels):
        return np.empty(0)
    classes = int(max(labels.max(), predicted.max())) + 1
    hits = 2.0 * np.bincount(labels[labels == predicted], minlength=classes)
    sizes = np.bincount(labels, minlength=classes) + np.bincount(predicted, minlength=classes)
    present = sizes > 0
    f1 = np.divide(hits, sizes, out=np.zeros(classes), where=present)
    scale = np.divide(len(labels), sizes, out=np.zeros(classes), where=present) / present.sum()
    value = 2.0 * (labels == predicted) * scale[labels]
    value -= f1[labels] * scale[labels] + f1[predicted] * scale[predicted]
    return np.asarray(value + f1.sum() / present.sum(), np.float64)

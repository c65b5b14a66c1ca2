"""Test scores → precision-recall curves by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actrec.report.values import Arm, PrecisionRecall


def precision_at_positives(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Precision where each positive is found, as the threshold falls: float64 (n,) for n positives.

    Its mean is the average precision, Σ (R_i − R_{i−1}) P_i over the thresholds i, as scikit-learn's
    ``average_precision_score`` defines it: equal scores are one threshold.

    Args:
        scores: (V,), higher where a video is more likely of the class.
        positive: (V,), whether it is.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hits = scores[order], np.cumsum(positive[order])
    # The last place of each run of equal scores is the threshold of all of them.
    last = np.searchsorted(-sorted_scores, -sorted_scores, side="right") - 1
    precision = hits[last] / (last + 1)
    return np.asarray(precision[positive[order]], np.float64)


def precision_recall(
    arm: Arm, predictions: pa.Table, class_names: Sequence[str]
) -> tuple[PrecisionRecall, ...]:
    """The curve of every class with test videos: one class against the rest, a mean over the arm's seeds.

    All seeds are tested on the same videos, so recall takes the same values in each: the mean of their
    precisions there is a curve whose area is the mean of their average precisions.
    """
    each = []
    for run in arm.runs:
        ids = pa.array([trial.trial_id for trial in run], pa.string())
        own = predictions.filter(pc.is_in(predictions["trial_id"], ids))
        if len(own):
            scores = pc.list_flatten(own["scores"]).to_numpy().reshape(len(own), -1)
            each.append((scores.astype(np.float64), own["label"].to_numpy()))
    found = []
    for k, name in enumerate(class_names):
        curves = [precision_at_positives(scores[:, k], labels == k) for scores, labels in each]
        if not curves or not len(curves[0]) or any(len(curve) != len(curves[0]) for curve in curves):
            continue
        mean = np.mean(curves, axis=0)
        recall = np.arange(1, len(mean) + 1) / len(mean)
        found.append(PrecisionRecall(name, tuple(recall), tuple(mean), float(mean.mean())))
    return tuple(found)

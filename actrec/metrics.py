"""Classification metrics as pure functions of NumPy arrays, shared by training, results and reports.

Dimension letters: ``V`` videos, ``K`` classes. Empty input gives NaN, never an error: a split may be empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Every test metric of a trial, and which way it is better.
DIRECTIONS: dict[str, Literal["max", "min"]] = {
    "top1": "max",
    "top5": "max",
    "macro_f1": "max",
    "loss": "min",
}


@dataclass(frozen=True, slots=True)
class Average:
    """Precision, recall and F1 averaged over classes, each in [0, 1]."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Report:
    """What scikit-learn's ``classification_report`` has, with its conventions: 0 where a ratio is 0/0.

    Attributes:
        precision, recall, f1: float64 (K,) in [0, 1].
        support: int64 (K,), videos whose label is the class.
        accuracy: the fraction of videos whose prediction is their label.
        macro: the mean over the classes that occur as a label or as a prediction.
        weighted: the mean over classes weighted by support.
    """

    precision: Floats
    recall: Floats
    f1: Floats
    support: Ints
    accuracy: float
    macro: Average
    weighted: Average


def confusion(labels: NDArray[Any], predicted: NDArray[Any], num_classes: int) -> Ints:
    """Counts, int64 (K, K): rows are true classes, columns predicted ones.

    Args:
        labels, predicted: ints (V,) in [0, K).

    Raises:
        ValueError: on different lengths or a class out of range.
    """
    labels, predicted = np.asarray(labels, np.int64), np.asarray(predicted, np.int64)
    if labels.shape != predicted.shape or labels.ndim != 1:
        raise ValueError(f"labels {labels.shape} and predictions {predicted.shape} must be (V,) both")
    for name, values in (("label", labels), ("prediction", predicted)):
        if values.size and not (values.min() >= 0 and values.max() < num_classes):
            raise ValueError(f"a {name} is outside [0, {num_classes}): {values.min()} to {values.max()}")
    cells = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


def classification_report(matrix: Ints) -> Report:
    """Per-class and averaged precision, recall and F1 of a confusion matrix (K, K).

    The macro average leaves out classes that neither occur nor are predicted, as scikit-learn's does where
    no list of labels is given: they say nothing about the model.
    """
    hits, support, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    precision = _ratio(hits, predicted)
    recall = _ratio(hits, support)
    f1 = _ratio(2 * hits, support + predicted)  # = 2PR / (P + R), without its 0/0 at P = R = 0
    present = (support + predicted > 0).astype(np.float64)
    return Report(
        precision=precision,
        recall=recall,
        f1=f1,
        support=support.astype(np.int64),
        accuracy=_mean(recall, support),
        macro=Average(_mean(precision, present), _mean(recall, present), _mean(f1, present)),
        weighted=Average(_mean(precision, support), _mean(recall, support), _mean(f1, support)),
    )


def macro_f1(labels: NDArray[Any], predicted: NDArray[Any], num_classes: int) -> float:
    """The mean of the classes' F1, over the classes that occur as a label or as a prediction."""
    return classification_report(confusion(labels, predicted, num_classes)).macro.f1


def top_k(scores: NDArray[Any], labels: NDArray[Any], k: int) -> float:
    """The fraction of videos whose label is among the ``k`` highest scores; ties go to the lower class.

    Args:
        scores: floats (V, K), any monotone function of the probabilities.
        labels: ints (V,).
    """
    if not len(labels):
        return float("nan")
    best = np.argsort(-np.asarray(scores), axis=1, kind="stable")[:, :k]
    return float((best == np.asarray(labels)[:, None]).any(axis=1).mean())


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0), np.float64)


def _mean(values: Floats, weights: NDArray[Any]) -> float:
    return float(np.average(values, weights=weights)) if weights.sum() else float("nan")

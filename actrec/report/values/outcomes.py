"""How trials and arms did, in detail: curves, classes, single videos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actrec.report.values.trials import Trial


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric of one arm on one split, epoch by epoch: mean, least and greatest over its seeds."""

    arm: str
    split: str
    metric: str
    epoch: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """One metric of one arm on the three splits, at the epoch that was tested: means over its seeds."""

    arm: str
    metric: str
    train: float | None
    val: float | None
    test: float | None


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """The precision-recall curve of one class: at ``recall[j]``, (j + 1)/n of its n test videos, the
    precision, a mean over seeds; ``average`` is the average precision."""

    name: str
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    average: float


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Precision, recall and F1 of one class (or an average over classes), and its number of test videos."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class ClassReport:
    """scikit-learn's classification report on the test split, each number a mean over ``n_seeds`` trials."""

    arm: str
    n_seeds: int
    accuracy: float
    rows: tuple[ClassRow, ...]
    macro: ClassRow
    weighted: ClassRow


@dataclass(frozen=True, slots=True)
class Outcome:
    """Test predictions of one arm, counted over all of its finished seeds.

    ``confusion`` is int64 (K, K): rows are true classes, columns predicted ones.
    """

    arm: str
    n_seeds: int
    confusion: NDArray[np.int64]

    @property
    def recall(self) -> NDArray[np.float64]:
        """Float64 (K,) in [0, 1]; NaN for a class without test videos."""
        seen = self.confusion.sum(axis=1)
        return np.where(seen > 0, np.diagonal(self.confusion) / np.maximum(seen, 1), np.nan)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A test video that was taken for another class: the probabilities of the class that it was ``taken`` for
    and of its ``true`` one."""

    video_id: str
    label: int
    predicted: int
    true: float
    taken: float


@dataclass(frozen=True, slots=True)
class Panel:
    """One trial of an arm. ``changed`` are its settings that the baseline has otherwise (path, baseline's,
    own), ``confused`` the classes mistaken most often (true, predicted, videos); ``right`` of ``videos`` were
    not mistaken."""

    arm: str
    trial: Trial
    changed: tuple[tuple[str, Any, Any], ...]
    curves: tuple[Curve, ...]
    videos: int
    right: int
    worst: tuple[Mistake, ...]
    confused: tuple[tuple[int, int, int], ...]

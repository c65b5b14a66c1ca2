"""Corrections for asking many questions at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down adjusted p-values, which control the family-wise error rate under any dependence.

    The i-th smallest of m values becomes max over j ≤ i of min(1, (m − j + 1) p_(j)).

    Args:
        p: values in [0, 1]; NaN where there was no test, which stays NaN and does not count in m.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979).
    """
    values = np.asarray(p, np.float64)
    adjusted = np.full(values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    steps = np.arange(len(order), 0, -1) * values[order]
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def shaffer(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Step-down adjusted p-values of subjects with several hypotheses each, of which one at most is true.

    Holm's i-th step multiplies by the number of hypotheses that are left. But only so many can be true
    together as there are subjects of which one is left: that is Shaffer's multiplier. The family-wise error
    rate over all hypotheses is controlled as by Holm, under any dependence: before the first true one is
    rejected, the multiplier counts all that are true. Two corrections side by side, one of each kind of
    hypothesis, control it twice: of arms that are at 0 and arms that are at the margin, either may err.

    Args:
        p: (A, H) of A subjects, in [0, 1]; NaN where there was no test, which stays NaN and does not count.
            With one hypothesis each this is :func:`holm`.

    Source: J. P. Shaffer, "Modified sequentially rejective multiple test procedures", J. Am. Stat. Assoc. 81
    (1986): the multiplier is the greatest number that can still be true, given those already rejected.
    """
    values = np.asarray(p, np.float64)
    adjusted = np.full(values.shape, np.nan)
    left = ~np.isnan(values)
    largest = 0.0
    for place in np.argsort(values, axis=None, kind="stable")[: left.sum()]:
        at = np.unravel_index(place, values.shape)
        largest = max(largest, left.any(axis=1).sum() * values[at])
        adjusted[at] = min(largest, 1.0)
        left[at] = False
    return adjusted

"""What people test the difference of two arms with: the peers of ``calibration.py``.

Each takes the differences of the scores, treated minus baseline, and returns the mean difference, half the
width of its 95 % interval, and p. Differences that do not vary have an interval of no width.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from actrec.stats.paired import quantile, tail

Floats = NDArray[np.float64]
Told = tuple[float, float, float]


def t_test(values: Floats) -> Told:
    """Student's, of (n,): over seeds each seed's mean difference, over videos each video's."""
    return _told(float(values.mean()), float(values.var(ddof=1)) / len(values), len(values) - 1)


def mixed_model(d: Floats, df: float = math.inf) -> Told:
    """A linear mixed model of (S, G), seeds and groups of videos being crossed random effects:

        d[s, g] = mean + seed[s] + group[g] + e[s, g].

    Estimated by restricted maximum likelihood; judged by Wald's test, as by ``MixedLM`` of statsmodels, whose
    numbers these are in a thousandth of the time, or by Student's t with ``df`` degrees of freedom. For such
    a table the likelihood is that of three independent mean squares, of seeds, groups and error, of which
    none is expected below the error's. So the estimates are the mean squares; one that is below the error's
    is pooled with it, the smaller one first.

    Source: Searle, Casella & McCulloch, "Variance Components" (1992), section 4.7; Thompson, "The problem of
    negative estimates of variance components", Ann. Math. Stat. 33 (1962), for the pooling.
    """
    seeds, groups = d.shape
    mean = float(d.mean())
    by_seed, by_group = d.mean(axis=1) - mean, d.mean(axis=0) - mean
    rest = (seeds - 1) * (groups - 1)
    error = float(np.sum((d - mean - by_seed[:, None] - by_group) ** 2)) / rest
    variance = 0.0
    own = [(groups * float(by_seed @ by_seed), seeds - 1), (seeds * float(by_group @ by_group), groups - 1)]
    for square, free in sorted(own, key=lambda one: one[0] / one[1]):
        if square / free < error:
            error, rest = (square + error * rest) / (free + rest), free + rest
        else:
            variance += square / free - error
    variance += error
    return _told(mean, variance / d.size, df)


def _told(difference: float, variance: float, df: float) -> Told:
    if variance <= 0:
        return difference, 0.0, 1.0 if difference == 0 else 0.0
    se = math.sqrt(variance)
    return difference, quantile(df, 0.975) * se, 2 * tail(df, abs(difference) / se)

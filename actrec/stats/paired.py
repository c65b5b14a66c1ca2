"""Arms compared with a baseline, paired by seed, with the seed variance pooled over the arms."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# A variance below this share of the values' size, squared, is rounding.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class PairedEffect:
    """The mean difference of an arm from the baseline over the seeds that both have.

    Attributes:
        difference: its estimate; NaN without a common seed.
        low, high: the ends of its confidence interval; NaN where there is no variance to judge by.
        se, df: its standard error and degrees of freedom.
        p: two-sided, of the hypothesis that the true difference is 0.
        n: seeds in common.
    """

    difference: float
    low: float
    high: float
    se: float
    df: int
    p: float
    n: int


def pooled_paired_effects(
    values: Mapping[str, Mapping[int, float]],
    baseline: str,
    *,
    judged_only: Collection[str] = (),
    level: float = 0.95,
) -> dict[str, PairedEffect]:
    """The effect of every arm but the baseline: d = mean over common seeds of (arm − baseline).

    The model is that of a randomised block design, blocks being seeds:

        y[arm, seed] = mean[arm] + block[seed] + e[arm, seed],   e independent, normal, of one variance.

    Its residual mean square s² has (A − 1)(S − 1) degrees of freedom for A arms (the baseline is one) and S
    seeds; a difference of two arms has variance 2 s²/n, and Student's t with those degrees of freedom is
    exact. With one arm beside the baseline it is the paired t test. Pooling the variances of the arms'
    differences instead would count degrees of freedom that are not there: all contain the same baseline
    (simulated, 8 arms and 3 seeds: 95 % intervals then cover 93 %; these, 95 %).

    Assumed: that the variance is the same in all arms. An arm that is much noisier than the others has too
    narrow an interval, and the others too wide ones. Where seeds are missing the residuals are those of the
    least-squares fit to what there is, and t is a close approximation.

    Args:
        values: arm → seed → metric. Arms need not have the same seeds; a value that is not finite is none.
        baseline: the arm that the others are compared with; it may be missing.
        judged_only: arms that are judged on the same scale but say nothing about it, unless there are no
            others. The placebo is one: it follows the baseline so closely that it would narrow the scale.
        level: of the intervals.

    Source: Montgomery, "Design and Analysis of Experiments" (8th ed.), section 4.1; Gosset (1908).
    """
    finite = {
        arm: {seed: value for seed, value in of_arm.items() if math.isfinite(value)}
        for arm, of_arm in values.items()
    }
    reference = finite.get(baseline, {})
    pool = [arm for arm in finite if arm not in judged_only]
    if set(pool) <= {baseline}:
        pool = list(finite)
    variance, df = residual_variance([finite[arm] for arm in pool])
    return {
        arm: _effect(of_arm, reference, variance, df, level)
        for arm, of_arm in finite.items()
        if arm != baseline
    }


def residual_variance(arms: Collection[Mapping[int, float]]) -> tuple[float, int]:
    """The residual mean square of the least-squares fit mean[arm] + block[seed], its degrees of freedom.

    NaN with 0 degrees of freedom, or where the values do not vary beyond rounding: then they tell no scale.
    """
    cells = [(i, seed, value) for i, arm in enumerate(arms) for seed, value in arm.items()]
    if not cells:
        return math.nan, 0
    rows, seeds, values = zip(*cells, strict=True)
    y = np.array(values, np.float64)
    design = np.hstack([_indicators(np.array(rows)), _indicators(np.array(seeds))])
    fit, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    df = len(y) - int(rank)
    if df == 0:
        return math.nan, 0
    variance = float(np.sum((y - design @ fit) ** 2) / df)
    return (variance if variance > ROUNDING**2 * float(np.max(y**2)) else math.nan), df


def _indicators(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.equal(labels[:, None], np.unique(labels)).astype(np.float64)


def _effect(
    treated: Mapping[int, float], baseline: Mapping[int, float], variance: float, df: int, level: float
) -> PairedEffect:
    common = sorted(treated.keys() & baseline.keys())
    n = len(common)
    difference = math.fsum(treated[seed] - baseline[seed] for seed in common) / n if n else math.nan
    if n < 2 or math.isnan(variance):
        return PairedEffect(difference, math.nan, math.nan, math.nan, df, math.nan, n)
    se = math.sqrt(2 * variance / n)
    half = float(stats.t.ppf((1 + level) / 2, df)) * se
    p = float(2 * stats.t.sf(abs(difference) / se, df))
    return PairedEffect(difference, difference - half, difference + half, se, df, p, n)

"""Two arms compared video by video and seed by seed: inference for new seeds and new videos at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri, stdtr, stdtridf, stdtrit

from actrec.errors import StudyError

Floats = NDArray[np.float64]

ESTIMAND = (
    "What is estimated: by how much the change moves the metric on average, over new training seeds and over "
    "new test videos from the same source, the training set being what it is."
)
# A spread below this share of the values' size is rounding.
ROUNDING = 1e-12
# Of the quantiles whose mean tells the degrees of freedom: that of 95 % intervals.
QUANTILE = 0.975
# Two in five estimates of a part that is nothing but the interaction tell nothing of it.
CHANCE = 0.4


@dataclass(frozen=True, slots=True)
class Parts:
    """A mean difference and what its variance is made of.

    Attributes:
        difference: treated minus baseline, the mean over seeds and videos; NaN without a common seed.
        seeds, groups, interaction: estimates of the variance of the difference when seeds alone are new, when
            groups of videos alone are, and of what both of these contain; NaN where there are not two.
        seeds_df, groups_df: degrees of freedom of the first two.
        n_seeds, n_groups, n_videos: how many were compared. 0 groups: videos are not known one by one, and
            the variance is that over seeds.
    """

    difference: float
    seeds: float
    groups: float
    interaction: float
    seeds_df: float
    groups_df: float
    n_seeds: int
    n_groups: int
    n_videos: int


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference with its uncertainty.

    Attributes:
        difference: treated minus baseline.
        low, high: the ends of its confidence interval.
        se, df: its standard error and degrees of freedom.
        p: two-sided, of the hypothesis that the true difference is 0.
        parts: what it was made of.

    What one seed, one group of videos, or values that do not vary cannot tell is NaN.
    """

    difference: float
    low: float
    high: float
    se: float
    df: float
    p: float
    parts: Parts


@dataclass(frozen=True, slots=True)
class Clusters:
    """Videos sorted by their group. G groups, V videos.

    Attributes:
        order: int64 (V,), which sorts the videos by group.
        starts: int64 (G,), where each group starts among them.
        share: float64 (G,), the share of the videos that each group has.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    share: Floats

    @classmethod
    def of(cls, groups: ArrayLike) -> Clusters:
        """``groups`` is (V,): the group of each video, of any type that sorts."""
        labels = np.asarray(groups)
        order = np.argsort(labels, kind="stable")
        _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
        return cls(order, starts.astype(np.int64), counts / max(len(labels), 1))

    def sums(self, values: Floats) -> Floats:
        """(…, V) → (…, G), added up over the videos of each group."""
        return np.add.reduceat(values[..., self.order], self.starts, axis=-1)

    def df(self) -> float:
        """Degrees of freedom of the variance over groups; G − 1 where they are equally large.

        Those of Bell & McCaffrey ("Bias reduction in standard errors…", Survey Methodology 28, 2002) for a
        mean, with independent videos as the working model: (tr M)² / tr M², where M is the covariance of the
        groups' residuals over √(1 − share); its trace is 1.
        """
        w = self.share
        return float(
            1 / (np.sum(w**2) + np.sum(w**2 / (1 - w)) ** 2 - np.sum((w**2 / (1 - w)) ** 2))
            if len(w) > 1
            else 0.0
        )


def paired_effect(treated: ArrayLike, baseline: ArrayLike, groups: ArrayLike, level: float = 0.95) -> Effect:
    """What a change does to a mean score, for new seeds and new groups of test videos.

    Args:
        treated, baseline: (S, V), the score of each video in the trial of each seed; row s of both shares a
            seed, column v a video. A trial that is missing is a row of NaN; a video that one of the other
            trials lacks does not count.
        groups: (V,), videos that are not independent of each other have the same one (clips of one source).
        level: of the interval.

    Raises:
        StudyError: as :func:`check_scores`.

    Source: variances as in :func:`components`, the distribution as in :func:`spread`.
    """
    ours, theirs = np.asarray(treated, np.float64), np.asarray(baseline, np.float64)
    check_scores({"baseline": theirs, "treated": ours}, level, groups)
    return effect(components(ours, theirs, Clusters.of(groups)), level)


def check_scores(scores: Mapping[str, Floats], level: float, groups: ArrayLike | None = None) -> None:
    """Refuses what NumPy would broadcast or carry along in silence.

    Args:
        scores: arm → (S, V), or (S,) without ``groups``; at least one.

    Raises:
        StudyError: if arms have not the same shape, of 2 dimensions or of 1; a score is infinite; ``groups``
            is not one for each video; or ``level`` is not between 0 and 1. It names the value.
    """
    first, wanted = next(iter(scores.items()))
    shape, axes = wanted.shape, ("seeds",) if groups is None else ("seeds", "videos")
    for arm, values in scores.items():
        if values.ndim != len(axes):
            raise StudyError(f"scores of arm {arm!r} have shape {values.shape}, not ({', '.join(axes)})")
        if values.shape != shape:
            raise StudyError(f"scores of arm {arm!r} have shape {values.shape}, those of {first!r} {shape}")
        if np.isinf(values).any():
            raise StudyError(f"a score of arm {arm!r} is infinite; one that is missing is NaN")
    if groups is not None and np.shape(groups) != shape[1:]:
        raise StudyError(f"groups have shape {np.shape(groups)}, not one for each of {shape[1]} videos")
    if not 0 < level < 1:
        raise StudyError(f"level of intervals is {level}, not between 0 and 1")


def components(treated: ArrayLike, baseline: ArrayLike, clusters: Clusters) -> Parts:
    """The mean difference and the three parts of its variance.

    With d[s, v] the difference of a video's scores on a seed, the parts are the variance of the mean over
    independent seeds, that over independent groups, and that over independent cells of seed and group:

        seeds        Σ_s (d̄[s] − d̄)² / (S (S − 1))
        groups       Σ_g u[g]² / (1 − w[g]),              u[g] = Σ_{v in g} (d̄[v] − d̄) / V
        interaction  Σ_sg c[s, g]² / (1 − w[g]) / (S (S − 1)),   c doubly centred

    where w[g] is the group's share of the videos. Dividing by 1 − w makes the part unbiased for independent
    videos, however unequal the groups (the CR2 correction of Bell & McCaffrey 2002, for a mean).

    Source: Cameron, Gelbach & Miller, "Robust inference with multiway clustering", J. Bus. Econ. Stat. 29
    (2011), equation 2.11; Owen, "The pigeonhole bootstrap", Ann. Appl. Stat. 1 (2007), for crossed random
    effects, of which this is the moment estimate.
    """
    ours, theirs = np.asarray(treated, np.float64), np.asarray(baseline, np.float64)
    rows = ours - theirs
    rows = rows[~np.isnan(rows).all(axis=1)] if rows.size else rows[:0]
    kept = ~np.isnan(rows).any(axis=0)
    if not kept.all():
        labels = np.repeat(np.arange(len(clusters.share)), np.diff([*clusters.starts, len(clusters.order)]))
        group = np.empty(len(labels), np.int64)
        group[clusters.order] = labels
        rows, clusters = rows[:, kept], Clusters.of(group[kept])
    n_seeds, n_videos = rows.shape
    if not n_seeds or not n_videos:
        return Parts(math.nan, math.nan, math.nan, math.nan, 0.0, 0.0, 0, 0, 0)
    noise = (ROUNDING * max(float(np.nanmax(np.abs(ours))), float(np.nanmax(np.abs(theirs))))) ** 2
    share, n_groups = clusters.share, len(clusters.share)
    cells = clusters.sums(rows) / n_videos
    by_seed, by_group = cells.sum(axis=1), cells.mean(axis=0)
    mean = float(by_seed.mean())
    pairs = n_seeds * (n_seeds - 1)
    seeds = groups = interaction = math.nan
    if n_seeds > 1:
        seeds = float(np.sum((by_seed - mean) ** 2)) / pairs
    if n_groups > 1:
        groups = float(np.sum((by_group - share * mean) ** 2 / (1 - share)))
    if n_seeds > 1 and n_groups > 1:
        centred = cells - np.outer(by_seed, share) - by_group + share * mean
        interaction = float(np.sum(centred**2 / (1 - share))) / pairs
    seeds, groups, interaction = (0.0 if part <= noise else part for part in (seeds, groups, interaction))
    return Parts(mean, seeds, groups, interaction, n_seeds - 1.0, clusters.df(), n_seeds, n_groups, n_videos)


def spread(parts: Parts) -> tuple[float, float]:
    """The variance of the difference and its degrees of freedom; NaN and 0 where they cannot be told.

    The variance is seeds + groups − interaction, and never less than either of the first two: few seeds may
    agree by chance, and what is left may even be negative. So it is a part with fewer degrees of freedom, the
    seeds as a rule, and the rest. Its degrees of freedom are those with which Student's quantile is the
    weighted mean of the two parts' own,

        t(df) = w t(few) + (1 − w) t(many),    w = part / variance · min(part / (q interaction), 1)⁸,

    where q is the 0.4 quantile of χ²(few) / few. Satterthwaite's formula, from estimates of the parts, fails
    here: three seeds that agree by chance give a small variance and at once the many degrees of freedom of
    the videos. With these weights errors of 5 % do not become more than 5.03 %, whatever the true parts are.
    The part contains the interaction. If it were nothing else, two in five of its estimates would be below q
    times that: such a one tells nothing of the part, and its weight vanishes.

    Source: Cochran & Cox, "Experimental Designs" (1950), section 4.14, of the variance of a difference that
    is the sum of two; Cochran, "Approximate significance levels of the Behrens-Fisher test", Biometrics 20
    (1964). The last factor is ours; ``tests/stats/test_paired.py`` integrates the coverage it gives.
    """
    seeds, groups, interaction = parts.seeds, parts.groups, parts.interaction
    variance = max(seeds + groups - interaction, seeds, groups)
    if math.isnan(seeds + groups) or variance <= 0:
        return math.nan, 0.0
    (few, part), (many, _) = sorted([(parts.seeds_df, seeds), (parts.groups_df, groups)])
    weight = part / variance
    if interaction > 0:
        low = float(chdtri(few, 1 - CHANCE)) / few
        weight *= min(part / (low * interaction), 1.0) ** 8
    if weight == 1:
        return variance, few
    mean = weight * quantile(few, QUANTILE) + (1 - weight) * quantile(many, QUANTILE)
    return variance, float(stdtridf(QUANTILE, mean))


def effect(parts: Parts, level: float = 0.95) -> Effect:
    """The difference with its interval and p, by Student's t."""
    variance, df = spread(parts)
    if math.isnan(variance):
        return Effect(parts.difference, math.nan, math.nan, math.nan, df, math.nan, parts)
    se = math.sqrt(variance)
    half = quantile(df, (1 + level) / 2) * se
    p = 2 * tail(df, abs(parts.difference) / se)
    return Effect(parts.difference, parts.difference - half, parts.difference + half, se, df, p, parts)


def quantile(df: float, probability: float) -> float:
    """Of Student's t. SciPy's distributions take a hundred times longer for the same number."""
    return float(stdtrit(df, probability))


def tail(df: float, value: float) -> float:
    """The probability that Student's t is larger than ``value``."""
    return float(stdtr(df, -value))

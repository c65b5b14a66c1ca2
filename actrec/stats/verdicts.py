"""What an effect is called, and what it would take to call it something."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from actrec.stats.multiplicity import shaffer
from actrec.stats.paired import Effect, Parts, quantile, spread, tail

ALPHA = 0.05
IDLE: Final = "took no effect"
NONE: Final = "no practical effect"
Verdict = Literal["helps", "hurts", "no practical effect", "inconclusive", "took no effect"]
MOST_SEEDS = 10_000


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an arm is called, and by what: p-values of «it does nothing» and of «it does as much as the margin
    or more», corrected for all that its family asks; NaN where there was no test."""

    verdict: Verdict
    p_adjusted: float
    p_equivalent: float

    @property
    def open(self) -> bool:
        """Whether one of its hypotheses may still be true: then it counts in the others' correction."""
        return self.p_adjusted > ALPHA or self.p_equivalent > ALPHA


def judge_family(
    effects: Sequence[Effect],
    margin: float = math.nan,
    mode: Literal["max", "min"] = "max",
    looks: int = 1,
) -> list[Judgement]:
    """The verdicts of arms that are asked about together: one of them is wrong in 5 % of studies at most.

    An arm may be called something by either of two hypotheses being rejected: that its difference is 0, and
    that it is as large as the margin. One true one of them all makes a wrong verdict if it is rejected, so
    both are corrected together (:func:`~actrec.stats.multiplicity.shaffer`; they cannot both be true).

    Args:
        margin: the smallest difference that matters; NaN or 0: none, and the correction is Holm's.
        mode: the way in which the metric is better.
        looks: at how many numbers of seeds the study judges its arms; p-values are multiplied by it.
    """
    tested = np.array([(one.p, equivalence(one, margin)) for one in effects], np.float64).reshape(-1, 2)
    corrected = np.minimum(shaffer(tested) * looks, 1.0).tolist()
    return [
        Judgement(judge(one.difference, p, mode, p_equivalent), p, p_equivalent)
        for one, (p, p_equivalent) in zip(effects, corrected, strict=True)
    ]


def judge(
    difference: float,
    p_adjusted: float,
    mode: Literal["max", "min"],
    p_equivalent: float = math.nan,
) -> Verdict:
    """The verdict from adjusted p-values, each at most 0.05; NaN decides nothing.

    An effect that is surely smaller than the margin is of no practical effect, also where it is surely not 0.
    """
    if p_equivalent <= ALPHA:
        return NONE
    if not p_adjusted <= ALPHA:
        return "inconclusive"
    return "helps" if (difference > 0) == (mode == "max") else "hurts"


def equivalence(effect: Effect, margin: float) -> float:
    """p of the hypothesis that the true difference is as large as ``margin`` or larger, either way.

    The larger of two one-sided tests; NaN without a standard error or margin.

    Source: Schuirmann, "A comparison of the two one-sided tests procedure and the power approach…", J.
    Pharmacokinet. Biopharm. 15 (1987).
    """
    if not effect.se > 0 or not margin > 0:
        return math.nan
    return tail(effect.df, (margin - abs(effect.difference)) / effect.se)


def further_seeds(parts: Parts, margin: float = math.nan, alpha: float = ALPHA) -> int | None:
    """How many more seeds would settle the verdict if everything is as it is now estimated.

    With k times the seeds, what seeds contribute to the variance falls to 1/k of it, and so does the
    interaction; what videos contribute stays. Settled means that a test at ``alpha`` tells the difference
    from 0, or tells that it is smaller than ``margin``.

    Args:
        parts: of the difference, seeds moderated or not.
        margin: the smallest difference that matters; NaN: none.
        alpha: of one test, corrected for how many there are.

    Returns:
        The least number, 0 where it is settled; None where no number of seeds would do (nor 10,000): then it
        takes more test videos. None also where there is no variance to go by.
    """
    if math.isnan(spread(parts)[0]):
        return None
    if not settled(projected(parts, MOST_SEEDS), margin, alpha):
        return None
    low, high = parts.n_seeds - 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(projected(parts, middle), margin, alpha) else (middle, high)
    return high - parts.n_seeds


def settled(parts: Parts, margin: float, alpha: float) -> bool:
    """Whether a test at ``alpha`` decides, one way or the other."""
    variance, df = spread(parts)
    size = abs(parts.difference)
    if not variance > 0:
        return size > 0 or margin > 0
    se = math.sqrt(variance)
    return size >= quantile(df, 1 - alpha / 2) * se or size + quantile(df, 1 - alpha) * se <= margin


def projected(parts: Parts, n_seeds: int) -> Parts:
    """``parts`` as they would be with ``n_seeds`` seeds and the same videos."""
    if n_seeds == parts.n_seeds:
        return parts
    less = parts.n_seeds / n_seeds
    interaction = parts.interaction * less
    return dataclasses.replace(
        parts,
        seeds=parts.seeds * less,
        interaction=interaction,
        groups=max(parts.groups - parts.interaction, 0.0) + interaction,
        seeds_df=max(parts.seeds_df, n_seeds - 1.0),
        n_seeds=n_seeds,
    )

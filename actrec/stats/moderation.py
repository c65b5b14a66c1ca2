"""The variance over few seeds, pooled over the arms of a study and moderated towards each arm's own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, polygamma

from actrec.stats.paired import ROUNDING, Floats, Parts

# The prior is worth no more degrees of freedom than this, however alike the arms seem. A stronger one narrows
# intervals by 2 % at most, but covers an arm that is noisier than the others ever less often, and a few seeds
# cannot tell which arm is. A weaker one costs more power than it gains coverage. Simulated; see
# docs/statistics.md.
MOST_PRIOR_DF = 4.0


@dataclass(frozen=True, slots=True)
class Pool:
    """What the arms of a study tell together of the variance of a trial.

    Attributes:
        variance: of a trial of an arm, that of its seed apart, mean over the arms; NaN where nothing varies.
        df: degrees of freedom of that.
        prior_df: how many degrees of freedom the pooled variance is worth as a prior for one arm; infinite
            where the arms do not differ more than chance has it.
    """

    variance: float
    df: float
    prior_df: float


def pool(values: Sequence[Floats] | Floats) -> Pool:
    """Fits the model of a randomised block design, blocks being seeds, each arm with a variance of its own:

        y[arm, seed] = mean[arm] + block[seed] + e[arm, seed],   e independent.

    The residual mean square over all arms has (A − 1)(S − 1) degrees of freedom for A arms, the baseline one
    of them, and S seeds. Pooling the variances of the arms' differences from the baseline instead would count
    degrees of freedom that are not there: all contain the same baseline. The residuals of the arms, in
    contrast, hardly depend on each other, so what their mean squares differ beyond chance tells the prior.

    Args:
        values: (A, S), the metric of each trial; NaN where there is none.

    Source: Montgomery, "Design and Analysis of Experiments" (8th ed.), section 4.1; :func:`prior_df`.
    """
    y = np.asarray(values, np.float64)
    seen = ~np.isnan(y)
    seen &= (seen.sum(axis=1) > 1)[:, None]
    arm, seed = np.nonzero(seen)
    if not len(arm):
        return Pool(math.nan, 0.0, math.inf)
    count = seen.sum(axis=1)
    blocks = np.equal(seed[:, None], np.arange(y.shape[1])) - (seen / np.maximum(count, 1)[:, None])[arm]
    centred = y[seen] - (np.where(seen, y, 0.0).sum(axis=1) / np.maximum(count, 1))[arm]
    inverse = np.linalg.pinv(blocks.T @ blocks)
    residual = centred - blocks @ (inverse @ (blocks.T @ centred))
    free = 1 - 1 / count[arm] - np.sum((blocks @ inverse) * blocks, axis=1)
    squares = np.bincount(arm, residual**2, len(y)).astype(np.float64)
    dfs = np.bincount(arm, np.maximum(free, 0.0), len(y)).astype(np.float64)
    df = float(dfs.sum())
    if df < 0.5:
        return Pool(math.nan, 0.0, math.inf)
    variance = float(squares.sum() / df)
    if variance <= (ROUNDING * float(np.max(np.abs(y[seen])))) ** 2:
        return Pool(math.nan, df, math.inf)
    counted = dfs > 0.5
    own = np.maximum(squares[counted] / dfs[counted], 1e-5 * variance)  # a variance of 0 has no logarithm
    return Pool(variance, df, prior_df(own, dfs[counted]))


def prior_df(variances: Floats, dfs: Floats) -> float:
    """Degrees of freedom of the inverse χ² that true variances are drawn from, by moments of log s².

    log s² has variance trigamma(df / 2) about log σ², and log σ² has trigamma(prior / 2). Infinite where the
    logarithms vary no more than the first says.

    Args:
        variances, dfs: float64 (A,), estimates and their degrees of freedom.

    Source: Smyth, "Linear models and empirical Bayes methods for assessing differential expression…", Stat.
    Appl. Genet. Mol. Biol. 3 (2004), section 6.2, doi:10.2202/1544-6115.1027.
    """
    if len(variances) < 2:
        return math.inf
    logs = np.log(variances) - digamma(dfs / 2) + np.log(dfs / 2)
    beyond = float(np.var(logs, ddof=1) - np.mean(polygamma(1, dfs / 2)))
    return 2 * trigamma_inverse(beyond) if beyond > 0 else math.inf


def trigamma_inverse(value: float) -> float:
    """x > 0 with trigamma(x) = ``value`` > 0, by Newton's method on 1 / trigamma, which is convex.

    Source: Smyth (2004), appendix.
    """
    if value < 1e-6:  # trigamma(x) → 1/x
        return 1 / value
    x = 0.5 + 1 / value
    for _ in range(50):
        now = float(polygamma(1, x))
        step = now * (1 - now / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-10:
            break
    return x


def moderated(parts: Parts, pooled: Pool) -> Parts:
    """``parts`` with the variance over seeds drawn towards the pooled one.

        seeds = w · 2 variance / n + (1 − w) · own,     w = prior / (prior + ν),
        1/df  = (1 − w)² / ν + (1 − (1 − w)²) / ν_pool,

    where ν = n − 1 is of the arm's own differences, and a difference has the variance of two trials. The
    second line is Satterthwaite's for the first: the covariance of the arm's own variance with the pooled
    one, of which it is a part, is the variance of the pooled one.

    Source: Smyth (2004), equation 3; the prior is capped at :data:`MOST_PRIOR_DF`.
    """
    own = parts.seeds_df
    if parts.n_seeds < 2 or math.isnan(pooled.variance):
        return parts
    prior = min(pooled.prior_df, MOST_PRIOR_DF)
    mine = own / (prior + own)
    shared = 2 * pooled.variance / parts.n_seeds
    return dataclasses.replace(
        parts,
        seeds=(1 - mine) * shared + mine * parts.seeds,
        seeds_df=1 / (mine**2 / own + (1 - mine**2) / max(pooled.df, own)),
    )

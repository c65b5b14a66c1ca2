"""How narrow intervals can be that still cover where the baseline alone is noisier: a bound for any method.

Suppose that all is known but the true difference and the baseline's variance over seeds: the arms' variance
is 1, there are no videos, values are normal. Of the baseline's variance σ² a method knows an estimate u,
which is σ² χ²(ν) / ν, ν = seeds − 1. An interval is a half width h(u), and covers with

    C(h | σ²) = E[ 2 Φ(h(u) / √(1 + σ²)) − 1 ].

Sought is the h of the least mean width at σ² = 1 that covers 95 % there and 93 % at σ² = 4. For any λ, μ ≥ 0,

    min over h of  E[h | σ² = 1] − λ (C(h | 4) − 0.93) − μ (C(h | 1) − 0.95)

is no more than that (weak duality; Boyd & Vandenberghe, "Convex Optimization" (2004), section 5.2.2), and for
every u by itself a minimum over one number. Told is the greatest such bound.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, stats


def least_width(seeds: int, noisier: float = 4.0, coverage: float = 0.93, level: float = 0.95) -> float:
    """The bound, as a share of the mean width of the paired t interval, which takes each arm by itself."""
    df = seeds - 1
    edges = np.geomspace(1e-6, 100, 401)
    alike, noisy = (np.diff(stats.chi2.cdf(edges * df / factor, df)) for factor in (1, noisier))
    half = np.linspace(0, 15, 601)
    covers, covers_noisy = (2 * stats.norm.cdf(half / np.sqrt(1 + factor)) - 1 for factor in (1, noisier))

    def negative_bound(multipliers: np.ndarray) -> float:
        one, other = abs(multipliers)
        lagrangian = np.outer(alike, half - one * covers) - np.outer(noisy, other * covers_noisy)
        return -float(lagrangian.min(axis=1).sum() + one * level + other * coverage)

    bound = -optimize.minimize(negative_bound, [10.0, 5.0], method="Nelder-Mead", tol=1e-5).fun
    alone = stats.t.ppf(0.5 + level / 2, df) * stats.chi.mean(df) * np.sqrt(2 / df)
    return float(bound / alone)

"""Variances pooled over arms and moderated towards each arm's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import polygamma

from actrec.errors import StudyError
from actrec.stats.arms import seed_effects, study_effects
from actrec.stats.moderation import Pool, moderated, pool, prior_df, trigamma_inverse
from actrec.stats.paired import Parts, paired_effect

STUDIES = 800


@pytest.mark.parametrize("x", [1e-3, 0.1, 1.0, 4.0, 1e3])
def test_trigamma_inverse(x: float) -> None:
    assert trigamma_inverse(float(polygamma(1, x))) == pytest.approx(x)


def test_prior_df_by_hand() -> None:
    # Two arms of 8 df with log s² = ±x have a variance of 2 x² about their mean. Chance makes trigamma(4) of
    # it; a prior of 6 df would add trigamma(3).
    x = math.sqrt(float(polygamma(1, 4.0) + polygamma(1, 3.0)) / 2)
    dfs = np.array([8.0, 8.0])
    assert prior_df(np.exp([x, -x]), dfs) == pytest.approx(6.0)
    assert prior_df(np.exp([x / 2, -x / 2]), dfs) == math.inf, "no more than chance"


def test_prior_df_finds_what_variances_were_drawn_from() -> None:
    # Smyth (2004), equation 1: σ² = d₀ s₀² / χ²(d₀), and s² = σ² χ²(d) / d.
    rng = np.random.default_rng(1)
    sigma2 = 6 * 0.3 / rng.chisquare(6, 20_000)
    s2 = sigma2 * rng.chisquare(4, 20_000) / 4
    assert prior_df(s2, np.full(20_000, 4.0)) == pytest.approx(6, rel=0.05)


def test_residual_variance_by_hand() -> None:
    # y = [[0, 2], [1, 5], [2, 2]] has arm means 1, 3, 2, seed means 1, 3 and grand mean 2; the residuals
    # y − arm − seed + grand are [[0, 0], [−1, 1], [1, −1]]. Their squares sum to 4; df = (3 − 1)(2 − 1) = 2.
    found = pool(np.array([[0.0, 2.0], [1.0, 5.0], [2.0, 2.0]]))
    assert (found.variance, found.df) == pytest.approx((2.0, 2.0))


def test_missing_trials_leave_the_residuals_of_least_squares() -> None:
    y = np.random.default_rng(2).normal(size=(4, 5))
    y[0, 1] = y[2, 3] = y[2, 4] = np.nan
    arm, seed = np.nonzero(~np.isnan(y))
    design = np.hstack([np.equal(arm[:, None], np.arange(4)), np.equal(seed[:, None], np.arange(5))])
    values = y[arm, seed]
    fit, _, rank, _ = np.linalg.lstsq(design.astype(float), values, rcond=None)
    found = pool(y)
    assert found.df == pytest.approx(len(values) - rank)
    assert found.variance == pytest.approx(float(np.sum((values - design @ fit) ** 2)) / found.df)


def test_moderation_by_hand() -> None:
    own = Parts(0.1, seeds=0.5, groups=0.0, interaction=0.0, seeds_df=2, groups_df=math.inf,
                n_seeds=3, n_groups=0, n_videos=0)  # fmt: skip
    # A difference of two trials has 2 × 0.3; over 3 seeds 0.2. Prior 2 df, own 2: half of 0.2, half of 0.5.
    # 1/df = (1/2)² / 2 + (1 − 1/4) / 16 = 11/64.
    found = moderated(own, Pool(0.3, 16, 2))
    assert (found.seeds, found.seeds_df) == pytest.approx((0.35, 64 / 11))
    # However alike the arms: 4 prior df. 0.2 × 2/3 + 0.5 / 3; 1/df = 1/18 + 8/9/16 = 1/9.
    found = moderated(own, Pool(0.3, 16, math.inf))
    assert (found.seeds, found.seeds_df) == pytest.approx((0.3, 9))
    assert moderated(own, Pool(0.3, 2, math.inf)).seeds_df == pytest.approx(2), "the pool has no more"
    assert moderated(own, Pool(math.nan, 0, math.inf)) == own


def test_one_arm_is_the_paired_t_test_of_scipy() -> None:
    rng = np.random.default_rng(3)
    base, treated = rng.normal(size=7), rng.normal(size=7) + 0.4
    (found,) = seed_effects({"base": base, "arm": treated}, "base")
    wanted = stats.ttest_rel(treated, base)
    interval = wanted.confidence_interval(0.95)
    assert (found.p, found.df) == pytest.approx((wanted.pvalue, wanted.df))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_one_arm_has_nothing_to_pool() -> None:
    y = (np.random.default_rng(4).random((2, 5, 60)) < 0.7).astype(float)
    (found,) = study_effects({"base": y[0], "arm": y[1]}, "base", np.arange(60))
    alone = paired_effect(y[1], y[0], np.arange(60))
    assert (found.se, found.df, found.p) == pytest.approx((alone.se, alone.df, alone.p))


@pytest.mark.parametrize(
    ("arms", "seeds", "missing"), [(1, 3, False), (4, 3, False), (8, 5, False), (4, 5, True)]
)
def test_intervals_over_seeds_cover(arms: int, seeds: int, missing: bool) -> None:
    rng = np.random.default_rng(arms * 10 + seeds)
    covered = 0
    for _ in range(STUDIES):
        y = rng.normal(size=seeds) * 3 + rng.normal(size=(arms + 1, seeds))
        if missing:
            y[1, 1] = y[0, 2] = np.nan
        found = seed_effects({str(arm): row for arm, row in enumerate(y)}, "0")[0]
        covered += found.low <= 0 <= found.high
    # A test at level 0.001 of "coverage is at least 0.95"; the prior of few arms makes it more.
    assert stats.binomtest(covered, STUDIES, 0.95, alternative="less").pvalue > 0.001
    assert covered <= 0.98 * STUDIES


def test_pooling_narrows_intervals_at_3_seeds_and_8_arms_to_less_than_0_6() -> None:
    rng = np.random.default_rng(5)
    widths = []
    for _ in range(800):
        y = rng.normal(size=3) + rng.normal(size=(9, 3))
        found = seed_effects({str(arm): row for arm, row in enumerate(y)}, "0")
        widths.append(np.mean([effect.high - effect.low for effect in found]))
    # Alone an arm has 2 t(2) s / √3, where s² = 2 χ²(2) / 2, so that E[s] = √2 √π / 2.
    alone = 2 * stats.t.ppf(0.975, 2) * math.sqrt(2 / 3) * math.sqrt(math.pi) / 2
    assert np.mean(widths) <= 0.6 * alone


def test_the_placebo_says_nothing_about_the_scale() -> None:
    rng = np.random.default_rng(6)
    y = {str(arm): row for arm, row in enumerate(rng.normal(size=(4, 5)))}
    placebo = y["0"] + 1e-3 * np.array([1, -1, 1, -1, 1])
    with_it = seed_effects({**y, "placebo": placebo}, "0", judged_only={"placebo"})
    assert with_it[:3] == seed_effects(y, "0")
    assert with_it[3].se > 0.1, "it is judged on the others' scale"
    (only,) = seed_effects({"0": y["0"], "placebo": placebo}, "0", judged_only={"placebo"})
    assert only.se < 1e-2, "where there is nothing else, it is its own scale"


def test_a_video_that_any_trial_lacks_counts_in_no_arm() -> None:
    y = (np.random.default_rng(7).random((3, 4, 30)) < 0.7).astype(float)
    cut = np.delete(y, 5, axis=2)
    y[2, 1, 5] = np.nan
    found = study_effects(dict(zip("abc", y, strict=True)), "a", np.arange(30))
    assert found == study_effects(dict(zip("abc", cut, strict=True)), "a", np.arange(29))


def test_an_unknown_baseline_is_named() -> None:
    with pytest.raises(StudyError, match="nobody"):
        study_effects({"a": [[1.0]]}, "nobody", [0])
    with pytest.raises(StudyError, match="nobody"):
        seed_effects({"a": [1.0]}, "nobody")

"""Paired effects with a pooled seed variance, against scipy and by simulation."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from actrec.stats.multiplicity import holm
from actrec.stats.paired import PairedEffect, pooled_paired_effects, residual_variance

STUDIES = 2000


def by_seed(values: NDArray[np.float64]) -> dict[int, float]:
    return dict(enumerate(values.tolist()))


def study(
    rng: np.random.Generator, arms: int, seeds: int, spread: float = 1.0
) -> dict[str, dict[int, float]]:
    """Arms without any effect, of which seeds move all alike and each by itself."""
    y = rng.normal(size=(1, seeds)) * 3 + rng.normal(size=(arms + 1, seeds)) * spread
    return {name: by_seed(row) for name, row in zip(["baseline", *map(str, range(arms))], y, strict=True)}


def test_one_arm_is_the_paired_t_test_of_scipy() -> None:
    rng = np.random.default_rng(1)
    baseline, treated = rng.normal(size=7), rng.normal(size=7) + 0.4
    (effect,) = pooled_paired_effects(
        {"baseline": by_seed(baseline), "arm": by_seed(treated)}, "baseline"
    ).values()
    wanted = stats.ttest_rel(treated, baseline)
    interval = wanted.confidence_interval(0.95)
    assert effect.p == pytest.approx(wanted.pvalue)
    assert effect.df == wanted.df
    assert (effect.low, effect.high) == pytest.approx((interval.low, interval.high))
    assert effect.difference == pytest.approx(float(np.mean(treated - baseline)))


def test_residual_variance_by_hand() -> None:
    # y = [[0, 2], [1, 5], [2, 2]] has arm means 1, 3, 2, seed means 1, 3 and grand mean 2; the residuals
    # y − arm − seed + grand are [[0, 0], [−1, 1], [1, −1]]. Their squares sum to 4; df = (3 − 1)(2 − 1) = 2.
    variance, df = residual_variance([{0: 0.0, 1: 2.0}, {0: 1.0, 1: 5.0}, {0: 2.0, 1: 2.0}])
    assert variance == pytest.approx(2.0)
    assert df == 2


def test_a_seed_effect_common_to_all_arms_cancels() -> None:
    values = study(np.random.default_rng(2), arms=3, seeds=4)
    shifted = {arm: {s: v + 10.0 * s for s, v in of_arm.items()} for arm, of_arm in values.items()}
    one, other = (pooled_paired_effects(v, "baseline") for v in (values, shifted))
    for arm in one:
        assert one[arm].difference == pytest.approx(other[arm].difference)
        assert one[arm].se == pytest.approx(other[arm].se)


@pytest.mark.parametrize(
    ("arms", "seeds", "missing"), [(1, 3, False), (4, 3, False), (8, 5, False), (4, 5, True)]
)
def test_intervals_cover_and_verdicts_err_as_often_as_they_say(arms: int, seeds: int, missing: bool) -> None:
    rng = np.random.default_rng(arms * 10 + seeds)
    covered = wrong = 0
    for _ in range(STUDIES):
        values = study(rng, arms, seeds)
        if missing:
            del values["0"][1], values["baseline"][2]
        found = pooled_paired_effects(values, "baseline")
        covered += found["0"].low <= 0 <= found["0"].high
        wrong += holm([effect.p for effect in found.values()]).min() <= 0.05
    # A test at level 0.001 of "coverage is 0.95", so within ±0.016 of it.
    assert stats.binomtest(covered, STUDIES, 0.95).pvalue > 0.001
    assert stats.binomtest(wrong, STUDIES, 0.05, alternative="greater").pvalue > 0.001


def test_pooling_narrows_intervals() -> None:
    # At 3 seeds t goes from 4.30 (2 df) to 2.12 (16 df); half the width, on average, at the same coverage.
    rng = np.random.default_rng(3)
    alone = pooled = 0.0
    for _ in range(200):
        values = study(rng, arms=8, seeds=3)
        effect = pooled_paired_effects(values, "baseline")["0"]
        pooled += effect.high - effect.low
        effect = pooled_paired_effects({arm: values[arm] for arm in ("baseline", "0")}, "baseline")["0"]
        alone += effect.high - effect.low
    assert pooled < 0.65 * alone


def nothing_known(effect: PairedEffect) -> bool:
    return all(math.isnan(x) for x in (effect.low, effect.high, effect.se, effect.p))


def test_one_seed_gives_a_difference_and_nothing_else() -> None:
    found = pooled_paired_effects({"baseline": {0: 0.5}, "a": {0: 0.7}, "b": {0: 0.4}}, "baseline")
    assert found["a"].difference == pytest.approx(0.2)
    assert all(nothing_known(effect) for effect in found.values())


@pytest.mark.parametrize("gain", [0.0, 0.1])
def test_values_that_do_not_vary_prove_nothing(gain: float) -> None:
    # 0.1 + k/10 is inexact in binary: the residuals are rounding, not exactly 0.
    baseline = {seed: seed / 10 for seed in range(5)}
    found = pooled_paired_effects(
        {"baseline": baseline, "a": {s: v + gain for s, v in baseline.items()}}, "baseline"
    )
    assert found["a"].difference == pytest.approx(gain)
    assert nothing_known(found["a"])


def test_only_common_seeds_count() -> None:
    values = {
        "baseline": {0: 0.1, 1: 0.2, 2: 0.3, 3: math.nan},
        "a": {1: 0.4, 2: 0.6, 3: 0.9, 4: 0.9},
        "b": {0: 0.2, 1: 0.1, 2: 0.5, 3: 0.1},
        "c": {},
    }
    found = pooled_paired_effects(values, "baseline")
    assert (found["a"].n, found["b"].n, found["c"].n) == (2, 3, 0)
    assert found["a"].difference == pytest.approx((0.2 + 0.3) / 2)
    assert found["a"].se / found["b"].se == pytest.approx(math.sqrt(3 / 2))
    assert math.isnan(found["c"].difference)


def test_without_a_baseline_nothing_is_known() -> None:
    found = pooled_paired_effects({"a": {0: 1.0, 1: 2.0}, "b": {0: 1.5, 1: 1.0}}, "baseline")
    assert set(found) == {"a", "b"}
    assert all(nothing_known(effect) and effect.n == 0 for effect in found.values())


def test_the_placebo_is_judged_by_the_scale_of_the_others() -> None:
    values = study(np.random.default_rng(4), arms=3, seeds=5)
    placebo = {seed: value + 1e-3 * (-1) ** seed for seed, value in values["baseline"].items()}
    with_placebo = pooled_paired_effects({**values, "placebo": placebo}, "baseline", judged_only={"placebo"})
    without = pooled_paired_effects(values, "baseline")
    assert {arm: effect for arm, effect in with_placebo.items() if arm != "placebo"} == without
    assert with_placebo["placebo"].se == without["0"].se
    only = pooled_paired_effects(
        {"baseline": values["baseline"], "placebo": placebo}, "baseline", judged_only={"placebo"}
    )
    assert only["placebo"].se < 1e-2, "where there is nothing else, it is its own scale"


def test_degenerate_input_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pooled_paired_effects({}, "baseline") == {}
        assert pooled_paired_effects({"baseline": {0: 1.0}}, "baseline") == {}

"""Effects for new seeds and new videos, against scipy, statsmodels and arithmetic."""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm  # type: ignore[import-untyped]
from scipy import stats
from statsmodels.stats.sandwich_covariance import cov_cluster_2groups  # type: ignore[import-untyped]

from actrec.errors import StudyError
from actrec.stats.arms import seed_effects, study_effects
from actrec.stats.paired import Clusters, Parts, components, effect, paired_effect, quantile, spread


def binary(rng: np.random.Generator, seeds: int, videos: int) -> np.ndarray:
    return (rng.random((2, seeds, videos)) < 0.7).astype(np.float64)


def test_where_all_videos_move_alike_it_is_the_paired_t_test_of_scipy() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.normal(size=7) + 0.4, rng.normal(size=7)
    found = paired_effect(
        np.tile(ours[:, None], 12), np.tile(theirs[:, None], 12), np.repeat(["a", "b", "c"], 4)
    )
    wanted = stats.ttest_rel(ours, theirs)
    interval = wanted.confidence_interval(0.95)
    assert found.p == pytest.approx(wanted.pvalue)
    assert found.df == pytest.approx(wanted.df)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_where_all_seeds_agree_it_is_the_t_test_over_group_means() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=(2, 1, 20)).repeat(4, axis=1)
    groups = np.arange(20) % 5  # of 4 videos each
    found = paired_effect(y[1], y[0], groups)
    means = [(y[1, 0] - y[0, 0])[groups == group].mean() for group in range(5)]
    wanted = stats.ttest_1samp(means, 0.0)
    assert found.p == pytest.approx(wanted.pvalue)
    assert found.df == pytest.approx(4)


def test_the_parts_are_those_of_two_way_clustering_in_statsmodels() -> None:
    rng = np.random.default_rng(3)
    seeds, videos = 4, 30
    y = rng.normal(size=(2, seeds, videos)) + 0.3 * rng.normal(size=(2, seeds, 1))
    groups = np.arange(videos) // 3
    parts = components(y[1], y[0], Clusters.of(groups))
    d = (y[1] - y[0]).ravel()
    fit = sm.OLS(d, np.ones_like(d)).fit()
    seed, group = np.repeat(np.arange(seeds), videos), np.tile(groups, seeds)
    both, by_seed, by_group = (
        matrix.item() for matrix in cov_cluster_2groups(fit, seed, group, use_correction=False)
    )
    # Uncorrected parts divide by n and not by n − 1. Theirs of the cells is taken about the mean; ours is
    # doubly centred, which takes out the shares of the other two.
    assert parts.seeds == pytest.approx(by_seed * seeds / (seeds - 1))
    assert parts.groups == pytest.approx(by_group * 10 / 9)
    intersection = by_seed + by_group - both
    centred = intersection - by_seed / 10 - by_group / seeds
    assert parts.interaction == pytest.approx(centred * seeds / (seeds - 1) * 10 / 9)


def test_parts_by_hand() -> None:
    # d = [[1, 0], [3, 0]]: seed means ½, 1½ about 1; Σ² = ½, over S (S − 1) = 2: seeds = ¼. Video means 2, 0
    # about 1, over V: u = ½, −½; Σ u² / (1 − ½) = 1. Doubly centred: ∓½ and ±½, over V ∓¼: Σ c² = ¼,
    # over 1 − ½ and S (S − 1) = 2: interaction = ¼.
    parts = components([[1, 0], [3, 0]], np.zeros((2, 2)), Clusters.of([0, 1]))
    assert (parts.difference, parts.seeds, parts.groups, parts.interaction) == pytest.approx(
        (1, 0.25, 1, 0.25)
    )
    # The variance is ¼ + 1 − ¼ = 1, and both parts have 1 degree of freedom.
    assert spread(parts) == pytest.approx((1.0, 1.0))


def test_degrees_of_freedom_by_hand() -> None:
    # Variance 2 + 2 − 1, of which the seeds are 2/3. t(2) = 4.3027, t(4) = 2.7764.
    parts = Parts(0.0, seeds=2, groups=2, interaction=1, seeds_df=2, groups_df=4,
                  n_seeds=3, n_groups=5, n_videos=5)  # fmt: skip
    variance, df = spread(parts)
    assert variance == 3
    assert quantile(df, 0.975) == pytest.approx(2 / 3 * 4.3027 + 1 / 3 * 2.7764, abs=1e-4)
    # Seeds vary 0.4 times as much as the interaction: variance max(1.4, 0.4, 2), of which they are 0.2. The
    # 0.4 quantile of χ²(2) is 2 log 5/3, so their weight is 0.2 times (0.4 / log 5/3)⁸ = 0.14135.
    variance, df = spread(dataclasses.replace(parts, seeds=0.4))
    assert variance == 2
    weight = 0.2 * 0.14135
    assert quantile(df, 0.975) == pytest.approx(weight * 4.3027 + (1 - weight) * 2.7764, abs=1e-4)


@pytest.mark.parametrize("seeds_df", [2, 4, 9])
def test_few_seeds_err_as_often_as_they_say_whatever_the_parts_are(seeds_df: int) -> None:
    # Normal values, many videos: the interaction is estimated as the 1 that it is, groups as 1 + rest, and
    # the seeds are χ². So the true variance is seeds + rest, and coverage the mean over quantiles of that χ².
    share = (np.arange(200) + 0.5) / 200
    for seeds, rest in itertools.product((1.0, 1.5, 3, 6, 8, 10, 15, 30, 1000), (0.0, 0.3, 1, 3, 10)):
        covered = []
        for estimate in seeds * stats.chi2.ppf(share, seeds_df) / seeds_df:
            parts = Parts(
                0.0, estimate, 1 + rest, 1.0, seeds_df, 199, seeds_df + 1, n_groups=200, n_videos=200
            )
            half = effect(parts).high
            covered.append(2 * stats.norm.cdf(half / math.sqrt(seeds + rest)) - 1)
        assert 0.9495 < np.mean(covered) < 0.984, (seeds, rest)


def test_unequal_groups_have_the_variance_and_degrees_of_freedom_of_bell_and_mccaffrey() -> None:
    # Their definitions with matrices: residuals e = (I − H) d, each group's scaled by (1 − h)^−½. The form
    # has mean σ²/V for iid videos and, by its eigenvalues, df = (Σ λ)² / Σ λ².
    groups = np.repeat([0, 1, 2, 3], [1, 2, 4, 9])
    n = len(groups)
    design = np.eye(n) - np.full((n, n), 1 / n)
    share = np.bincount(groups) / n
    rows = np.array([design[groups == g].sum(axis=0) / n / math.sqrt(1 - share[g]) for g in range(4)])
    eigenvalues = np.linalg.eigvalsh(rows @ rows.T)
    assert eigenvalues.sum() == pytest.approx(1 / n)
    clusters = Clusters.of(groups)
    assert clusters.df() == pytest.approx(eigenvalues.sum() ** 2 / np.sum(eigenvalues**2))
    d = np.random.default_rng(4).normal(size=n)
    parts = components(np.tile(d, (2, 1)), np.zeros((2, n)), clusters)
    assert parts.groups == pytest.approx(float(np.sum((rows @ d) ** 2)))


def test_the_variance_is_never_less_than_that_over_seeds_or_videos_alone() -> None:
    agreed = Parts(0.1, seeds=1e-6, groups=4e-4, interaction=3e-4, seeds_df=2, groups_df=99,
                   n_seeds=3, n_groups=100, n_videos=100)  # fmt: skip
    assert spread(agreed) == pytest.approx((4e-4, 99), rel=1e-3)
    strong = Parts(0.1, seeds=4e-4, groups=1e-4, interaction=3e-4, seeds_df=2, groups_df=99,
                   n_seeds=3, n_groups=100, n_videos=100)  # fmt: skip
    assert spread(strong)[0] == pytest.approx(4e-4)
    assert 2 <= spread(strong)[1] < 3


def test_missing_trials_and_videos_are_left_out() -> None:
    y = binary(np.random.default_rng(5), 5, 40)
    groups = np.arange(40) // 2
    whole = paired_effect(np.delete(y[1], 2, 0)[:, 3:], np.delete(y[0], 2, 0)[:, 3:], groups[3:])
    y[1, 2] = np.nan
    y[0, 0, :3] = np.nan
    found = paired_effect(y[1], y[0], groups)
    assert found == whole
    assert (found.parts.n_seeds, found.parts.n_videos, found.parts.n_groups) == (4, 37, 19)


def test_names_and_order_of_groups_do_not_matter() -> None:
    rng = np.random.default_rng(6)
    y, groups = binary(rng, 3, 40), rng.integers(0, 9, 40)
    order = rng.permutation(40)
    one = paired_effect(y[1], y[0], groups)
    other = paired_effect(y[1][:, order], y[0][:, order], np.array([f"g{g}" for g in 9 - groups])[order])
    assert (one.se, one.df, one.p) == pytest.approx((other.se, other.df, other.p))


@pytest.mark.parametrize(("seeds", "groups"), [(1, [0, 1, 2]), (3, [0, 0, 0]), (3, []), (0, [0, 1])], ids=str)
def test_what_cannot_be_told_is_nan_and_silent(seeds: int, groups: list[int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paired_effect(np.ones((seeds, len(groups))), np.zeros((seeds, len(groups))), groups)
    assert all(math.isnan(x) for x in (found.low, found.high, found.se, found.p))
    assert math.isnan(found.difference) == (not seeds or not groups)


def test_values_that_do_not_vary_prove_nothing() -> None:
    # 0.1 + k/10 is inexact in binary: what is left over is rounding.
    base = np.arange(12.0).reshape(3, 4) / 10
    found = paired_effect(base + 0.1, base, np.arange(4))
    assert found.difference == pytest.approx(0.1)
    assert math.isnan(found.se)


def test_the_level_is_that_of_the_interval() -> None:
    y = binary(np.random.default_rng(7), 5, 60)
    wide, narrow = (paired_effect(y[1], y[0], np.arange(60), level) for level in (0.99, 0.9))
    assert wide.low < narrow.low < narrow.high < wide.high
    at_p = effect(wide.parts, 1 - wide.p)
    assert min(abs(at_p.low), abs(at_p.high)) == pytest.approx(0, abs=1e-12)


GOOD = np.arange(6.0).reshape(2, 3)
BAD: list[tuple[dict[str, Any], str]] = [
    ({"arm": GOOD[:1]}, r"arm 'arm' have shape \(1, 3\), those of 'base' \(2, 3\)"),
    ({"arm": GOOD[0]}, r"arm 'arm' have shape \(3,\), not \(seeds, videos\)"),
    ({"arm": np.where(GOOD == 4, np.inf, GOOD)}, "a score of arm 'arm' is infinite"),
    ({"groups": [0, 1]}, r"groups have shape \(2,\), not one for each of 3 videos"),
    ({"groups": [[0, 1, 2]]}, r"groups have shape \(1, 3\)"),
    ({"level": 95}, "level of intervals is 95, not between 0 and 1"),
    ({"level": math.nan}, "level of intervals is nan"),
]


@pytest.mark.parametrize(("changed", "words"), BAD)
def test_what_would_be_carried_along_in_silence_is_refused(changed: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"arm": GOOD + 1, "groups": [0, 1, 2], "level": 0.95} | changed
    with pytest.raises(StudyError, match=words):
        study_effects({"base": GOOD, "arm": given["arm"]}, "base", given["groups"], given["level"])
    with pytest.raises(StudyError, match=words.replace("'arm'", "'treated'").replace("'base'", "'baseline'")):
        paired_effect(given["arm"], GOOD, given["groups"], given["level"])


@pytest.mark.parametrize(
    ("values", "level", "words"),
    [
        ([1.0, 2.0], 0.95, r"shape \(2,\), those of 'base' \(3,\)"),
        ([[1.0, 2.0, 3.0]], 0.95, r"shape \(1, 3\), not \(seeds\)"),
        ([1.0, -math.inf, 3.0], 0.95, "infinite"),
        ([1.0, 2.0, 3.0], 0.0, "level of intervals is 0.0"),
    ],
)
def test_so_it_is_without_videos(values: list[float], level: float, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        seed_effects({"base": GOOD[0], "arm": values}, "base", level)

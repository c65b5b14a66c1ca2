"""Verdicts, equivalence and how many seeds it would take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired  # type: ignore[import-untyped]

from actrec.seeding import numpy_rng
from actrec.stats.arms import seed_effects
from actrec.stats.multiplicity import holm
from actrec.stats.paired import Effect, Parts, effect
from actrec.stats.verdicts import (
    NONE,
    Verdict,
    equivalence,
    further_seeds,
    judge,
    judge_family,
    projected,
    settled,
)


def parts(
    difference: float, seeds: float, groups: float = 0.0, interaction: float = 0.0, df: float = 2.0
) -> Parts:
    return Parts(difference, seeds, groups, interaction, seeds_df=df, groups_df=99,
                 n_seeds=3, n_groups=100, n_videos=100)  # fmt: skip


@pytest.mark.parametrize(
    ("difference", "p", "mode", "p_equivalent", "verdict"),
    [
        (0.1, 0.05, "max", math.nan, "helps"),
        (0.1, 0.051, "max", 0.051, "inconclusive"),
        (-0.1, 0.01, "max", 0.9, "hurts"),
        (-0.1, 0.01, "min", 0.9, "helps"),
        (0.1, 0.01, "min", 0.9, "hurts"),
        (0.1, math.nan, "max", math.nan, "inconclusive"),
        (0.001, 0.6, "max", 0.04, "no practical effect"),
        (0.001, 0.01, "max", 0.04, "no practical effect"),
    ],
)
def test_judge(difference: float, p: float, mode: Any, p_equivalent: float, verdict: str) -> None:
    assert judge(difference, p, mode, p_equivalent) == verdict


def test_equivalence_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=8) * 0.01, rng.normal(size=8) * 0.01
    (found,) = seed_effects({"base": theirs, "arm": ours}, "base")
    wanted, _, _ = ttost_paired(ours, theirs, -0.02, 0.02)
    assert equivalence(found, 0.02) == pytest.approx(wanted)
    assert math.isnan(equivalence(found, 0.0))
    assert math.isnan(equivalence(replace(found, se=math.nan), 0.02))


def test_a_family_is_corrected_for_both_of_its_questions() -> None:
    # 8 arms, every second one truly at the margin, the others at 0: 4.5 standard errors apart, so that most
    # of what is false is rejected. Then either kind of hypothesis may be rejected wrongly.
    rng, margin, studies = numpy_rng(0, "margin"), 4.5, 1000
    truth = np.tile([0.0, margin], 4)
    wrong = {"together": 0, "apart": 0}
    for _ in range(studies):
        found = [effect(parts(float(d), seeds=1.0, df=1e6)) for d in truth + rng.normal(size=8)]
        together = [one.verdict for one in judge_family(found, margin)]
        for name, verdicts in (("together", together), ("apart", apart(found, margin))):
            wrong[name] += any(
                verdict == NONE if true else verdict in {"helps", "hurts"}
                for verdict, true in zip(verdicts, truth, strict=True)
            )
    p = {
        name: stats.binomtest(count, studies, 0.05, alternative="greater").pvalue
        for name, count in wrong.items()
    }
    assert p["together"] > 0.001
    assert p["apart"] < 0.001, "two families, each of an error of 5 %: the test can fail"


def apart(found: Sequence[Effect], margin: float) -> list[Verdict]:
    """The verdicts of two corrections side by side."""
    p, p_equivalent = (
        holm([one.p for one in found]),
        holm([equivalence(one, margin) for one in found]),
    )
    return [judge(one.difference, a, "max", b) for one, a, b in zip(found, p, p_equivalent, strict=True)]


def test_without_a_margin_a_family_is_corrected_by_holm_and_for_its_looks() -> None:
    found = [effect(parts(d, 1e-3, 1e-3)) for d in (0.5, 0.0, 0.2)] + [effect(parts(0.1, math.nan))]
    once, thrice = (judge_family(found, math.nan, "min", looks) for looks in (1, 3))
    corrected = holm([one.p for one in found])
    assert [one.p_adjusted for one in once] == pytest.approx(list(corrected), nan_ok=True)
    assert [one.p_adjusted for one in thrice] == pytest.approx(
        [min(3 * p, 1.0) if p == p else p for p in corrected], nan_ok=True
    )
    assert [one.verdict for one in once] == ["hurts", "inconclusive", "hurts", "inconclusive"]
    assert [one.open for one in once] == [False, True, False, False], "nothing was tested of the last"


def test_seeds_that_settle_by_hand() -> None:
    # Over seeds alone: se² = 0.03 / k with k seeds, df = k − 1; 0.1 is told from 0 where it is ≥ t · se.
    wanted = next(k for k in range(3, 100) if stats.t.ppf(0.975, k - 1) * math.sqrt(0.03 / k) <= 0.1)
    over_seeds = replace(parts(0.1, 0.01), groups_df=math.inf, n_groups=0)
    assert further_seeds(over_seeds) == wanted - 3
    assert further_seeds(over_seeds, alpha=0.005) > wanted - 3  # type: ignore[operator]


def test_the_number_is_the_least_that_settles() -> None:
    open_ = parts(0.02, seeds=4e-4, groups=9e-5, interaction=5e-5)
    more = further_seeds(open_, margin=0.01)
    assert more is not None
    assert more > 0
    assert settled(projected(open_, 3 + more), 0.01, 0.05)
    assert not settled(projected(open_, 2 + more), 0.01, 0.05)


def test_seeds_can_settle_that_there_is_no_practical_effect() -> None:
    open_ = parts(0.0, seeds=4e-4, groups=6e-5, interaction=5e-5)
    assert further_seeds(open_) is None, "nothing tells 0 from 0"
    assert (further_seeds(open_, margin=0.01) or 0) > 0


def test_where_videos_vary_too_much_no_number_of_seeds_will_do() -> None:
    # With any number of seeds se² stays at 4e-4 − 1e-5, and 0.02 / 0.0197 < 1.98.
    open_ = parts(0.02, seeds=1e-4, groups=4e-4, interaction=1e-5)
    assert further_seeds(open_, margin=0.01) is None
    # With four times the videos it would.
    assert further_seeds(replace(open_, groups=1e-4, interaction=2.5e-6, groups_df=399)) is not None


def test_what_is_settled_takes_none_and_what_has_no_variance_cannot_be_told() -> None:
    assert further_seeds(parts(0.5, 1e-4, 1e-4)) == 0
    assert further_seeds(parts(0.5, math.nan, 1e-4)) is None
    assert further_seeds(parts(0.5, 0.0, 0.0)) is None


def test_a_projection_to_the_same_number_of_seeds_changes_nothing() -> None:
    now = parts(0.1, 1e-4, 3e-4, 2e-4)
    assert projected(now, 3) == now
    twice = projected(now, 6)
    assert (twice.seeds, twice.groups, twice.interaction) == pytest.approx((5e-5, 2e-4, 1e-4))

"""A small version of benchmarks/calibration.py: intervals hold the truth as often as they say."""

from __future__ import annotations

import math
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf  # type: ignore[import-untyped]
from scipy import stats

from benchmarks.calibration import extremes, run_cell
from benchmarks.least_width import least_width
from benchmarks.second_look import (
    COVERING_KINDS,
    KINDS,
    MARGIN_KINDS,
    NOISIER_KINDS,
    Seen,
    greatest,
    look,
    look_with_margin,
    looks_with_margin,
    second_look,
    standard_error,
)
from benchmarks.simulated import Cell, simulate
from benchmarks.standard_tests import mixed_model


def test_the_truth_of_a_simulated_study_is_its_mean() -> None:
    cell = Cell(3, 400, 10, "strong", "strong", 2)
    rng = np.random.default_rng(0)
    accuracy, noisy = np.array([0.7, 0.75, 0.7]), np.array([1.0, 1.0, 4.0]) * 0.25**2
    means = [simulate(cell, accuracy, noisy, rng).mean(axis=(1, 2)) for _ in range(500)]
    error = np.std(means, axis=0) / np.sqrt(len(means))
    assert np.all(np.abs(np.mean(means, axis=0) - accuracy) < 3.5 * error)
    assert (error < 0.005).all()


@pytest.mark.parametrize(
    ("cell", "studies"),
    [
        (Cell(3, 300, 10, "weak", "strong", 1), 400),
        (Cell(3, 60, 1, "strong", "strong", 1), 400),
        (Cell(3, 300, 10, "strong", "strong", 1), 400),
        (Cell(5, 300, 10, "strong", "weak", 4), 250),
        (Cell(10, 60, 1, "weak", "weak", 1), 300),
    ],
    ids=str,
)
def test_coverage(cell: Cell, studies: int) -> None:
    found = run_cell(cell, studies)
    # Tests at level 0.001 of what benchmarks/RESULTS.md says of all cells.
    hits = round(found["ours"]["coverage"] * studies)
    assert stats.binomtest(hits, studies, 0.93, alternative="less").pvalue > 0.001
    assert stats.binomtest(hits, studies, 0.985, alternative="greater").pvalue > 0.001
    wrong = round(found["ours"]["family_error"] * (studies // 2))
    assert stats.binomtest(wrong, studies // 2, 0.05, alternative="greater").pvalue > 0.001


def test_the_second_look_is_at_the_kinds_that_did_worst_and_anew() -> None:
    erring = [Cell(3, videos, 1, "strong", "weak", 1) for videos in range(20, 20 + KINDS + 2)]
    unequal = [Cell(3, videos, 1, "strong", "weak", 2, "one") for videos in range(20, 21 + NOISIER_KINDS)]
    covering = [Cell(5, videos, 1, "strong", "weak", 1) for videos in range(20, 21 + 2 * COVERING_KINDS)]
    first = {cell: Seen(cell.videos / 1000, 0.95) for cell in (*erring, *unequal)}
    first |= {cell: Seen(0.0, 0.9 + place / 80) for place, cell in enumerate(covering)}
    with ThreadPoolExecutor(1) as executor:
        looks = second_look(first, executor, studies=40)
    least, greatest_covering = covering[:COVERING_KINDS], covering[-COVERING_KINDS:]
    kept = [*erring[: -KINDS - 1 : -1], *unequal[: -NOISIER_KINDS - 1 : -1], *least, *greatest_covering]
    assert [one["name"] for one in looks] == [str(cell) for cell in kept]
    assert [Seen(**one["first"]) for one in looks] == [first[cell] for cell in kept]
    errors = [one["second"]["family_error"] for one in looks]
    assert errors[0] == look(kept[0], 40).family_error
    alike = errors[:KINDS] + errors[KINDS + NOISIER_KINDS :]
    for noisier, own in ((False, alike), (True, errors[KINDS : KINDS + NOISIER_KINDS])):
        assert greatest(looks, noisier=noisier) == {"share": max(own), "se": standard_error(max(own), 40)}
    assert greatest(looks[:KINDS], noisier=True) is None


def test_the_second_look_counts_wrong_verdicts_and_intervals_that_hold_the_truth() -> None:
    # One seed: no p, so no verdict, and no interval.
    assert look(Cell(1, 40, 1, "strong", "strong", 2), 20) == Seen(0, 0)
    studies = 500
    seen = look(Cell(5, 60, 1, "strong", "strong", 1), studies)
    assert stats.binomtest(round(seen.family_error * studies), studies, 0.05).pvalue > 0.001
    assert seen.coverage == pytest.approx(1 - seen.family_error), "of one arm"


def test_studies_with_a_margin_seldom_have_a_wrong_verdict() -> None:
    cell, studies = Cell(5, 60, 1, "strong", "strong", 4), 400
    wrong = look_with_margin(cell, studies)
    assert wrong > 0
    assert stats.binomtest(round(wrong * studies), studies, 0.05, alternative="greater").pvalue > 0.001
    with ThreadPoolExecutor(1) as executor:
        looks = looks_with_margin(executor, studies=20)
    assert [one["name"] for one in looks] == [str(cell) for cell in MARGIN_KINDS]
    assert greatest(looks) == {
        "share": max(one["second"]["family_error"] for one in looks),
        "se": max(one["se"]["family_error"] for one in looks),
    }


def test_extremes_are_those_of_the_second_look_where_there_was_one() -> None:
    cells = [
        {"name": name, "studies": 400, "ours": {"coverage": value}}
        for name, value in (("a", 0.92), ("b", 0.94), ("c", 0.96), ("d", 0.99))
    ]
    looks = [
        {"name": name, "second": {"coverage": value}, "se": {"coverage": 0.001}}
        for name, value in (("a", 0.95), ("d", 0.97))
    ]
    # √(0.94 · 0.06 / 400) = 0.0119
    assert extremes(cells, looks) == {
        "least": {"share": 0.94, "se": 0.0119},
        "greatest": {"share": 0.97, "se": 0.001},
    }


def test_what_people_do_instead_does_not_cover() -> None:
    found = run_cell(Cell(5, 300, 10, "weak", "strong", 1), 200)
    assert found["t_seeds"]["coverage"] < 0.85
    found = run_cell(Cell(3, 300, 1, "strong", "weak", 1), 200)
    assert found["t_videos"]["coverage"] < 0.75
    assert found["mixed"]["coverage"] < 0.93


@pytest.mark.parametrize(
    ("seeds", "groups", "of_seed", "of_group"), [(4, 15, 0.5, 0.5), (3, 12, 1, 0), (5, 12, 0, 0)]
)
def test_the_mixed_model_is_that_of_statsmodels(
    seeds: int, groups: int, of_seed: float, of_group: float
) -> None:
    rng = np.random.default_rng(1)
    d = 0.2 + rng.normal(size=(seeds, groups))
    d += of_seed * rng.normal(size=(seeds, 1)) + of_group * rng.normal(size=groups)
    seed, group = np.indices(d.shape)
    frame = pd.DataFrame({"d": d.ravel(), "seed": seed.ravel(), "group": group.ravel(), "all": 1})
    crossed = {"seed": "0 + C(seed)", "group": "0 + C(group)"}
    model = smf.mixedlm("d ~ 1", frame, groups="all", vc_formula=crossed, re_formula="0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says so where a variance is estimated as 0
        fit = model.fit(method="powell")  # its default stops short where one is
    difference, half, p = mixed_model(d)
    low, high = fit.conf_int().loc["Intercept"]
    assert (difference, p) == pytest.approx((fit.params["Intercept"], fit.pvalues["Intercept"]), rel=1e-3)
    assert half == pytest.approx((high - low) / 2, rel=1e-3)


def test_the_least_width_by_hand() -> None:
    # Where nobody is noisier nothing is unknown: h = 1.96 √2. A paired t interval of 3 seeds has a mean half
    # width of 4.3027 √2 E[s], E[s] = √π / 2.
    bound = least_width(3, noisier=1.0, coverage=0.95)
    assert bound == pytest.approx(1.95996 / (4.30265 * math.sqrt(math.pi) / 2), rel=2e-3)


def test_no_intervals_of_3_seeds_meet_both_aims() -> None:
    assert least_width(3) > 0.6

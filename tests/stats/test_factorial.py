"""Main effects and interactions of factorials: by hand, and against statsmodels."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
import statsmodels.formula.api as smf  # type: ignore[import-untyped]
from pandas import DataFrame
from scipy import stats

from actrec.errors import StudyError
from actrec.metrics import DIRECTIONS
from actrec.results.schema import table
from actrec.seeding import numpy_rng
from actrec.stats.factorial import Factorial, FactorialEffect, contrast_rows, factorial_effects, weights
from actrec.stats.moderation import MOST_PRIOR_DF, pool
from actrec.stats.paired import paired_effect
from actrec.stats.scores import Outcomes
from actrec.study.fractional import fraction

GROUPS = np.arange(4)


def full(*sizes: int) -> Factorial:
    """All combinations of factors A, B, … with so many values each: 0, 1, …"""
    names = "ABCDEFGH"[: len(sizes)]
    cells = itertools.product(*map(range, sizes))
    return Factorial(
        {name: [str(value) for value in range(size)] for name, size in zip(names, sizes, strict=True)},
        {"".join(map(str, cell)): cell for cell in cells},
    )


def part(factors: int, resolution: int) -> Factorial:
    runs = fraction(factors, resolution).levels()
    return Factorial(
        {name: ["0", "1"] for name in "ABCDEFGH"[:factors]}, {"".join(map(str, run)): run for run in runs}
    )


def told(effects: Sequence[FactorialEffect]) -> dict[str, FactorialEffect]:
    """By name: ``A1`` is the main effect of A's level 1, ``A1B2`` an interaction."""
    return {e.factor + e.level + e.other_factor + e.other_level: e for e in effects}


def scores(design: Factorial, seeds: int = 5, videos: int = 40) -> dict[str, np.ndarray]:
    """Random ones, with seeds, videos and arms that differ."""
    rng = numpy_rng(0, "factorial")
    shared = rng.normal(size=(seeds, 1)) + rng.normal(size=(1, videos))
    return {arm: shared + rng.normal() + rng.normal(size=(seeds, videos)) for arm in design.cells}


def test_two_by_two_by_hand() -> None:
    # Means 0.50 (neither), 0.60 (A), 0.55 (B), 0.75 (both).
    # A: ((0.60 − 0.50) + (0.75 − 0.55)) / 2 = 0.15. B: ((0.55 − 0.50) + (0.75 − 0.60)) / 2 = 0.10.
    # A × B: (0.75 − 0.55) − (0.60 − 0.50) = 0.10.
    means = {"00": 0.50, "10": 0.60, "01": 0.55, "11": 0.75}
    noise = np.array([[1, -1, 2, -2], [-1, 1, -2, 2], [0, 0, 0, 0]]) / 100  # means of 0 over seeds and videos
    found = told(factorial_effects(full(2, 2), {a: mean + noise for a, mean in means.items()}, GROUPS))
    assert [round(found[name].difference, 12) for name in ("A1", "B1", "A1B1")] == [0.15, 0.10, 0.10]
    assert list(found) == ["A1", "B1", "A1B1"]
    assert (found["A1"].kind, found["A1B1"].kind) == ("main", "interaction")
    assert (found["A1"].baseline, found["A1"].other_baseline, found["A1B1"].other_baseline) == ("0", "", "0")
    np.testing.assert_allclose(weights(full(2, 2), {"A": 1}), [-0.5, -0.5, 0.5, 0.5], atol=1e-12)
    np.testing.assert_allclose(weights(full(2, 2), {"A": 1, "B": 1}), [1, -1, -1, 1], atol=1e-12)


def test_one_factor_is_a_comparison_of_two_arms() -> None:
    design = full(2)
    values = scores(design)
    groups = np.arange(40) // 4
    found = told(factorial_effects(design, values, groups))["A1"]
    wanted = paired_effect(values["1"], values["0"], groups)
    assert found.n_seeds == 5
    assert found.difference == pytest.approx(wanted.difference)
    # The seed variance pooled over two arms is that of their difference.
    assert [found.low, found.high, found.p] == pytest.approx([wanted.low, wanted.high, wanted.p])


@pytest.mark.parametrize("design", [full(2, 2), full(3, 2), full(2, 2, 3), part(5, 5)])
def test_estimates_are_those_of_statsmodels(design: Factorial) -> None:
    values = scores(design)
    means = {arm: float(of_arm.mean()) for arm, of_arm in values.items()}
    names = [f"f{name}" for name in design.factors]  # in a formula, C is a function
    frame = DataFrame([(*cell, means[arm]) for arm, cell in design.cells.items()], columns=[*names, "y"])
    model = " + ".join(f"C({name}, Sum)" for name in names)
    with warnings.catch_warnings():  # saturated: there is nothing left to judge by
        warnings.simplefilter("ignore", RuntimeWarning)
        fit = smf.ols(f"y ~ ({model})**2", frame).fit()
    sizes = {f"f{name}": len(of_factor) for name, of_factor in design.factors.items()}

    def mean(**cell: int) -> float:
        """What the fit expects where some factors are given, over all combinations of the others."""
        free = [[cell[name]] if name in cell else range(sizes[name]) for name in names]
        return float(fit.predict(DataFrame(list(itertools.product(*free)), columns=names)).mean())

    for effect in factorial_effects(design, values, np.arange(40)):
        f, level = f"f{effect.factor}", int(effect.level)
        if effect.kind == "main":
            wanted = mean(**{f: level}) - mean(**{f: 0})
        else:
            g, other = f"f{effect.other_factor}", int(effect.other_level)
            wanted = mean(**{f: level, g: other}) - mean(**{f: 0, g: other})
            wanted -= mean(**{f: level, g: 0}) - mean(**{f: 0, g: 0})
        assert effect.difference == pytest.approx(wanted, abs=1e-9)
        assert effect.confounded_with == ""


def test_the_variance_over_seeds_is_that_of_the_analysis_of_variance_and_of_the_contrast_itself() -> None:
    # All videos of a trial score alike, so that seeds alone vary. The analysis of variance of arms and seeds
    # (blocks) has 3 × 4 = 12 residual degrees of freedom; a contrast by itself has 4, the prior is worth 4:
    # half of the variance is that of the analysis, half its own, and df = 1 / (½² / 4 + (1 − ½²) / 12) = 8.
    design, rng = full(2, 2), numpy_rng(3, "factorial")
    means = {arm: rng.normal(size=5) for arm in design.cells}
    assert pool(list(means.values())).prior_df > MOST_PRIOR_DF == 4
    rows = [(*cell, seed, means[arm][seed]) for arm, cell in design.cells.items() for seed in range(5)]
    fit = smf.ols("y ~ C(a, Sum)*C(b, Sum) + C(seed)", DataFrame(rows, columns=["a", "b", "seed", "y"])).fit()
    assert fit.df_resid == 12
    values = {arm: np.repeat(of_arm[:, None], 40, axis=1) for arm, of_arm in means.items()}
    found = told(factorial_effects(design, values, np.arange(40)))
    # A parameter of sum coding is half of a two-level effect and a quarter of a difference of differences,
    # that of value 0.
    for name, step, parameter, times in (
        ("A1", {"A": 1}, "C(a, Sum)[S.0]", -2),
        ("B1", {"B": 1}, "C(b, Sum)[S.0]", -2),
        ("A1B1", {"A": 1, "B": 1}, "C(a, Sum)[S.0]:C(b, Sum)[S.0]", 4),
    ):
        own = np.var(weights(design, step) @ np.array(list(means.values())), ddof=1) / 5
        variance = ((times * fit.bse[parameter]) ** 2 + own) / 2
        half = stats.t.ppf(0.975, 8) * math.sqrt(variance)
        effect = found[name]
        assert effect.difference == pytest.approx(times * fit.params[parameter])
        assert (effect.high - effect.low) / 2 == pytest.approx(half)


def test_resolution_iv_tells_main_effects_and_refuses_aliased_interactions() -> None:
    design = part(6, 4)
    values = scores(design)
    found = told(factorial_effects(design, values, np.arange(40)))
    means = {arm: of_arm.mean() for arm, of_arm in values.items()}
    for place, name in enumerate("ABCDEF"):
        on, off = ([means[a] for a, cell in design.cells.items() if cell[place] == v] for v in (1, 0))
        assert found[f"{name}1"].difference == pytest.approx(np.mean(on) - np.mean(off))
    refused = {name: effect.confounded_with for name, effect in found.items() if effect.confounded_with}
    # The sets of aliases of I = ABCE = BCDF = ADEF, by hand: AB = CE, AC = BE, AD = EF, AE = BC = DF, …
    assert refused["A1B1"] == "C × E"
    assert refused["B1C1"] == "A × E, D × F"
    assert len(refused) == 15, "every two-way interaction has an alias"
    for name in refused:
        assert math.isnan(found[name].difference)
        assert math.isnan(found[name].p_adjusted)
    with pytest.raises(StudyError, match="A × B is confounded with C × E"):
        weights(design, {"A": 1, "B": 1})
    # Six main effects are all that Holm's correction counts.
    smallest = min(effect.p for effect in found.values() if not effect.confounded_with)
    assert min(e.p_adjusted for e in found.values() if e.p == smallest) == pytest.approx(min(6 * smallest, 1))


def test_arms_one_at_a_time_tell_no_main_effect() -> None:
    cells = {"00": (0, 0), "10": (1, 0), "01": (0, 1)}
    design = Factorial({"A": ["0", "1"], "B": ["0", "1"]}, cells)
    with pytest.raises(StudyError, match=r"A is confounded with .*A × B"):
        weights(design, {"A": 1})
    with pytest.raises(StudyError, match="unknown factor 'C'"):
        weights(design, {"C": 1})


def test_an_arm_that_failed_altogether_takes_its_effects_with_it() -> None:
    values = scores(full(2, 2))
    values["11"] = np.full_like(values["11"], np.nan)
    lost = told(factorial_effects(full(2, 2), values, np.arange(40)))
    assert lost["A1B1"].confounded_with
    assert math.isnan(lost["A1B1"].difference)
    # Of three factors, seven arms are enough for main effects and two-way interactions.
    design = full(2, 2, 2)
    values = scores(design)
    whole = told(factorial_effects(design, values, np.arange(40)))
    del values["111"]
    less = told(factorial_effects(design, values, np.arange(40)))
    assert not any(effect.confounded_with for effect in less.values())
    assert less["A1"].difference != pytest.approx(whole["A1"].difference)
    assert factorial_effects(design, {}, []) == []


def test_a_missing_trial_costs_its_seed() -> None:
    design = full(2, 2)
    values = scores(design)
    short = {arm: of_arm[[0, 1, 3, 4]] for arm, of_arm in values.items()}
    values["10"] = values["10"].copy()
    values["10"][2] = np.nan
    found = told(factorial_effects(design, values, np.arange(40)))["A1"]
    wanted = told(factorial_effects(design, short, np.arange(40)))["A1"]
    assert (found.n_seeds, wanted.n_seeds) == (4, 4)
    assert found.difference == pytest.approx(wanted.difference)


def test_looks_multiply_adjusted_p_and_widen_intervals() -> None:
    design = full(2, 2)
    values = scores(design)
    once, thrice = (factorial_effects(design, values, np.arange(40), looks=n) for n in (1, 3))
    assert [e.p_adjusted for e in thrice] == pytest.approx([min(3 * e.p_adjusted, 1) for e in once])
    assert all(b.high - b.low > a.high - a.low for a, b in zip(once, thrice, strict=True))


def test_rows_are_those_of_the_table() -> None:
    design, rng = part(4, 4), numpy_rng(4, "factorial")
    cells = {(arm, seed): i for i, (arm, seed) in enumerate(itertools.product(design.cells, range(3)))}
    labels = rng.integers(0, 3, 30)
    shape = (len(cells), len(labels))
    predicted = np.where(rng.random(shape) < 0.7, labels, 0).astype(np.int32)
    outcomes = Outcomes(
        cells=cells,
        groups=np.arange(30) // 2,
        labels=labels,
        predicted=predicted,
        rank=np.where(predicted == labels, 0, 1).astype(np.int32),
        loss=rng.random(shape).astype(np.float32),
    )
    rows = table("contrasts", contrast_rows(design, outcomes)).to_pylist()
    assert len(rows) == len(DIRECTIONS) * (4 + 6)
    first = rows[0]
    assert (first["metric"], first["kind"], first["factor"], first["n_seeds"]) == ("top1", "main", "A", 3)
    hits = {arm: np.mean([predicted[cells[arm, s]] == labels for s in range(3)]) for arm in design.cells}
    on, off = ([hits[arm] for arm, cell in design.cells.items() if cell[0] == value] for value in (1, 0))
    assert first["difference"] == pytest.approx(np.mean(on) - np.mean(off))
    assert {row["confounded_with"] for row in rows if row["kind"] == "main"} == {""}
    assert {row["confounded_with"] for row in rows if row["factor"] + row["other_factor"] == "AB"} == {
        "C × D"
    }


def test_intervals_cover() -> None:
    # 3 seeds, crossed effects of seed and video, a true main effect of 0.5 and interaction of 0.2.
    # 300 studies of 2 × 2 tell a coverage of 95 % to ± 1.3 points, one standard error.
    rng = numpy_rng(2, "factorial")
    truth = {"A1": 0.5, "B1": 0.0, "A1B1": 0.2}
    design, inside = full(2, 2), dict.fromkeys(truth, 0)
    for _ in range(300):
        values = {}
        for arm, (a, b) in design.cells.items():
            mean = 0.5 * a + 0.2 * (a - 0.5) * (b - 0.5)
            noise = 0.3 * rng.normal(size=(3, 1)) + rng.normal(size=(1, 60)) + rng.normal(size=(3, 60))
            values[arm] = mean + noise
        for name, effect in told(factorial_effects(design, values, np.arange(60))).items():
            inside[name] += effect.low <= truth[name] <= effect.high
    for name, count in inside.items():
        assert 0.92 <= count / 300 <= 0.995, name

"""Fractions of two-level factorials: their resolution and aliases, from the runs themselves."""

from __future__ import annotations

import itertools
import math
from functools import reduce
from operator import mul

import numpy as np
import pytest

from actrec.errors import StudyError
from actrec.spec import TrialSpec
from actrec.study.designs import DESIGNS, RESOLUTIONS, explain
from actrec.study.factors import Factor
from actrec.study.fractional import GENERATORS, LETTERS, Fraction, fraction

TABLE = [(number, factors) for number, row in GENERATORS.items() for factors in row]


def signs(made: Fraction) -> dict[str, np.ndarray]:
    """Each factor's column as −1 and +1."""
    return dict(zip(LETTERS, 2 * np.array(made.levels()).T - 1, strict=False))


def product(columns: dict[str, np.ndarray], word: str) -> np.ndarray:
    return np.asarray(reduce(mul, (columns[letter] for letter in word)))


def constant_words(made: Fraction) -> list[str]:
    """The defining relation by trying every product of columns there is."""
    columns = signs(made)
    letters = LETTERS[: made.factors]
    every = ("".join(w) for size in range(1, made.factors + 1) for w in itertools.combinations(letters, size))
    return [word for word in every if abs(product(columns, word).sum()) == made.runs]


@pytest.mark.parametrize(("resolution", "factors"), TABLE)
def test_the_resolution_is_what_the_runs_have(resolution: int, factors: int) -> None:
    made = fraction(factors, resolution)
    found = constant_words(made)
    assert sorted(found) == sorted(made.words())
    assert made.resolution() == min(map(len, found))
    assert min(map(len, found)) >= resolution


@pytest.mark.parametrize(("resolution", "factors"), TABLE)
def test_the_runs_are_balanced_and_start_at_the_baseline(resolution: int, factors: int) -> None:
    made = fraction(factors, resolution)
    runs = made.levels()
    assert runs[0] == (0,) * factors
    assert len(set(runs)) == len(runs) == made.runs < 2**factors
    columns = signs(made)
    for one, other in itertools.combinations(columns.values(), 2):
        assert one.sum() == other.sum() == one @ other == 0


@pytest.mark.parametrize("factors", [4, 5, 6, 7, 8])
def test_in_16_runs_no_other_fraction_has_less_aberration(factors: int) -> None:
    basic = 3 if factors == 4 else 4
    columns = ["".join(w) for size in (2, 3, 4) for w in itertools.combinations("ABCD"[:basic], size)]

    def pattern(made: Fraction) -> list[int]:
        lengths = [len(word) for word in made.words()]
        return [lengths.count(size) for size in range(1, factors + 1)]

    every = (Fraction(factors, chosen) for chosen in itertools.combinations(columns, factors - basic))
    assert pattern(fraction(factors, 4)) == min(map(pattern, every))


def test_nothing_smaller_than_the_fraction_has_the_resolution() -> None:
    # 2^(k−p) columns must hold the mean and k main effects, at resolution V also their k(k−1)/2 interactions;
    # at resolution IV 2^(m−1) factors are the most that 2^m runs take (Box & Hunter 1961).
    for factors in GENERATORS[4]:
        assert fraction(factors, 4).runs == 2 ** (math.ceil(math.log2(factors)) + 1)
    for factors in GENERATORS[5]:
        assert fraction(factors, 5).runs >= 1 + factors + math.comb(factors, 2)


@pytest.mark.parametrize(("resolution", "factors"), TABLE)
def test_aliases_have_the_same_column(resolution: int, factors: int) -> None:
    made = fraction(factors, resolution)
    columns, letters = signs(made), LETTERS[:factors]
    effects = [*letters, *("".join(pair) for pair in itertools.combinations(letters, 2))]
    same = {
        frozenset((one, other))
        for one, other in itertools.combinations(effects, 2)
        if (product(columns, one) == product(columns, other)).all()
    }
    told = {frozenset(pair) for alike in made.aliases() for pair in itertools.combinations(alike, 2)}
    assert told == same
    assert not [pair for pair in told if min(map(len, pair)) == 1], "a main effect"
    assert resolution == 4 or not told


def test_by_hand() -> None:
    # D = ABC, with baselines as −1: D is on where an odd number of A, B, C is.
    made = fraction(4, 4)
    assert made.levels() == [
        (0, 0, 0, 0),
        (0, 0, 1, 1),
        (0, 1, 0, 1),
        (0, 1, 1, 0),
        (1, 0, 0, 1),
        (1, 0, 1, 0),
        (1, 1, 0, 0),
        (1, 1, 1, 1),
    ]
    assert made.aliases() == [["AB", "CD"], ["AC", "BD"], ["AD", "BC"]]
    assert str(made) == "2^(4-1) fraction of resolution IV, 8 of 16 combinations, I = ABCD"
    assert str(fraction(5, 5)) == "2^(5-1) fraction of resolution V, 16 of 32 combinations, I = -ABCDE"


FACTORS = (
    Factor("model.dropout", (0.5,), 0.0),
    Factor("augment", ("hflip",), "none"),
    Factor("loss.class_weights", ("balanced",), "none"),
    Factor("freeze.strategy", ("head_only",), "none"),
)


def test_letters_are_the_factors_by_their_paths_and_the_aliases_are_told() -> None:
    assert explain("fractional_iv", FACTORS) == [
        "2^(4-1) fraction of resolution IV, 8 of 16 combinations, I = ABCD",
        "A augment, B freeze.strategy, C loss.class_weights, D model.dropout",
        "cannot be told apart: augment × freeze.strategy = loss.class_weights × model.dropout",
        "cannot be told apart: augment × loss.class_weights = freeze.strategy × model.dropout",
        "cannot be told apart: augment × model.dropout = freeze.strategy × loss.class_weights",
    ]
    names = [arm.name for arm in DESIGNS["fractional_iv"](TrialSpec(), FACTORS)]
    assert len(names) == 8
    assert names[1] == "loss.class_weights=balanced × model.dropout=0.5", "C and D = ABC"


@pytest.mark.parametrize(("design", "resolution"), RESOLUTIONS.items())
def test_few_factors_take_every_combination(design: str, resolution: int) -> None:
    few = FACTORS[: resolution - 1]
    made, full = (DESIGNS[name](TrialSpec(), few) for name in (design, "factorial"))
    assert {arm.name for arm in made} == {arm.name for arm in full}
    assert explain(design, few) == [
        f"all {2 ** len(few)} combinations: with so few factors no fraction has that resolution"
    ]


def test_more_factors_than_the_table_has() -> None:
    with pytest.raises(StudyError, match="12 factors: there are fractions of at most 11"):
        fraction(12, 4)

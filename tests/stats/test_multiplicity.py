"""Holm's correction, and Shaffer's of hypotheses that exclude each other."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from actrec.stats.multiplicity import holm, shaffer


def test_a_hand_example() -> None:
    # Sorted: 0.01 0.02 0.03 0.04, times 4 3 2 1: 0.04 0.06 0.06 0.04; running maximum: 0.04 0.06 0.06 0.06.
    # statsmodels' multipletests(p, method="holm") gives the same.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_never_above_one_and_never_below_p() -> None:
    p = np.random.default_rng(0).uniform(size=50)
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


def test_what_was_not_tested_is_not_counted() -> None:
    adjusted = holm([0.02, float("nan"), 0.04])
    assert adjusted[[0, 2]] == pytest.approx([0.04, 0.04])
    assert np.isnan(adjusted[1])


def test_degenerate_families() -> None:
    assert holm([]).shape == (0,)
    assert holm([0.3]) == pytest.approx([0.3])


def test_statsmodels_gives_the_same() -> None:
    p = np.random.default_rng(1).beta(0.3, 1, size=30)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_shaffer_s_multipliers_by_hand() -> None:
    # Three subjects. Sorted: 0.001 (of a), 0.01 (b), 0.012 (b), 0.02 (c), 0.5 (a), 0.9 (c). All three may
    # have a true one at the first three steps; without b two, at the last one. (Holm's: 6, 5, 4, 3, 2, 1.)
    p = np.array([[0.001, 0.5], [0.012, 0.01], [0.9, 0.02]])
    wanted = [[3 * 0.001, 1.0], [3 * 0.012, 3 * 0.01], [1.0, 2 * 0.02]]
    assert shaffer(p) == pytest.approx(np.array(wanted))
    # The last two: 2 × 0.5 = 1 and 1 × 0.9, which is not below the one before it.


def test_shaffer_s_of_one_hypothesis_each_is_holm_s() -> None:
    p = np.random.default_rng(2).beta(0.3, 1, size=30)
    p[[3, 17]] = np.nan
    assert shaffer(p[:, None])[:, 0] == pytest.approx(holm(p), nan_ok=True)
    both = shaffer(np.column_stack([p, np.full(30, np.nan)]))
    assert both[:, 0] == pytest.approx(holm(p), nan_ok=True)
    assert np.isnan(both[:, 1]).all()
    assert shaffer(np.empty((0, 2))).shape == (0, 2)

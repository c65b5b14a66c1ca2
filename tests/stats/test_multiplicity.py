"""Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from actrec.stats.multiplicity import holm


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

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from actrec.report.ranking import precision_at_positives
from actrec.report.tables import load
from actrec.seeding import numpy_rng
from tests.report import tiny


def test_precision_at_each_positive_by_hand() -> None:
    # By falling score: positive, negative, positive, and a positive tied with a negative.
    scores = np.array([0.9, 0.8, 0.7, 0.2, 0.2])
    positive = np.array([True, False, True, True, False])
    assert precision_at_positives(scores, positive).tolist() == pytest.approx([1.0, 2 / 3, 3 / 5])


@pytest.mark.parametrize("decimals", [1, 8])  # with many ties, and with none
def test_average_precision_is_scikit_learns(decimals: int) -> None:
    rng = numpy_rng(3, "scores", decimals)
    for _ in range(20):
        scores = rng.random(40).round(decimals)
        positive = rng.random(40) < 0.2
        positive[0] = True
        ours = precision_at_positives(scores, positive).mean()
        assert ours == pytest.approx(average_precision_score(positive, scores))


def test_a_curve_is_the_mean_over_seeds(tmp_path: Path) -> None:
    # Class "two" has one test video. Seed 0 scores it 0.8, all others 0.1: precision 1. Seed 1 scores it 0.1
    # like the three others: precision 1/4.
    found = load(tiny.write_tiny(tmp_path)).precision_recall["baseline"]
    two = next(curve for curve in found if curve.name == "two")
    assert two.recall == (1.0,)
    assert two.precision == pytest.approx((0.625,))
    assert two.average == pytest.approx(0.625)


def test_classes_without_test_videos_have_no_curve(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    found = load(folder).precision_recall
    assert [curve.name for curve in found["a=x"]] == list(tiny.CLASSES)
    assert "placebo" not in found

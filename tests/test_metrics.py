"""Classification metrics, against scikit-learn."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from actrec.metrics import classification_report, confusion, macro_f1, top_k

K = 6
CASES = {
    "all classes": (K, K),
    "one class without a video": (K - 1, K),
    "one class never predicted": (K, K - 1),
    "one class in neither": (K - 1, K - 1),
}


def draw(case: str) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    true, predicted = CASES[case]
    labels = rng.integers(true, size=60)
    guesses = np.where(rng.uniform(size=60) < 0.5, labels % predicted, rng.integers(predicted, size=60))
    return labels, guesses


@pytest.mark.parametrize("case", CASES)
def test_the_report_is_that_of_scikit_learn(case: str) -> None:
    labels, guesses = draw(case)
    matrix = confusion(labels, guesses, K)
    assert (matrix == sk.confusion_matrix(labels, guesses, labels=range(K))).all()
    report = classification_report(matrix)
    per_class = sk.precision_recall_fscore_support(labels, guesses, labels=range(K), zero_division=0)
    for ours, theirs in zip(
        (report.precision, report.recall, report.f1, report.support), per_class, strict=True
    ):
        assert ours == pytest.approx(theirs)
    assert report.accuracy == pytest.approx(sk.accuracy_score(labels, guesses))
    for name, mean in (("macro", report.macro), ("weighted", report.weighted)):
        theirs = sk.precision_recall_fscore_support(labels, guesses, average=name, zero_division=0)
        assert (mean.precision, mean.recall, mean.f1) == pytest.approx(theirs[:3])
    assert macro_f1(labels, guesses, K) == pytest.approx(sk.f1_score(labels, guesses, average="macro"))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_is_that_of_scikit_learn(k: int) -> None:
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.ones(K), size=40)
    labels = rng.integers(K, size=40)
    assert top_k(scores, labels, k) == pytest.approx(
        sk.top_k_accuracy_score(labels, scores, k=k, labels=range(K))
    )


def test_ties_go_to_the_lower_class() -> None:
    scores = np.full((2, 3), 1 / 3)
    assert top_k(scores, np.array([0, 1]), 1) == 0.5
    assert top_k(scores, np.array([0, 1]), 2) == 1.0


def test_all_classes_are_in_the_top_k_of_few() -> None:
    assert top_k(np.eye(3), np.array([1, 2, 0]), 5) == 1.0


def test_no_videos_give_nan_without_a_warning() -> None:
    none = np.zeros(0, np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = classification_report(confusion(none, none, K))
        found = [report.accuracy, report.macro.f1, report.weighted.f1]
        found.append(top_k(np.zeros((0, K)), none, 1))
    assert all(math.isnan(value) for value in found)
    assert report.recall == pytest.approx(np.zeros(K))


@pytest.mark.parametrize(
    ("labels", "guesses", "message"),
    [
        ([0, 3], [0, 0], "a label is outside"),
        ([0], [-1], "a prediction is outside"),
        ([0], [0, 1], "must be"),
    ],
)
def test_bad_input_is_named(labels: list[int], guesses: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion(np.array(labels), np.array(guesses), 3)

"""Scores of videos, whose mean is the metric."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from actrec.metrics import macro_f1, top_k
from actrec.stats.arms import study_effects
from actrec.stats.paired import paired_effect
from actrec.stats.scores import MISSING, Outcomes, influence, outcomes_of


def predictions(rng: np.random.Generator, trials: int, videos: int, classes: int) -> Outcomes:
    labels = np.arange(videos) % classes
    logits = rng.normal(size=(trials, videos, classes)) + 2.0 * np.eye(classes)[labels]
    scores = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    found = [outcomes_of(of_trial, labels) for of_trial in scores]
    predicted, rank, loss = (np.stack(part) for part in zip(*found, strict=True))
    cells = {("arm", trial): trial for trial in range(trials)}
    return Outcomes(cells, np.arange(videos), labels, predicted, rank, loss)


def test_outcomes_agree_with_the_metrics() -> None:
    rng = np.random.default_rng(0)
    scores = np.round(rng.dirichlet(np.ones(8), 200), 1).astype(np.float32)  # full of ties
    labels = rng.integers(0, 8, 200)
    predicted, rank, loss = outcomes_of(scores, labels)
    for k in (1, 5):
        assert (rank < k).mean() == pytest.approx(top_k(scores, labels, k))
    assert (predicted == scores.argmax(axis=1)).all()
    certain = scores[np.arange(200), labels] > 0
    assert loss[certain] == pytest.approx(-np.log(scores[np.arange(200), labels][certain]))
    assert np.isfinite(loss).all()


def test_means_of_scores_are_the_metrics() -> None:
    found = predictions(np.random.default_rng(1), trials=3, videos=70, classes=6)
    for trial in range(3):
        f1 = macro_f1(found.labels, found.predicted[trial], 6)
        assert found.values("macro_f1", "arm", [trial]).mean() == pytest.approx(f1)
        assert f1 == pytest.approx(f1_score(found.labels, found.predicted[trial], average="macro"))
        assert found.values("top5", "arm", [trial]).mean() == (found.rank[trial] < 5).mean()
        assert found.values("loss", "arm", [trial]).mean() == pytest.approx(float(found.loss[trial].mean()))


def test_the_recall_of_a_class_is_compared_on_its_videos_alone() -> None:
    found = predictions(np.random.default_rng(5), trials=3, videos=90, classes=3)
    found = dataclasses.replace(found, cells={("a", 0): 0, ("b", 0): 1, ("a", 1): 2, ("b", 1): 0})
    scores = {arm: found.values("recall:2", arm, [0, 1]) for arm in "ab"}
    (effect,) = study_effects(scores, "a", found.groups)
    recall = [recall_score(found.labels, row, average=None)[2] for row in found.predicted]
    assert effect.difference == pytest.approx((recall[1] + recall[0] - recall[0] - recall[2]) / 2)
    assert effect.parts.n_videos == 30


def test_the_influence_is_the_derivative_in_the_weight_of_a_video() -> None:
    rng = np.random.default_rng(2)
    labels, predicted = rng.integers(0, 4, 40), rng.integers(0, 5, 40)
    f1 = f1_score(labels, predicted, average="macro")
    values, step = influence(labels, predicted), 1e-6
    for video in range(40):
        weights = np.ones(40)
        weights[video] += step * 40
        weighted = f1_score(labels, predicted, average="macro", sample_weight=weights)
        assert values[video] == pytest.approx(f1 + (weighted - f1) / step, abs=1e-3)


def test_the_standard_error_of_the_macro_f1_is_that_of_the_bootstrap_over_videos() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 5, 400)
    ours, theirs = (
        np.where(rng.random(400) < share, labels, rng.integers(0, 5, 400)) for share in (0.6, 0.4)
    )
    treated, baseline = (np.tile(influence(labels, predicted), (2, 1)) for predicted in (ours, theirs))
    found = paired_effect(treated, baseline, np.arange(400))
    drawn = rng.integers(0, 400, (600, 400))
    differences = [macro_f1(labels[i], ours[i], 5) - macro_f1(labels[i], theirs[i], 5) for i in drawn]
    assert found.difference == pytest.approx(macro_f1(labels, ours, 5) - macro_f1(labels, theirs, 5))
    assert found.se == pytest.approx(np.std(differences), rel=0.1)


def test_what_a_trial_lacks_is_nan() -> None:
    found = predictions(np.random.default_rng(4), trials=2, videos=30, classes=3)
    found.predicted[1, :4] = MISSING
    found.loss[1, :4] = np.nan
    for metric in ("top1", "top5", "macro_f1", "loss"):
        values = found.values(metric, "arm", [1, 7])
        assert np.isnan(values[0, :4]).all()
        assert not np.isnan(values[0, 4:]).any()
        assert np.isnan(values[1]).all()

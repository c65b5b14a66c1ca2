"""From a ledger to the tables of effects and contrasts; no Ray."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from actrec.engine.verdicts import write
from actrec.metrics import DIRECTIONS
from actrec.results.ledger import Ledger
from actrec.study.factors import Factor, Study
from actrec.study.plan import Trial, plan
from actrec.study.rounds import current

FOLDS, VIDEOS = 3, 60
FACTORS = (
    Factor("optim.lr", levels=(1e-2,), baseline=1e-3),
    Factor("loss.class_weights", levels=("balanced",), baseline="none"),
)


@pytest.fixture
def study(small_study: Callable[..., Study]) -> Study:
    made = small_study(*FACTORS)
    return dataclasses.replace(made, design="factorial", seeds=(0, 1, 2, 3), cv=str(FOLDS), folds=FOLDS)


def judged(
    study: Study, folder: Path, *, failed: Collection[str] = (), absent: Collection[str] = ()
) -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
    """Both tables of a study whose trials have ended, by the arm or contrast and the metric."""
    ledger = Ledger(folder)
    ledger.claim()
    for number, trial in enumerate(plan(study)):
        if trial.trial_id not in absent:
            append(ledger, trial, number, "failed" if trial.trial_id in failed else "ok")
    write(folder, study, current(study, ledger.read("trials").to_pylist()), ledger)
    read = {name: pq.read_table(folder / f"{name}.parquet").to_pylist() for name in ("effects", "contrasts")}
    return {
        "effects": {(row["arm"], row["metric"]): row for row in read["effects"]},
        "contrasts": {(row["factor"] + row["other_factor"], row["metric"]): row for row in read["contrasts"]},
    }


def test_the_recall_of_every_class_is_judged_unless_they_are_too_many(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = judged(study, tmp_path / "all")["effects"]
    arms = [arm.name for arm in study.arms[1:]]
    metrics = {*DIRECTIONS, "recall:0", "recall:1"}
    assert found.keys() == {(arm, metric) for arm in arms for metric in metrics}
    # Half of the videos are of either class.
    for arm in arms:
        top1, *recalls = (found[arm, metric]["difference"] for metric in ("top1", "recall:0", "recall:1"))
        assert np.mean(recalls) == pytest.approx(top1)
    monkeypatch.setattr("actrec.engine.verdicts.RECALLS", 2 * len(arms) - 1)
    assert {metric for _, metric in judged(study, tmp_path / "few")["effects"]} == set(DIRECTIONS)


def append(ledger: Ledger, trial: Trial, number: int, status: str) -> None:
    """The videos of a fold, of which the trial names three in four rightly."""
    right = np.random.default_rng(number).random(VIDEOS) < 0.75
    own = [video for video in range(VIDEOS) if video % FOLDS == trial.fold] if status == "ok" else []
    names = ("trial_id", "arm", "factor", "level", "seed", "fold")
    row: dict[str, Any] = {name: getattr(trial, name) for name in names} | {"status": status}
    if own:
        row |= {"test_top1": float(right[own].mean()), "test_loss": 0.5, "n_test": len(own)}
    predictions = [
        {
            "video_id": f"v{video:02}",
            "group": f"g{video:02}",
            "fold": trial.fold,
            "label": video % 2,
            "scores": np.eye(2)[(video + (not right[video])) % 2] * 0.8 + 0.1,
        }
        for video in own
    ]
    ledger.append(row, [], predictions)


@pytest.mark.parametrize("kind", ["failed", "absent"])
def test_a_fold_that_is_not_there_costs_its_seed_and_no_videos(
    study: Study, tmp_path: Path, kind: str
) -> None:
    arms = [arm.name for arm in study.arms]
    lost = next(
        trial.trial_id for trial in plan(study) if (trial.arm, trial.seed, trial.fold) == (arms[1], 2, 1)
    )
    whole = judged(study, tmp_path / "whole")
    found = judged(study, tmp_path / "part", **{kind: [lost]})
    for arm in arms[1:]:
        row, wanted = (tables["effects"][arm, "top1"] for tables in (found, whole))
        assert (row["n_videos"], row["n_groups"]) == (VIDEOS, VIDEOS), arm
        if arm == arms[1]:
            assert (row["n_seeds"], row["n_failed"]) == (3, int(kind == "failed"))
        else:
            assert (row["n_seeds"], row["n_failed"]) == (4, 0)
            assert row["difference"] == wanted["difference"]
    contrast = found["contrasts"]["optim.lr", "top1"]
    assert contrast["n_seeds"] == 3, "those on which every arm that it takes has a trial"

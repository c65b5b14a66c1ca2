"""Launches that find everything done already, without Ray: what they accept, and what they still write."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from actrec.data.manifest import Manifest
from actrec.engine.progress import Display
from actrec.engine.run import RunOptions, run_study
from actrec.errors import StudyError
from actrec.report.page import build_report
from actrec.results.ledger import Ledger
from actrec.study.factors import Factor, Study
from actrec.study.rounds import Round, current

FACTORS = (
    Factor("optim.lr", levels=(1e-2,), baseline=1e-3),
    Factor("loss.class_weights", levels=("balanced",), baseline="none"),
)


def finish(study: Study, folder: Path) -> Round:
    """Notes down results of every round of a study; each change is an improvement."""
    ledger = Ledger(folder)
    ledger.claim()
    while (now := current(study, ledger.read("trials").to_pylist())).pending:
        for trial in now.pending:
            names = ("trial_id", "arm", "factor", "level", "seed")
            row = {name: getattr(trial, name) for name in names} | {"status": "ok"}
            ledger.append(row | {"val_top1": 0.5 + 0.1 * trial.factor.count("."), "epochs": 2}, [], [])
    return now


@pytest.fixture
def launch(manifest: Manifest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Launches a study into ``tmp_path/out``; returns what its user saw."""
    monkeypatch.setenv("ACTREC_CACHE", str(tmp_path / "cache"))

    def run(study: Study, *only: str, extend: bool = False) -> str:
        text = StringIO()
        options = RunOptions(out=tmp_path / "out", only=only, extend=extend)
        run_study(study, manifest, options, Display(Console(file=text, width=200)))
        return text.getvalue()

    return run


def test_a_trial_of_a_later_round_can_be_asked_for_alone(
    small_study: Callable[..., Study], launch: Callable[..., str], tmp_path: Path
) -> None:
    study = dataclasses.replace(small_study(*FACTORS), design="greedy_forward")
    now = finish(study, tmp_path / "out")
    pair = now.trials[-1]
    assert "×" in pair.arm
    assert "nothing to train" in launch(study)
    assert "nothing to train" in launch(study, pair.trial_id)
    with pytest.raises(StudyError, match="no trial 'x' in this plan"):
        launch(study, pair.trial_id, "x")


def test_a_study_that_was_judged_and_extended_counts_both_looks(
    small_study: Callable[..., Study], launch: Callable[..., str], tmp_path: Path
) -> None:
    def record() -> tuple[Any, ...]:
        found = json.loads((tmp_path / "out" / "study.json").read_text())
        return found["looks"], found["chance_of_any"]

    few, more = (small_study(*FACTORS, seeds=seeds) for seeds in ((0, 1), (0, 1, 2)))
    finish(few, tmp_path / "out")
    launch(few)
    launch(few)
    assert record() == (1, 0.05)
    finish(more, tmp_path / "out")
    launch(more, extend=True)
    launch(more)
    assert record() == (2, pytest.approx(0.05 + 0.05 / 2))
    page = build_report(tmp_path / "out").read_text(encoding="utf-8")
    assert "Extended after results were seen: arms were judged at 2, 3 seeds." in page


def test_contrasts_that_the_study_no_longer_gives_are_removed(
    small_study: Callable[..., Study], launch: Callable[..., str], tmp_path: Path
) -> None:
    study = small_study(*FACTORS)
    finish(study, tmp_path / "out")
    for path in (tmp_path / "out" / "contrasts.parquet", tmp_path / "out" / "exports" / "contrasts.csv"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    launch(study)
    build_report(tmp_path / "out")
    assert not list((tmp_path / "out").rglob("contrasts.*"))


@pytest.mark.skipif(importlib.util.find_spec("torchcodec") is not None, reason="torchcodec works here")
def test_what_is_done_is_concluded_where_its_videos_cannot_be_read(
    small_study: Callable[..., Study], launch: Callable[..., str], tmp_path: Path
) -> None:
    study = small_study(*FACTORS, clip__decoder="torchcodec")
    now = finish(study, tmp_path / "out")
    assert "note: the report lacks pictures of the videos: " in launch(study)
    record = json.loads((tmp_path / "out" / "study.json").read_text())
    assert len(record["plan"]) == len(now.trials)

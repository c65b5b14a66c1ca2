"""From a ledger to its verdicts: the tables ``effects`` and ``contrasts``, and which arms are still open."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actrec.engine.outcomes import read_outcomes
from actrec.metrics import DIRECTIONS
from actrec.results import parquet
from actrec.results.reader import Reader
from actrec.results.schema import table
from actrec.stats.effects import RECALL, EffectRow, Mode, effects, whole
from actrec.stats.factorial import contrast_rows
from actrec.stats.scores import Outcomes
from actrec.study.designs import FACTORIAL, Arm, crossed
from actrec.study.factors import Study
from actrec.study.plan import Trial
from actrec.study.race import open_arms
from actrec.study.rounds import Look, Round

RECALLS = 5_000  # at most, of arms × classes, are judged: a second a thousand


def write(folder: Path, study: Study, now: Round, ledger: Reader) -> list[dict[str, Any]]:
    """Writes both tables; returns the rows of the planned trials that are done.

    The effects are on every metric, and on the recall of every class where arms × classes are at most
    :data:`RECALLS`. These recalls are one family of questions, apart from the metrics.
    """
    rows = _rows(ledger, now.trials)
    compared = {trial.trial_id for trial in now.compared}
    of_arms = [row for row in rows if row["trial_id"] in compared]
    outcomes = _outcomes(study, ledger, of_arms)
    metrics = DIRECTIONS | _recalls(outcomes, len(now.arms) - 1)
    judged = _judge(study, now.arms, of_arms, outcomes, now.looks, metrics) if now.arms else []
    parquet.replace(
        folder / "effects.parquet", table("effects", [dataclasses.asdict(effect) for effect in judged])
    )
    if study.design in FACTORIAL and outcomes is not None:
        found = contrast_rows(crossed(study.factors, now.arms), outcomes, looks=now.looks)
        parquet.replace(folder / "contrasts.parquet", table("contrasts", found))
    else:
        (folder / "contrasts.parquet").unlink(missing_ok=True)  # of the study as it was before
    return rows


def look(study: Study, ledger: Reader) -> Look:
    """Tells a race which arms are open, by the verdicts of the trials that it asks about."""

    def open_now(trials: Sequence[Trial], arms: Sequence[Arm], looks: int) -> Mapping[str, int]:
        rows = _rows(ledger, trials)
        return open_arms(_judge(study, arms, rows, _outcomes(study, ledger, rows), looks), study.metric)

    return open_now


def _judge(
    study: Study,
    arms: Sequence[Arm],
    rows: list[dict[str, Any]],
    outcomes: Outcomes | None,
    looks: int,
    metrics: Mapping[str, Mode] = DIRECTIONS,
) -> list[EffectRow]:
    return effects(
        rows,
        arms,
        outcomes=outcomes,
        metric=study.metric,
        margin=study.margin,
        looks=looks,
        folds=study.folds,
        metrics=metrics,
    )


def _recalls(outcomes: Outcomes | None, arms: int) -> dict[str, Mode]:
    """The recall of every class that test videos have, unless they are too many."""
    classes = [] if outcomes is None else np.unique(outcomes.labels).tolist()
    return {f"{RECALL}:{k}": "max" for k in classes} if arms * len(classes) <= RECALLS else {}


def _rows(ledger: Reader, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Of the trials that are done. What a trial is an arm of is said by the plan, not by its row: other
    designs may share the trial."""
    planned = {trial.trial_id: trial for trial in trials}
    return [
        row | {"arm": planned[row["trial_id"]].arm, "seed": planned[row["trial_id"]].seed}
        for row in ledger.read("trials", trial_ids=planned.keys()).to_pylist()
    ]


def _outcomes(study: Study, ledger: Reader, rows: Sequence[Mapping[str, Any]]) -> Outcomes | None:
    kept = whole(rows, study.folds)
    return read_outcomes(ledger, {row["trial_id"]: (row["arm"], row["seed"]) for row in kept})

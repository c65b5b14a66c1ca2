"""A study's folder → everything that the page shows. No section counts anything.

Whatever ``study.json`` lacks is left out of the page; a table that lacks a promised column is an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from actrec.errors import LedgerError
from actrec.report.blocks import by_block
from actrec.report.contrasts import read_contrasts
from actrec.report.curves import fits, learning_curves
from actrec.report.effects import read_effects
from actrec.report.frames import read_frames
from actrec.report.maps import read_maps
from actrec.report.optimism import seen_groups
from actrec.report.outcomes import class_report, count_predictions, outcome
from actrec.report.panels import read_panels
from actrec.report.ranking import precision_recall
from actrec.report.record import Row, at, data, launches, read_study
from actrec.report.search import read_search
from actrec.report.trials import best_change, group_arms, in_focus, read_trials, test_videos
from actrec.report.values import BASELINE, Arm, Report
from actrec.report.videos import Seen, Videos, read_videos
from actrec.results.reader import Reader

T = TypeVar("T")


def load(folder: Path) -> Report:
    """Everything that the page shows of the study in ``folder``.

    Raises:
        LedgerError: if there is no study there, or its tables or ``study.json`` cannot be read.
    """
    study = read_study(folder)
    results = Reader(folder)
    rows = results.read("trials").to_pylist()
    if not study and not rows:
        raise LedgerError(f"{folder} holds no study: neither study.json nor a trial")
    trials = read_trials(at(study, "plan", list, []), rows)
    # One folder may hold the trials of several plans: only those of this one count.
    compared = {trial.trial_id for trial in trials if trial.is_compared}
    arms = group_arms(trials, rows)
    best = best_change(arms)
    of_data = data(study)
    metric = at(study, "study.metric", str, "top1").removeprefix("test_")
    effects, further, recalls = read_effects(folder, arms, metric)
    focus = in_focus(arms, effects, best)
    epochs = results.read("epochs", trial_ids=compared)
    # Only what is shown: predictions are the one table that grows with trials × videos × classes.
    shown = {trial.trial_id for arm in focus for trial in arm.finished}
    predictions = results.read("predictions", trial_ids=shown)
    counted = count_predictions(predictions, at(study, "manifest.class_names", list, []))
    both = [arm for arm in arms if arm.name == BASELINE or (best and arm.name == best.arm)]
    videos = read_videos(folder)
    return Report(
        name=at(study, "name", str, folder.resolve().name),
        metric=metric,
        trials=trials,
        arms=arms,
        focus=focus,
        effects=tuple(effects),
        further=tuple(further),
        recalls=recalls,
        contrasts=read_contrasts(folder, metric),
        class_names=counted.class_names,
        curves=learning_curves(epochs, focus),
        fits=fits(epochs, arms),
        precision_recall={arm.name: precision_recall(arm, predictions, counted.class_names) for arm in both},
        outcomes=_known((arm.name, outcome(arm, counted)) for arm in focus),
        class_reports=_known((arm.name, class_report(arm, counted)) for arm in both),
        best=best,
        data=of_data,
        launches=launches(study),
        settings=_settings(study, arms),
        n_test=test_videos(arms, of_data),
        study=study,
        videos=videos,
        seen=_seen(both, predictions, videos, study),
        blocks=tuple(score for arm in both for score in by_block(arm, predictions, videos.blocks))
        if videos
        else (),
        panels=read_panels(focus, epochs, predictions),
        maps=read_maps(folder, both, predictions),
        frames=read_frames(folder),
        search=read_search(folder, study, trials, rows, arms),
        problems=tuple(results.problems),
    )


def _known(pairs: Iterable[tuple[str, T | None]]) -> dict[str, T]:
    return {name: value for name, value in pairs if value is not None}


def _seen(arms: Iterable[Arm], predictions: pa.Table, videos: Videos | None, study: Row) -> tuple[Seen, ...]:
    """Nothing for a cross-validation: its folds are not the manifest's splits, and keep groups whole."""
    if videos is None or at(study, "study.base.data.cv", str, ""):
        return ()
    found = (seen_groups(arm, predictions, videos.trained) for arm in arms)
    return tuple(one for one in found if one is not None)


def _settings(study: Row, arms: Iterable[Arm]) -> Row:
    """The baseline's settings: as a finished trial had them, else the study's base."""
    own = next((arm.settings for arm in arms if arm.name == BASELINE), {})
    return own or at(study, "study.base", dict, {})

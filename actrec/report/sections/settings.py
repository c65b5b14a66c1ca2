"""Parallel coordinates: what the arms set, and what came of it."""

from __future__ import annotations

import math

from actrec.report import words
from actrec.report.figures.parallel import parallel_coordinates
from actrec.report.markup import Html
from actrec.report.record import flat
from actrec.report.sections.parts import note, plot, section
from actrec.report.values import Arm, Report

IDENTITY = ("seed", "placebo", "data.digest", "data.manifest")  # no choice that is under study
MOST, MOST_ARMS = 8, 150  # coordinates, and lines; more cannot be read


def settings(report: Report) -> Html | None:
    """For studies whose arms change several settings at once: factorial designs and paths. A search has its
    own, of its trials."""
    if report.search:
        return None
    arms = sorted((arm for arm in report.arms if arm.finished and arm.settings), key=_rank)
    each = {arm.name: flat(arm.settings) for arm in arms}
    base = each.get("baseline") or next(iter(each.values()), {})
    varied = {
        path: None
        for values in each.values()
        for path in values
        if path not in IDENTITY and values[path] != base.get(path)
    }
    together = any(sum(values[path] != base.get(path) for path in varied) > 1 for values in each.values())
    if len(varied) < 2 or not together:
        return None
    paths = list(varied)[:MOST]
    total, arms = len(arms), arms[:: math.ceil(len(arms) / MOST_ARMS)]
    columns = {path: [each[arm.name].get(path) for arm in arms] for path in paths}
    results = {
        title: [None if (mean := arm.mean(name)) is None else 100 * mean for arm in arms]
        for title, name in (("top-1, val, %", "val_top1"), ("top-1, test, %", "test_top1"))
    }
    return section(
        "settings",
        "Settings",
        note(
            "A line for every arm through its settings to its results: blue for the tenth with the highest "
            "test top-1, orange for the tenth with the lowest.",
            f" Of {len(varied)} settings the first {MOST} are drawn." if len(varied) > MOST else None,
            f" Drawn are {len(arms)} of {total:,} arms, evenly over their ranks."
            if len(arms) < total
            else None,
        ),
        plot(
            "parallel-plot",
            parallel_coordinates(columns, results, [arm.name for arm in arms]),
            f"Parallel coordinates of {words.count(len(arms), 'arm')}: settings, and top-1 on validation and "
            "test.",
            wide=True,
        ),
    )


def _rank(arm: Arm) -> float:
    mean = arm.mean("test_top1")
    return -math.inf if mean is None else -mean

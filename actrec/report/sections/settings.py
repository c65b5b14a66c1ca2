"""Parallel coordinates: what the arms set, and what came of it."""

from __future__ import annotations

from actrec.report import words
from actrec.report.figures.parallel import parallel_coordinates
from actrec.report.markup import Html
from actrec.report.record import flat
from actrec.report.sections.parts import note, plot, section
from actrec.report.values import Report

IDENTITY = ("seed", "placebo", "data.digest", "data.manifest")  # no choice that is under study
MOST = 8  # coordinates; more cannot be read


def settings(report: Report) -> Html | None:
    """For studies whose arms change several settings at once: factorial designs, paths and searches."""
    arms = [arm for arm in report.arms if arm.finished and arm.settings]
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
    columns = {path: [each[arm.name].get(path) for arm in arms] for path in paths}
    results = {
        title: [None if (mean := arm.mean(name)) is None else 100 * mean for arm in arms]
        for title, name in (("top-1, val, %", "val_top1"), ("top-1, test, %", "test_top1"))
    }
    return section(
        "settings",
        "Settings",
        note(
            "A line for every arm through its settings to its result: blue for the highest test top-1, "
            "orange for the lowest. Drag along an axis to keep only the lines that pass there.",
            f" Of {len(varied)} settings the first {MOST} are drawn." if len(varied) > MOST else None,
        ),
        plot(
            "parallel-plot",
            parallel_coordinates(columns, results),
            f"Parallel coordinates of {words.count(len(arms), 'arm')}: settings, and top-1 on validation and "
            "test.",
            wide=True,
        ),
    )

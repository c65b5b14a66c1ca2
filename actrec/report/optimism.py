"""Whether a study promises too much: what was selected on validation, and what training has seen of test."""

from __future__ import annotations

import math

from actrec.report.values import Arm, Report


def selected(report: Report) -> Arm | None:
    """The arm that validation selects: the best change."""
    return next((arm for arm in report.arms if report.best and arm.name == report.best.arm), None)


def gap(arm: Arm) -> float | None:
    """Mean validation less mean test top-1 of an arm; None where one is missing."""
    val, test = arm.mean("val_top1"), arm.mean("test_top1")
    return None if val is None or test is None else val - test


def large_gap(report: Report) -> float | None:
    """The gap of the selected arm where chance does not explain it, else None.

    The arm was selected on validation and is reported on test, so some gap is expected. It is large above two
    standard errors of the difference of two binomial shares, on so many validation and test videos. Seeds
    share the videos, so they do not narrow it.
    """
    best = selected(report)
    found = gap(best) if best else None
    n_val = sum(report.data.counts.get("val", {}).values())
    if best is None or found is None or not n_val or not report.n_test:
        return None
    val, test = best.mean("val_top1") or 0.0, best.mean("test_top1") or 0.0
    error = math.sqrt(val * (1 - val) / n_val + test * (1 - test) / report.n_test)
    return found if found > 2 * error else None

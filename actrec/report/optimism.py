"""Whether a study promises too much: what was selected on validation, and what training has seen of test."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actrec.report import trials
from actrec.report.outcomes import hits
from actrec.report.record import at
from actrec.report.values import PLACEBO, Arm, Report
from actrec.report.videos import Seen


def selected(report: Report) -> Arm | None:
    """The arm that validation selects: of all but the placebo, the baseline too."""
    return trials.selected([arm for arm in report.arms if arm.name != PLACEBO])


def gap(arm: Arm) -> float | None:
    """Mean validation less mean test top-1 of an arm; None where one is missing."""
    val, test = arm.mean("val_top1"), arm.mean("test_top1")
    return None if val is None or test is None else val - test


def large_gap(report: Report) -> float | None:
    """The gap of the selected arm where chance does not explain it, else None."""
    best = selected(report)
    found, most = gap(best) if best else None, explained(report)
    return found if found is not None and most is not None and found > most else None


def explained(report: Report) -> float | None:
    """How large a gap of the selected arm chance explains; None where that cannot be told.

    The arm was selected on validation and is reported on test, so some gap is expected. It is large above two
    standard errors of the difference of two binomial shares, on so many validation and test videos. Seeds
    share the videos, so they do not narrow it. In a cross-validation the manifest's validation split is of no
    use: each fold cuts its own.
    """
    best = selected(report)
    n_val = sum(report.data.counts.get("val", {}).values())
    if best is None or not n_val or not report.n_test or at(report.study, "study.base.data.cv", str, ""):
        return None
    val, test = best.mean("val_top1") or 0.0, best.mean("test_top1") or 0.0
    return 2 * math.sqrt(val * (1 - val) / n_val + test * (1 - test) / report.n_test)


def seen_groups(arm: Arm, predictions: pa.Table, trained: frozenset[str]) -> Seen | None:
    """How an arm does on test videos of groups that training has seen, against those of new groups, over its
    finished trials; None where all its test videos are of one kind.

    Args:
        predictions: rows of that table, those of the arm's trials among them.
        trained: the groups of the training videos.
    """
    ids = pa.array([trial.trial_id for trial in arm.finished], pa.string())
    rows = predictions.filter(pc.is_in(predictions["trial_id"], ids))
    seen = pc.is_in(rows["group"], pa.array(sorted(trained), pa.string())).to_numpy()
    if not len(rows) or seen.all() or not seen.any():
        return None
    right = hits(rows)
    videos = np.asarray(rows["video_id"].to_pylist(), object)
    return Seen(
        arm.name,
        len(set(videos[seen])),
        len(set(videos[~seen])),
        float(right[seen].mean()),
        float(right[~seen].mean()),
    )

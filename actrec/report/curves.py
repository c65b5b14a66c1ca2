"""The table ``epochs`` → learning curves, and each metric at the epoch that was tested."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from actrec.report.record import finite
from actrec.report.values import Arm, Curve, Fit

FITTED = ("top1", "loss")


def learning_curves(epochs: pa.Table, arms: Sequence[Arm]) -> tuple[Curve, ...]:
    """Mean and range over the finished seeds of each arm, at every epoch that any of them reached."""
    keys = ["arm", "split", "metric", "epoch"]
    owner = {trial.trial_id: arm.name for arm in arms for trial in arm.finished}
    ids, names = pa.array(owner.keys(), pa.string()), pa.array(owner.values(), pa.string())
    owned = epochs.append_column("arm", names.take(pc.index_in(epochs["trial_id"].combine_chunks(), ids)))
    grouped = (
        owned.filter(pc.is_valid(owned["arm"]))
        .group_by(keys, use_threads=False)  # in one order, so that the same rows make the same page
        .aggregate([("value", "mean"), ("value", "min"), ("value", "max")])
        .sort_by([(key, "ascending") for key in keys])
    )
    points: dict[tuple[str, str, str], list[tuple[int, float, float, float]]] = defaultdict(list)
    for row in grouped.to_pylist():
        values = tuple(row[f"value_{name}"] for name in ("mean", "min", "max"))
        if all(finite(value) is not None for value in values):
            points[row["arm"], row["split"], row["metric"]].append((row["epoch"], *values))
    return tuple(
        Curve(arm, split, metric, *(tuple(column) for column in zip(*rows, strict=True)))
        for (arm, split, metric), rows in points.items()
    )


def fits(epochs: pa.Table, arms: Sequence[Arm]) -> tuple[Fit, ...]:
    """Training, validation and test of every arm with a finished trial, for top-1 and the loss.

    Training and validation are of a trial's best epoch, whose weights were tested; where it is not recorded,
    of its last.
    """
    trials = [trial for arm in arms for trial in arm.finished]
    ids = pa.array([trial.trial_id for trial in trials], pa.string())
    tested = pa.array([trial.best_epoch or trial.epochs for trial in trials], pa.int64())
    of_row = tested.take(pc.index_in(epochs["trial_id"].combine_chunks(), ids))
    rows = epochs.filter(pc.equal(epochs["epoch"].combine_chunks(), of_row))
    values = {
        (row["trial_id"], row["split"], row["metric"]): row["value"]
        for row in rows.to_pylist()
        if finite(row["value"]) is not None
    }

    def mean(arm: Arm, split: str, metric: str) -> float | None:
        own = (values.get((trial.trial_id, split, metric)) for trial in arm.finished)
        known = [value for value in own if value is not None]
        return sum(known) / len(known) if known else None

    return tuple(
        Fit(
            arm.name,
            metric,
            mean(arm, "train", metric),
            mean(arm, "val", metric),
            arm.mean(f"test_{metric}"),
        )
        for metric in FITTED
        for arm in arms
        if arm.finished
    )

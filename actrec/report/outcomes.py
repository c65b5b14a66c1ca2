"""Test predictions → confusion matrices and classification reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actrec.errors import LedgerError
from actrec.metrics import classification_report, confusion
from actrec.report.values import Arm, ClassReport, ClassRow, Outcome

Matrix = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Counted:
    """A confusion matrix, int64 (K, K), for every trial with predictions, and the names of the K classes."""

    class_names: tuple[str, ...]
    matrices: Mapping[str, Matrix]


def count_predictions(predictions: pa.Table, class_names: Sequence[object]) -> Counted:
    """Confusion matrices of the table ``predictions``; a video's prediction is its highest score.

    Classes are numbered where ``class_names`` does not have one name for each score.

    Raises:
        LedgerError: if rows differ in their number of scores.
    """
    names = tuple(str(name) for name in class_names)
    if not len(predictions):
        return Counted(names, {})
    widths = pc.unique(pc.list_value_length(predictions["scores"])).to_pylist()
    if len(widths) != 1 or not widths[0]:
        raise LedgerError(f"predictions differ in their number of classes: {widths}")
    k = widths[0]
    scores = pc.list_flatten(predictions["scores"]).to_numpy().reshape(-1, k)
    labels = predictions["label"].to_numpy().astype(np.int64)
    predicted = scores.argmax(axis=1)
    trial = predictions["trial_id"].combine_chunks().dictionary_encode()
    codes = trial.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(1, len(trial.dictionary)))
    matrices = {
        str(trial_id): confusion(labels[rows], predicted[rows], k)
        for trial_id, rows in zip(trial.dictionary.to_pylist(), np.split(order, starts), strict=True)
    }
    return Counted(names if len(names) == k else tuple(f"class {i}" for i in range(k)), matrices)


def hits(predictions: pa.Table) -> NDArray[np.bool_]:
    """Whether the highest score of each of one or more rows is its label's, bool (rows,)."""
    scores = pc.list_flatten(predictions["scores"]).to_numpy().reshape(len(predictions), -1)
    return np.asarray(scores.argmax(axis=1) == predictions["label"].to_numpy())


def outcome(arm: Arm, counted: Counted) -> Outcome | None:
    """The arm's confusion matrix over all its finished seeds; None where it has no predictions."""
    matrices = _matrices(arm, counted)
    return Outcome(arm.name, len(matrices), np.sum(matrices, axis=0)) if matrices else None


def class_report(arm: Arm, counted: Counted) -> ClassReport | None:
    """The classification reports of the finished seeds, averaged; None where there are no predictions."""
    reports = [classification_report(matrix) for matrix in _matrices(arm, counted)]
    if not reports:
        return None
    table = np.mean([[r.precision, r.recall, r.f1] for r in reports], axis=0)  # (3, K)
    macro = np.mean([[r.macro.precision, r.macro.recall, r.macro.f1] for r in reports], axis=0)
    weighted = np.mean([[r.weighted.precision, r.weighted.recall, r.weighted.f1] for r in reports], axis=0)
    support = reports[0].support
    total = int(support.sum())
    return ClassReport(
        arm=arm.name,
        n_seeds=len(reports),
        accuracy=float(np.mean([report.accuracy for report in reports])),
        rows=tuple(_row(name, table[:, k], int(support[k])) for k, name in enumerate(counted.class_names)),
        macro=_row("macro average", macro, total),
        weighted=_row("weighted average", weighted, total),
    )


def _row(name: str, scores: NDArray[np.float64], support: int) -> ClassRow:
    precision, recall, f1 = map(float, scores)
    return ClassRow(name, precision, recall, f1, support)


def _matrices(arm: Arm, counted: Counted) -> list[Matrix]:
    """One for every finished seed, its folds together."""
    runs = ([counted.matrices.get(trial.trial_id) for trial in run] for run in arm.runs)
    whole = ([matrix for matrix in run if matrix is not None] for run in runs)
    return [np.sum(run, axis=0) for run in whole if run]

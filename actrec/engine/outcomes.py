"""The table ``predictions`` → what came of each test video, for the statistics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actrec.errors import LedgerError
from actrec.results.reader import Reader
from actrec.stats.scores import MISSING, Cell, Outcomes, outcomes_of

COLUMNS = ["trial_id", "video_id", "group", "label", "scores"]


def read_outcomes(ledger: Reader, trials: Mapping[str, Cell]) -> Outcomes | None:
    """The outcomes of some trials, a bounded piece of the table at a time; None without a prediction.

    Of each prediction 12 bytes are kept: neither memory nor time grows with the number of classes.

    Args:
        trials: trial id → its arm and seed. Trials that share these are folds, each with videos of its own.

    Raises:
        LedgerError: if predictions cannot be read, or differ in their number of classes.
    """
    rows: dict[Cell, int] = {}
    videos: dict[str, int] = {}
    labels: dict[int, int] = {}
    groups: dict[int, str] = {}
    classes: set[int] = set()
    pieces: list[tuple[NDArray[np.int64], NDArray[np.int64], tuple[NDArray[np.generic], ...]]] = []
    for piece in ledger.pieces("predictions", columns=COLUMNS, trial_ids=trials.keys()):
        own, of_trial = _codes(piece["trial_id"])
        row = np.array([rows.setdefault(trials[name], len(rows)) for name in own])[of_trial]
        known, of_video = _codes(piece["video_id"])
        video = np.array([videos.setdefault(name, len(videos)) for name in known])[of_video]
        label = piece["label"].to_numpy().astype(np.int64)
        for first in np.unique(video, return_index=True)[1].tolist():
            labels[int(video[first])] = int(label[first])
            groups[int(video[first])] = piece["group"][first].as_py()
        scores = _scores(piece)
        classes.add(scores.shape[1])
        pieces.append((row, video, outcomes_of(scores, label)))
    if len(classes) > 1:
        raise LedgerError(f"predictions differ in their number of classes: {sorted(classes)}")
    if not pieces:
        return None
    shape = len(rows), len(videos)
    predicted, rank = np.full(shape, MISSING, np.int32), np.full(shape, MISSING, np.int32)
    loss = np.full(shape, np.nan, np.float32)
    for row, video, (theirs, places, losses) in pieces:
        predicted[row, video], rank[row, video], loss[row, video] = theirs, places, losses
    order = [videos[name] for name in sorted(videos)]  # not that in which they were read
    return Outcomes(
        cells=rows,
        groups=np.array([groups[video] for video in order]),
        labels=np.array([labels[video] for video in order], np.int64),
        predicted=predicted[:, order],
        rank=rank[:, order],
        loss=loss[:, order],
    )


def _codes(column: pa.ChunkedArray[pa.StringScalar]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct values of a column, and which of them each row has."""
    found = column.combine_chunks().dictionary_encode()
    return [str(value) for value in found.dictionary.to_pylist()], found.indices.to_numpy().astype(np.int64)


def _scores(piece: pa.Table) -> NDArray[np.float32]:
    widths = pc.unique(pc.list_value_length(piece["scores"])).to_pylist()
    if len(widths) != 1 or not widths[0]:
        raise LedgerError(f"predictions differ in their number of classes: {widths}")
    return np.asarray(pc.list_flatten(piece["scores"]).to_numpy().reshape(-1, widths[0]), np.float32)

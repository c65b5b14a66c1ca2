"""``embeddings/`` → the test videos on a plane, near each other where a model's head gets alike of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actrec.errors import LedgerError
from actrec.report.plane import Map, methods, scaled
from actrec.report.values import Arm
from actrec.results import parquet
from actrec.results.schema import TABLES

MOST_POINTS = 1000  # of a map; twice as many take more than twice as long and say no more


def read_maps(folder: Path, arms: Sequence[Arm], predictions: pa.Table) -> tuple[Map, ...]:
    """A map by each method of each arm that left embeddings.

    Args:
        folder: the study's.
        predictions: rows of that table, those of the arms' trials among them.

    Raises:
        LedgerError: if embeddings cannot be read.
    """
    found = []
    for arm in arms:
        for trial in arm.finished:
            path = folder / "embeddings" / f"{trial.trial_id}.parquet"
            if path.exists():
                found += _maps(path, arm.name, trial.seed, _outcomes(predictions, trial.trial_id))
                break
    return tuple(found)


def _maps(path: Path, arm: str, seed: int, outcomes: dict[str, tuple[int, int]]) -> list[Map]:
    rows = pa.concat_tables([TABLES["embeddings"].empty_table(), *parquet.scan(path, "embeddings")])
    vectors = dict(zip(rows["video_id"].to_pylist(), range(len(rows)), strict=True))
    ranked = sorted(
        (str(video) for video in vectors if video in outcomes),
        key=lambda video: hashlib.sha256(video.encode()).digest(),
    )
    videos = tuple(sorted(ranked[:MOST_POINTS]))
    if len(videos) < 4:
        return []
    width = len(rows["vector"][0])
    flat = pc.list_flatten(rows["vector"]).to_numpy()
    if len(flat) != width * len(rows):
        raise LedgerError(f"{path}: its vectors differ in length")
    chosen = np.asarray(flat.reshape(-1, width)[[vectors[video] for video in videos]], np.float64)
    labels, predicted = zip(*(outcomes[video] for video in videos), strict=True)
    return [
        Map(arm, seed, method, videos, scaled(place(chosen)), labels, predicted)
        for method, place in methods().items()
    ]


def _outcomes(predictions: pa.Table, trial_id: str) -> dict[str, tuple[int, int]]:
    """Video id → its label and what the trial took it for."""
    own = predictions.filter(pc.field("trial_id") == trial_id)
    return {
        row["video_id"]: (row["label"], int(np.argmax(row["scores"])))
        for row in own.select(["video_id", "label", "scores"]).to_pylist()
    }

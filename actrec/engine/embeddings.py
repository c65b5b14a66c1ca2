"""What the report maps: where a few trials put the test videos, ``embeddings/<trial_id>.parquet`` each.

No result depends on it: what cannot be written is a note.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from actrec.errors import ActrecError
from actrec.results import parquet
from actrec.results.schema import of_trial
from actrec.study.plan import Trial
from actrec.training.tally import Tally

MOST_ARMS = 30
MOST_VIDEOS = 2000

Rows = Sequence[Mapping[str, Any]]


def first_seeds(trials: Sequence[Trial]) -> frozenset[str]:
    """The trials that leave embeddings: of each of the first arms its first, and of that the first fold.

    Vectors of two trials have nothing to do with each other, so one of an arm is enough to look at.
    """
    first: dict[str, str] = {}
    for trial in trials:
        first.setdefault(trial.arm, trial.trial_id)
    return frozenset(list(first.values())[:MOST_ARMS])


def rows_of(embedded: Tally) -> Rows:
    """What a trial leaves: all test videos, or of too many those whose ids hash lowest."""
    vectors = zip(embedded.video_ids, embedded.mean_scores().astype("float32"), strict=True)
    ranked = sorted(vectors, key=lambda row: hashlib.sha256(row[0].encode()).digest())
    return tuple(
        {"video_id": video, "vector": vector}
        for video, vector in sorted(ranked[:MOST_VIDEOS], key=lambda row: row[0])
    )


def write(folder: Path, trial_id: str, rows: Rows, say: Callable[[str], object]) -> None:
    """Writes those of one trial of the study in ``folder``."""
    try:
        made = of_trial("embeddings", rows, trial_id)
        parquet.replace(folder / "embeddings" / f"{trial_id}.parquet", made)
    except ActrecError as error:
        say(f"note: the report cannot map trial {trial_id}: {error}")

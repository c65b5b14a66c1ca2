"""How an arm does in each block of the data: UT-Interaction's two sets, for one, are two places."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actrec.data.checks import strings
from actrec.report.outcomes import hits
from actrec.report.values import Arm
from actrec.report.videos import BlockScore


def by_block(arm: Arm, predictions: pa.Table, blocks: Mapping[str, str]) -> tuple[BlockScore, ...]:
    """An arm's test top-1 in each block that has test videos, by the blocks' names.

    In a cross-validation a seed's value is over all of its folds.

    Args:
        predictions: rows of that table, those of the arm's trials among them.
        blocks: video id → block; a video that is not in it is left out.
    """
    seed_of = {trial.trial_id: trial.seed for run in arm.runs for trial in run}
    rows = predictions.filter(pc.is_in(predictions["trial_id"], pa.array(list(seed_of), pa.string())))
    if not blocks or not len(rows):
        return ()
    right = hits(rows)
    seeds = np.array([seed_of[name] for name in strings(rows, "trial_id")])
    videos = np.array(strings(rows, "video_id"), object)
    block_of = np.array([blocks.get(video, "") for video in videos], object)
    found = []
    for block in sorted(set(block_of) - {""}):
        inside = block_of == block
        values = [float(right[inside & (seeds == seed)].mean()) for seed in np.unique(seeds[inside])]
        found.append(BlockScore(arm.name, block, len(set(videos[inside])), tuple(values)))
    return tuple(found)

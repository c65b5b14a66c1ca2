"""A closer look at one trial of each arm: what it changes, its curves, its worst mistakes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actrec.report.curves import learning_curves
from actrec.report.record import flat
from actrec.report.values import BASELINE, Arm, Mistake, Panel

IDENTITY = ("seed", "placebo")
WORST = 8  # mistakes of a trial
CONFUSED = 5  # pairs of classes


def read_panels(arms: Sequence[Arm], epochs: pa.Table, predictions: pa.Table) -> tuple[Panel, ...]:
    """A panel for the first finished trial of each arm that has one."""
    base = next((flat(arm.settings) for arm in arms if arm.name == BASELINE), {})
    return tuple(_panel(arm, base, epochs, predictions) for arm in arms if arm.finished)


def _panel(arm: Arm, base: Mapping[str, Any], epochs: pa.Table, predictions: pa.Table) -> Panel:
    trial = arm.finished[0]
    own = flat(arm.settings)
    changed = tuple(
        (path, base.get(path), own.get(path))
        for path in dict.fromkeys([*base, *own])
        if base and own and path not in IDENTITY and base.get(path) != own.get(path)
    )
    alone = dataclasses.replace(arm, trials=(trial,))
    videos, right, worst, confused = _outcome(predictions.filter(pc.field("trial_id") == trial.trial_id))
    return Panel(
        arm=arm.name,
        trial=trial,
        changed=changed,
        curves=learning_curves(epochs.filter(pc.field("trial_id") == trial.trial_id), [alone]),
        videos=videos,
        right=right,
        worst=worst,
        confused=confused,
    )


def _outcome(
    rows: pa.Table,
) -> tuple[int, int, tuple[Mistake, ...], tuple[tuple[int, int, int], ...]]:
    """Test videos, those that were right, the worst mistakes, the classes that were mistaken most."""
    if not len(rows):
        return 0, 0, (), ()
    labels = rows["label"].to_numpy()
    scores = pc.list_flatten(rows["scores"]).to_numpy().reshape(len(rows), -1).astype(np.float64)
    predicted = scores.argmax(axis=1)
    true = scores[np.arange(len(rows)), labels]
    wrong = np.flatnonzero(predicted != labels)
    pairs = Counter(zip(labels[wrong].tolist(), predicted[wrong].tolist(), strict=True))
    videos = rows["video_id"].to_pylist()
    worst = sorted(wrong.tolist(), key=lambda row: (true[row], videos[row]))[:WORST]
    mistakes = tuple(
        Mistake(
            str(videos[row]),
            int(labels[row]),
            int(predicted[row]),
            float(true[row]),
            float(scores[row, predicted[row]]),
        )
        for row in worst
    )
    most = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:CONFUSED]
    return len(rows), len(rows) - len(wrong), mistakes, tuple((*pair, n) for pair, n in most)

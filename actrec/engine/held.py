"""The trial that a worker holds, and what it leaves when it has ended."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from actrec.engine.messages import TrialResult
from actrec.engine.station import Source
from actrec.results.schema import OK, PRUNED
from actrec.training.tally import Tally
from actrec.training.task import EpochStats
from actrec.training.trial import TrialRun


@dataclass(slots=True)
class Held:
    """The trial that a worker holds.

    Attributes:
        place: where its checkpoints go.
        started, saved: when it was begun, were it here and without a stop, and last saved; by a clock that
            nobody sets.
        notes: what is still to be told of it.
    """

    trial_id: str
    run: TrialRun
    source: Source
    place: Path
    started: float
    saved: float
    notes: list[str]

    def told(self) -> tuple[str, ...]:
        """The notes, once."""
        notes, self.notes = tuple(self.notes), []
        return notes


def stopped(run: TrialRun, cutoffs: Mapping[int, float]) -> bool:
    """Whether a search stops the trial here. Every worker of it says the same."""
    best = max(stats.val["top1"] for stats in run.history)
    return best < cutoffs.get(run.epoch, -math.inf) and not run.finished


def measured(stats: EpochStats) -> Iterator[tuple[str, str, float]]:
    """Split, metric and value of an epoch."""
    train = {"loss": stats.train.loss, "top1": stats.train.top1, "lr": stats.train.lr}
    for split, values in (("train", train), ("val", stats.val)):
        for name, value in values.items():
            yield split, name, value


def result_of(held: Held, test: Tally | None) -> TrialResult:
    """What a trial leaves; one that was stopped has no ``test``."""
    run = held.run
    # What was selected, on validation: the best epoch under early stopping, else the last.
    chosen = run.history[(run.best_epoch if run.spec.optim.patience else run.epoch) - 1]
    tested = {} if test is None else {f"test_{name}": value for name, value in test.metrics().items()}
    trial = {
        "status": PRUNED if test is None else OK,
        "epochs": run.epoch,
        "best_epoch": run.best_epoch,
        **tested,
        "val_top1": chosen.val["top1"],
        "n_test": len(test) if test is not None else None,
        "trainable_params": sum(value.numel() for value in run.model.parameters() if value.requires_grad),
        "fingerprint": run.fingerprint(),
        "batch_size": run.spec.optim.batch_size,
        "clips_trained": sum(stats.train.clips for stats in run.history[run.inherited :]),
        "seconds": time.monotonic() - held.started,
        "joules": None if math.isnan(run.joules) else run.joules,
        "host": platform.node(),
        "shared_stages": held.source.first,
        "prefix": held.source.prefix,
    }
    epochs = [
        {"epoch": stats.epoch, "split": split, "metric": name, "value": value}
        for stats in run.history
        for split, name, value in measured(stats)
    ]
    groups = held.source.groups
    predictions = [
        {
            "video_id": video_id,
            "group": groups[video_id],
            "fold": run.spec.data.fold,
            "label": label,
            "scores": scores,
        }
        for video_id, label, scores in (() if test is None else test.rows())
    ]
    return TrialResult(trial, tuple(epochs), tuple(predictions))

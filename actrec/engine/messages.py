"""What a trial's actor tells its workers to do, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actrec.engine.embeddings import Rows


@dataclass(frozen=True, slots=True)
class Failure:
    """The answer that says: this trial failed through its own fault.

    ``alike`` tells that every worker of the trial fails in the same way at the same point, so that none is
    left waiting for another and the group stays sound. ``out_of_memory`` tells that a smaller batch may do.
    """

    error: str
    alike: bool = True
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class RunEpoch:
    """The command: train one more epoch of this trial, and test it if that was its last.

    ``clips`` is the folder of its clip set; ``splits`` those of its fold, video id → split, where it has one;
    ``features`` the folder of what its frozen prefix makes of the clips, if it trains on that; ``embed`` asks
    for what its head gets of the test videos. ``cutoffs`` has the validation top-1 that the best epoch must
    have reached by some epochs, or the trial is stopped there; a stopped one is not tested. ``keep`` asks for
    the trial's last state, from which others go on.
    """

    trial_id: str
    spec: Mapping[str, Any]
    clips: Path
    class_names: tuple[str, ...]
    splits: Mapping[str, str] = field(default_factory=dict)
    features: Path | None = None
    embed: bool = False
    cutoffs: Mapping[int, float] = field(default_factory=dict)
    keep: bool = False


@dataclass(frozen=True, slots=True)
class TrialResult:
    """All that a finished trial leaves, as rows of the ledger's tables, beside what the plan knows of it."""

    trial: Mapping[str, Any]
    epochs: tuple[Mapping[str, Any], ...]
    predictions: tuple[Mapping[str, Any], ...]
    embeddings: Rows = ()


@dataclass(frozen=True, slots=True)
class EpochDone:
    """The answer.

    Attributes:
        epoch, epochs: how many are done of how many.
        clips: how many the last one trained on.
        decoded: videos that were decoded for this step on this worker; 0 where the clip cache feeds it.
        undecodable: those of the trial that did not decode, video id → reason.
        metrics: of the last, such as ``train/loss`` and ``val/top1``.
        result: if it was the last.
        notes: what went otherwise than asked, in sentences for the user.
    """

    epoch: int
    epochs: int
    clips: int
    decoded: int
    undecodable: Mapping[str, str]
    metrics: Mapping[str, float]
    result: TrialResult | None = None
    notes: tuple[str, ...] = ()

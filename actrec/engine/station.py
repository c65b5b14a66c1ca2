"""What a worker has to work with: the study's folder and rules, and where a trial's clips come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from actrec.results.ledger import Ledger
from actrec.training.feed import Feed
from actrec.training.learner import PLAIN, Modes
from actrec.training.task import Task

STALL_S = 1800.0
KEPT = "kept"  # the folder of last states


@dataclass(frozen=True, slots=True)
class Source:
    """Where a trial's batches come from on one worker, and the group of each of its test videos.

    Attributes:
        first: the stage of the model that the batches go to: 0, or what comes after a shared prefix.
        prefix: the key of that.
        sample: opens what test videos are embedded from, or raises DataError; None: they are from ``feed``.
    """

    feed: Feed
    task: Task
    groups: Mapping[str, str]
    first: int = 0
    prefix: str = ""
    sample: Callable[[], Feed] | None = None


@dataclass(frozen=True, slots=True)
class Station:
    """What every worker of a study is given.

    Attributes:
        folder: of the study; checkpoints go to ``checkpoints/<trial_id>`` in it, last states to
            ``kept/<trial_id>``.
        token: of the driver that owns the folder. A driver that was killed leaves workers behind for some
            seconds; what they still write is dropped.
        threads: intra-op threads.
        checkpoint_s: least seconds between two checkpoints of a trial. What is lost is trained again, to
            the same values.
        stall_s: seconds without a sign of life after which a worker is taken to hang, and ended. More than
            the longest that a batch may take, the first with what is built for it.
        halve_batch: a trial that runs out of memory is begun anew with half its batch size, again and
            again down to 1.
    """

    folder: Path
    token: str
    threads: int = 1
    checkpoint_s: float = 10.0
    modes: Modes = PLAIN
    stall_s: float = STALL_S
    halve_batch: bool = False

    def checkpoint(self, trial_id: str) -> Path:
        return self.folder / "checkpoints" / trial_id

    def kept(self, trial_id: str) -> Path:
        return self.folder / KEPT / trial_id

    def is_ours(self) -> bool:
        return Ledger(self.folder).owner() == self.token

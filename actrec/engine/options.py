"""How a study is run, beside what it asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from actrec.engine.station import STALL_S
from actrec.training.learner import PLAIN, Modes


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """How a study is run.

    What changes how trials are trained (workers, device, stream, modes) must stay the same over a study's
    launches.

    Attributes:
        out: the study's folder.
        only: ids of the trials to run; none: all of the plan.
        fresh: sets earlier results aside and starts anew.
        retry_failed: runs trials again that have a failed row.
        extend: takes a study that has grown since the last launch: levels, seeds, budget.
        workers, gpus_per_worker, max_concurrent: see :func:`actrec.engine.placement.allocate`.
        address: of a Ray cluster; see :func:`actrec.engine.cluster.connect`.
        stream: decode in every epoch anew instead of keeping clips; None: only if they cannot be kept.
        share: compute what frozen stages make of each clip once for all epochs and trials.
        modes: how the arithmetic is carried out.
        max_failures: lost workers that a trial survives before it counts as failed.
        stall_s: seconds without a sign of life after which a trial's workers are taken to hang.
        halve_batch: begin a trial that runs out of memory anew with half its batch size.
        track: names of trackers (:mod:`actrec.engine.loggers`) that are given a copy of what is found.
        checkpoint_s: see :class:`~actrec.engine.station.Station`.
    """

    out: Path
    only: tuple[str, ...] = ()
    fresh: bool = False
    retry_failed: bool = False
    extend: bool = False
    workers: int = 1
    gpus_per_worker: float | None = None
    max_concurrent: int | None = None
    address: str | None = None
    stream: bool | None = None
    share: bool = True
    modes: Modes = PLAIN
    max_failures: int = 3
    stall_s: float = STALL_S
    halve_batch: bool = False
    track: tuple[str, ...] = ()
    checkpoint_s: float = 10.0

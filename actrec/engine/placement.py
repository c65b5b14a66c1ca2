"""How many trials run side by side, and what each of their workers is given. Pure arithmetic.

Ray Data's tasks ask for one whole CPU each. Workers that hold every CPU therefore starve it for ever, so on
every node at least one CPU stays unreserved, and workers reserve fractions of the others. What they really
compute on is set by their thread count, which does use every core.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actrec.errors import PlacementError

SUPERVISOR_CPUS = 0.01  # of a trial's actor that only waits for its workers
LEAST_CPUS = 0.01  # of a worker: Ray Train takes no bundle of nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocation:
    """What one study's trials are given.

    Attributes:
        workers: training workers a trial (W).
        gpus_per_worker: may be a fraction.
        cpus_per_worker: what a worker reserves, not what it may use.
        concurrent: trials side by side.
        most_workers: that may compute at a time, were there trials enough.
        threads: intra-op threads of each worker.
    """

    workers: int
    gpus_per_worker: float
    cpus_per_worker: float
    concurrent: int
    most_workers: int
    threads: int

    @property
    def own_devices(self) -> bool:
        """Whether a trial shares what it computes on with no other of its study: it has whole GPUs, or, on
        CPUs, runs alone."""
        return self.gpus_per_worker == 1 if self.gpus_per_worker else self.concurrent == 1

    def __str__(self) -> str:
        many = "" if self.workers == 1 else f" × {self.workers} workers"
        gpus = f", {self.gpus_per_worker:g} GPU a worker" if self.gpus_per_worker else ""
        threads = "thread" if self.threads == 1 else "threads"
        return f"{self.concurrent} at a time{many}, {self.threads} {threads} a worker{gpus}"


def allocate(
    nodes: Sequence[Mapping[str, float]],
    *,
    workers: int = 1,
    gpus_per_worker: float | None = None,
    max_concurrent: int | None = None,
    trials: int | None = None,
    stream: bool = False,
) -> Allocation:
    """Chooses the allocation for a cluster.

    Args:
        nodes: the resources of each node, e.g. ``{"CPU": 2.0, "GPU": 1.0}``.
        workers: W of each trial.
        gpus_per_worker: None takes a whole GPU where the cluster has any, else none.
        max_concurrent: at most so many trials side by side, where more would fit: one worker a GPU share,
            else one worker a core.
        trials: how many there are to run; no more run side by side. It does not enter the number of threads,
            on which the last digits of a result depend: a resumed study must come to the same.
        stream: whether Ray Data decodes while trials train, and so needs a whole CPU beside them.

    Raises:
        PlacementError: if the plan can never be placed; says what was asked for and what there is.
    """
    if workers < 1:
        raise PlacementError(f"--workers-per-trial {workers}: must be at least 1")
    if max_concurrent is not None and max_concurrent < 1:
        raise PlacementError(f"--max-concurrent {max_concurrent}: must be at least 1")
    total_cpus = sum(node.get("CPU", 0.0) for node in nodes)
    total_gpus = sum(node.get("GPU", 0.0) for node in nodes)
    gpus = (1.0 if total_gpus else 0.0) if gpus_per_worker is None else gpus_per_worker
    if not 0 <= gpus <= 1:
        raise PlacementError(
            f"--gpus-per-worker {gpus:g}: must be between 0 and 1; a worker computes on one GPU"
        )
    if workers > 1 and 0 < gpus < 1:
        raise PlacementError(
            f"--gpus-per-worker {gpus:g} with --workers-per-trial {workers}: the workers of one trial cannot "
            "share a GPU (NCCL takes one rank a device); give each a whole one, or a trial one worker"
        )

    # The small term keeps 1 / (1/3) from becoming 2 in floating point.
    room = [  # for workers, on each node
        math.floor(node.get("GPU", 0.0) / gpus + 1e-6) if gpus else math.floor(node.get("CPU", 0.0))
        for node in nodes
    ]
    most = sum(room) // workers
    has = f"the cluster has {total_cpus:g} CPUs and {total_gpus:g} GPUs on {len(nodes)} node(s)"
    if most < 1:
        asks = f"{workers} worker(s) with {gpus:g} GPU each" if gpus else f"{workers} worker(s), one CPU each"
        raise PlacementError(f"a trial asks for {asks}, but {has}: room for {sum(room)} worker(s)")
    concurrent = most = min(most, max_concurrent or most)
    threads = max(
        1,
        min(
            int(node.get("CPU", 0.0)) // min(held, concurrent * workers)
            for node, held in zip(nodes, room, strict=True)
            if held
        ),
    )
    concurrent = min(concurrent, trials or concurrent)
    running = concurrent * workers
    if stream and max(node.get("CPU", 0.0) for node in nodes) < 2:
        raise PlacementError(f"--stream needs a node with a CPU to spare for decoding, but {has}")
    free = [
        (node.get("CPU", 0.0) - 1.0 - SUPERVISOR_CPUS * concurrent) / min(held, running)
        for node, held in zip(nodes, room, strict=True)
        if held
    ]
    return Allocation(
        workers=workers,
        gpus_per_worker=gpus,
        cpus_per_worker=min(1.0, max(LEAST_CPUS, math.floor(min(free) * 100) / 100)),
        concurrent=concurrent,
        most_workers=most * workers,
        threads=threads,
    )

"""Computing the features of frozen prefixes: a Ray Data job on the workers' devices, each clip once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import ray.data
import ray.train.torch
import torch
from ray.data import ActorPoolStrategy

from actrec.data import shards
from actrec.data.stream import quietly
from actrec.engine.cache import open_clips
from actrec.engine.placement import Allocation
from actrec.engine.sharing import Sharing
from actrec.errors import ActrecError, DataError
from actrec.training import featureset
from actrec.training.featureset import FeatureSet
from actrec.training.prefix import Extractor, Prefix


@dataclass(frozen=True, slots=True)
class _Task:
    """One shard to compute: clips ``first`` … ``last`` − 1 of a clip set through a prefix."""

    folder: Path
    clips: Path
    number: int
    first: int
    last: int


def compute(
    chosen: Sequence[Sharing], allocation: Allocation, nodes: Sequence[Mapping[str, float]]
) -> Iterator[tuple[int, int]]:
    """Computes the shards that are missing or damaged; the clips are all there.

    Shards that are whole stay, whoever made them, so what was interrupted goes on. Actors write their shards
    themselves. Each has the device and the threads of a training worker.

    Yields:
        As shards are done: (clips computed since the last, clips to compute in all); nothing if all is there.

    Raises:
        DataError: if features cannot be written or clips cannot be read.
    """
    tasks = [task for one in chosen for task in _missing(one)]
    if not tasks:
        return
    total = sum(task.last - task.first for task in tasks)
    gpu = allocation.gpus_per_worker
    data = ray.data.from_items([{"task": task} for task in tasks], override_num_blocks=len(tasks)).map(
        _Actor,  # type: ignore[arg-type]  # a class, of which each actor makes one
        fn_constructor_args=[{one.folder: one.prefix for one in chosen}, allocation.threads, bool(gpu)],
        compute=ActorPoolStrategy(size=min(len(tasks), _places(allocation, nodes))),
        num_cpus=allocation.cpus_per_worker if gpu else allocation.threads,
        num_gpus=gpu or None,
    )
    with quietly():
        try:
            for row in data.iter_rows():
                if row["error"]:
                    raise DataError(row["error"])
                yield row["clips"], total
        except ray.exceptions.RayError as error:
            last = str(error).strip().splitlines()[-1]
            raise DataError(f"Ray could not finish computing features: {last}") from error


def _missing(one: Sharing) -> Iterator[_Task]:
    parts = featureset.cut_into_shards(len(open_clips(one.clips).shards), one.prefix.row_shape)
    about = {"model": one.prefix.spec.model.name, "clips": one.clips.name, "prefix": one.prefix.key}
    featureset.begin(one.folder, stages=one.prefix.stages, count=len(parts), about=about)
    damaged = set(shards.damaged(one.folder, range(len(parts))))
    for number, part in enumerate(parts):
        shape = one.prefix.row_shape
        if number in damaged or not shards.is_sound(one.folder, number, len(part), np.float32, shape):
            yield _Task(one.folder, one.clips, number, part.start, part.stop)


def _places(allocation: Allocation, nodes: Sequence[Mapping[str, float]]) -> int:
    """How many actors there is room for."""
    gpu = allocation.gpus_per_worker
    shares = [
        node.get("GPU", 0.0) / gpu if gpu else node.get("CPU", 0.0) / allocation.threads for node in nodes
    ]
    return max(1, sum(math.floor(share + 1e-6) for share in shares))


class _Actor:
    """Computes shards in a process of its own; holds one model at a time."""

    def __init__(self, prefixes: Mapping[Path, Prefix], threads: int, gpu: bool) -> None:
        torch.set_num_threads(threads)
        self._prefixes = prefixes
        self._device = torch.device("cuda" if gpu else "cpu")
        self._built: tuple[Path, Extractor] | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        task: _Task = row["task"]
        try:
            self._compute(task)
        except ActrecError as fault:  # what an actor raises comes with Ray's log
            return {"clips": 0, "error": str(fault)}
        return {"clips": task.last - task.first, "error": ""}

    def _compute(self, task: _Task) -> None:
        if self._built is None or self._built[0] != task.folder:
            self._built = None  # the last model's memory first
            self._built = task.folder, self._prefixes[task.folder].extractor(self._device)
        clips = open_clips(task.clips).gather(np.arange(task.first, task.last))
        features, sums = self._built[1](torch.from_numpy(clips))
        featureset.write(task.folder, task.number, features.numpy(), sums.numpy())


@cache
def open_features(folder: Path) -> FeatureSet:
    """A complete feature set, opened once a process."""
    return FeatureSet.open(folder)

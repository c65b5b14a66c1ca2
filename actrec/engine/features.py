"""Computing the features of frozen prefixes, on the devices that trials will have, each clip once.

Plain actors do it, as plain tasks decode: features go to disk where they are made, so nothing streams.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray.util import ActorPool
from torch import Tensor

from actrec.data import sets, shards
from actrec.data.local_copy import nearest
from actrec.data.sets import Hold, filling, size_text
from actrec.data.storage import cache_root
from actrec.engine import faults
from actrec.engine.cache import open_clips, open_where_it_lies
from actrec.engine.placement import Allocation
from actrec.engine.sharing import Sharing
from actrec.errors import ActrecError, DataError
from actrec.training import featureset
from actrec.training.featureset import FeatureSet
from actrec.training.prefix import Extractor, Prefix

_RETRIES = 3  # of an actor that dies, and of a shard that one died on: as many as Ray gives a plain task


@dataclass(frozen=True, slots=True)
class _Task:
    """One shard to compute: clips ``first`` … ``last`` − 1 of a clip set through a prefix."""

    prefix: Prefix
    folder: Path
    clips: Path
    number: int
    first: int
    last: int


def reserve(chosen: Sequence[Sharing], say: Callable[[str], object]) -> list[Hold]:
    """Holds the sets of these features and makes room for what they lack; release each when trials are done.

    Raises:
        DataError: if there is not enough room, or the cache cannot be written.
    """
    holds = sets.reserve(cache_root(), {one.folder: one.size for one in chosen}, say)
    if holds is None:
        needed = sum(sets.lacking(one.folder, one.size) for one in chosen)
        raise DataError(
            f"the features need {size_text(needed)} more than {cache_root()} can take: --no-share"
        )
    return holds


def compute(chosen: Sequence[Sharing], allocation: Allocation) -> Iterator[tuple[int, int]]:
    """Computes the shards that are missing or damaged; the clips are all there.

    Shards that are whole stay, whoever made them, so what was interrupted goes on; where another study fills
    the same set, this one waits for it. Each actor has the device and the threads of a training worker, and
    there are no more of them than there may be of those: ``--max-concurrent`` holds here too. One that dies
    is started anew, on another node if need be, with the shard that it was at.

    Yields:
        As shards are done: (clips computed since the last, clips to compute in all); nothing if all is there.

    Raises:
        DataError: if features cannot be written or clips cannot be read, if memory is too small for one clip,
            or if actors die again and again.
    """
    with ExitStack() as writing:
        for one in sorted(chosen, key=lambda one: one.folder):  # in one order: no two studies wait in a ring
            writing.enter_context(filling(one.folder))
        tasks = [task for one in chosen for task in _missing(one)]
        if tasks:
            yield from _compute(tasks, allocation)


def _compute(tasks: list[_Task], allocation: Allocation) -> Iterator[tuple[int, int]]:
    total, gpu = sum(task.last - task.first for task in tasks), allocation.gpus_per_worker
    actor = ray.remote(_Actor).options(
        num_cpus=allocation.cpus_per_worker,  # as trials ask for, for which there is room
        num_gpus=gpu,
        max_restarts=_RETRIES,
        max_task_retries=_RETRIES,
    )
    count = min(len(tasks), allocation.most_workers)
    actors: list[Any] = [actor.remote(allocation.threads, bool(gpu)) for _ in range(count)]
    try:
        pool = ActorPool(actors)
        with shards.syncing() as sync:
            for task, error in pool.map_unordered(lambda each, task: each.compute.remote(task), tasks):
                if error:
                    raise DataError(error)
                sync(task.folder, task.number)
                yield task.last - task.first, total
    except ray.exceptions.RayError as error:
        last = str(error).strip().splitlines()[-1]
        raise DataError(f"Ray could not finish computing features: {last}") from error
    finally:
        for each in actors:
            ray.kill(each)


def _missing(one: Sharing) -> Iterator[_Task]:
    clips = open_where_it_lies(one.clips)
    parts = featureset.cut_into_shards(len(clips.shards), one.prefix.row_shape)
    # A video that did not decode may do so another time, and moves the rows of those behind it.
    rows = hashlib.sha256(clips.count.tobytes()).hexdigest()[:16]
    model, key = one.prefix.spec.model.name, one.prefix.key
    about = {"model": model, "clips": one.clips.name, "rows": rows, "prefix": key}
    featureset.begin(one.folder, stages=one.prefix.stages, count=len(parts), about=about)
    damaged = set(shards.damaged(one.folder, range(len(parts))))
    for number, part in enumerate(parts):
        shape = one.prefix.row_shape
        if number in damaged or not shards.is_sound(one.folder, number, len(part), np.float32, shape):
            yield _Task(one.prefix, one.folder, one.clips, number, part.start, part.stop)


class _Actor:
    """Computes shards in a process of its own; holds one model at a time."""

    def __init__(self, threads: int, gpu: bool) -> None:
        torch.set_num_threads(threads)
        self._device = torch.device("cuda" if gpu else "cpu")
        self._built: tuple[Path, Extractor] | None = None

    def compute(self, task: _Task) -> tuple[_Task, str]:
        """Writes one shard; returns its task, and what went wrong, if anything did."""
        try:
            self._write(task)
        except ActrecError as fault:  # what an actor raises comes with Ray's log
            return task, str(fault)
        return task, ""

    def _write(self, task: _Task) -> None:
        clips = open_clips(task.clips).gather(np.arange(task.first, task.last))
        while (made := self._made(task, torch.from_numpy(clips))) is None:
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        features, sums = made
        featureset.write(task.folder, task.number, features.numpy(), sums.numpy())

    def _made(self, task: _Task, clips: Tensor) -> tuple[Tensor, Tensor] | None:
        """Features and sums; None if memory ran out, and half as many clips at a time are to be tried.

        Raises:
            DataError: if it ran out with one clip, or with none.
        """
        size = None
        try:
            extractor = self._extractor(task)
            size = extractor.batch
            return extractor(clips)
        except Exception as error:
            if not faults.out_of_memory(error):
                raise
            if size is None or size == 1:
                model = task.prefix.spec.model.name
                raise DataError(
                    f"the frozen stages of {model}: {faults.told(error, batch_size=size)}"
                ) from error
        extractor.batch = size // 2
        return None

    def _extractor(self, task: _Task) -> Extractor:
        if self._built is None or self._built[0] != task.folder:
            self._built = None  # the last model's memory first
            self._built = task.folder, task.prefix.extractor(self._device)
        return self._built[1]


@cache
def open_features(folder: Path) -> FeatureSet:
    """A complete feature set, opened once a process; on this node's disk where it lies on the network."""
    return FeatureSet.open(nearest(folder))

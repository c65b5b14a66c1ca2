"""The clip cache, or what a frozen prefix made of it, as batches: a seeded global permutation, cut by rank.

Per (seed, epoch) the order is the same whatever the arm and whatever the number of workers, and every
training video comes exactly once an epoch. Evaluation gives every clip of every video exactly once, and all
clips of one video to one worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from actrec.data.clipset import ClipSet
from actrec.data.shards import Int64
from actrec.seeding import numpy_rng
from actrec.training.batch import Batch
from actrec.training.featureset import FeatureSet
from actrec.training.prefetch import prefetched
from actrec.training.task import Task


class Feed(Protocol):
    """What a trial is fed by, on one worker.

    ``decoded`` counts the videos decoded for it so far; ``undecodable`` has those that did not decode, video
    id → reason.
    """

    @property
    def decoded(self) -> int: ...
    @property
    def undecodable(self) -> Mapping[str, str]: ...

    def steps(self, epoch: int, batch_size: int) -> int:
        """How many batches that epoch has, on every worker."""
        ...

    def train(self, seed: int, epoch: int, batch_size: int) -> Iterator[Batch]:
        """This worker's part of each global batch of one epoch."""
        ...

    def evaluate(self, split: str, batch_size: int) -> Iterator[Batch]:
        """This worker's part of a split's clips."""
        ...


@dataclass(frozen=True)
class CachedFeed:
    """A feed from a clip set, for worker ``rank`` of ``world_size``.

    Attributes:
        features: of the same clips, row by row; if given, batches have these instead of pixels.
        ahead: batches that a thread gathers while others are trained on. It pays where a GPU computes, or the
            disk is waited for; where neither is so, it costs nothing that could be measured.
        pinned: in page-locked memory, for a GPU.
    """

    clips: ClipSet
    rank: int = 0
    world_size: int = 1
    features: FeatureSet | None = None
    ahead: int = 0
    pinned: bool = False
    # Both stay so: the clips are there, and the cache has told what it could not decode.
    decoded: int = 0
    undecodable: Mapping[str, str] = field(default_factory=dict)

    def steps(self, epoch: int, batch_size: int) -> int:
        return -(-len(train_items(self.clips, epoch)[1]) // batch_size)

    def train(self, seed: int, epoch: int, batch_size: int) -> Iterator[Batch]:
        return self._ahead(self._train(seed, epoch, batch_size))

    def evaluate(self, split: str, batch_size: int) -> Iterator[Batch]:
        return self._ahead(self._evaluate(split, batch_size))

    def _ahead(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        return prefetched(batches, self.ahead) if self.ahead else batches

    def _train(self, seed: int, epoch: int, batch_size: int) -> Iterator[Batch]:
        videos, rows = train_items(self.clips, epoch)
        order = numpy_rng(seed, "order", epoch).permutation(len(rows))
        for first in range(0, len(order), batch_size):
            chosen = order[first : first + batch_size]
            each = -(-len(chosen) // self.world_size)  # ceiling: every worker takes part in every step
            mine = np.resize(chosen, each * self.world_size)[self.rank :: self.world_size]
            valid = np.arange(each) * self.world_size + self.rank < len(chosen)
            yield self._batch(videos[mine], rows[mine], valid)

    def _evaluate(self, split: str, batch_size: int) -> Iterator[Batch]:
        owner, rows = eval_items(self.clips, self.clips.videos(split)[self.rank :: self.world_size])
        for first in range(0, len(rows), batch_size):
            part = slice(first, first + batch_size)
            yield self._batch(owner[part], rows[part], np.ones(len(rows[part]), bool))

    def _batch(self, videos: Int64, rows: Int64, valid: np.ndarray) -> Batch:
        stored = self.features or self.clips
        batch = Batch(
            clips=torch.from_numpy(stored.gather(rows)),
            labels=torch.from_numpy(self.clips.labels[videos]),
            video_ids=[self.clips.video_ids[video] for video in videos],
            valid=torch.from_numpy(valid),
            sums=torch.from_numpy(self.features.sums[rows]) if self.features else None,
        )
        return batch.pinned() if self.pinned else batch


def task_of(clips: ClipSet, class_names: tuple[str, ...]) -> Task:
    """The task that a clip set makes: its classes, and how many decodable training videos each has."""
    counts = np.bincount(clips.labels[clips.videos("train")], minlength=len(class_names))
    return Task(class_names, tuple(counts.tolist()))


def train_items(clips: ClipSet, epoch: int) -> tuple[Int64, Int64]:
    """What one epoch trains on: (video, clip row) pairs, int64 both.

    Under random sampling each video once, its stored draw ``epoch mod draws``; else each of its clips.
    """
    videos = clips.videos("train")
    if clips.clip.sampling == "random":
        return videos, clips.first[videos] + epoch % clips.clip.draws
    return _all_clips(clips, videos)


def eval_items(clips: ClipSet, videos: Int64) -> tuple[Int64, Int64]:
    """What the evaluation of ``videos`` takes: (video, clip row) pairs, int64 both.

    Under random sampling the last stored clip of each, which is the centred one; else each of its clips.
    """
    if clips.clip.sampling == "random":
        return videos, clips.first[videos] + clips.count[videos] - 1
    return _all_clips(clips, videos)


def _all_clips(clips: ClipSet, videos: Int64) -> tuple[Int64, Int64]:
    count = clips.count[videos]
    return np.repeat(videos, count), np.repeat(clips.first[videos], count) + ragged_arange(count)


def ragged_arange(count: Int64) -> Int64:
    """0…count[0]−1, 0…count[1]−1, … in one array."""
    ends = np.cumsum(count)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - count, count)

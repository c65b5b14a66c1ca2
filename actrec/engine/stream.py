"""Training without a clip cache: Ray Data streams decoded clips into the workers, each epoch anew.

For sets too large to keep. The loop is the same; only its feed differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray.data
import ray.train
import torch
from ray.data import DataContext

from actrec.data.clipset import ClipSet
from actrec.data.stream import clip_stream
from actrec.data.video_clips import Video
from actrec.engine.station import Source
from actrec.seeding import derive
from actrec.spec import ClipSpec
from actrec.training.batch import Batch
from actrec.training.feed import CachedFeed
from actrec.training.task import Task

SPLITS = ("train", "val", "test")
BUFFER_BATCHES = 4  # of the local shuffle


@dataclass(frozen=True, slots=True)
class Stream:
    """What a worker must know of a streamed clip set; its datasets it gets from Ray Train, by name.

    ``sample`` is the folder of a clip set of a few of its videos, if there is one: see
    :mod:`actrec.engine.sample`.
    """

    name: str
    clip: ClipSpec
    class_names: tuple[str, ...]
    videos: tuple[Video, ...]
    sample: Path | None = None

    def split(self, split: str) -> tuple[Video, ...]:
        return tuple(video for video in self.videos if video.split == split)

    @property
    def draws(self) -> int:
        return self.clip.draws if self.clip.sampling == "random" else 1

    def datasets(self, workers: int) -> dict[str, ray.data.Dataset]:
        """The datasets by the names under which the workers ask for them.

        From here on, datasets of this process keep their order: without that, a seed would not repeat a run.
        Ray Train hands this process's options, not the datasets' own, to workers that split them.
        """
        DataContext.get_current().execution_options.preserve_order = True
        made = {
            _name(self.name, "train", draw): clip_stream(
                self.split("train"), self.clip, draw=draw, multiple=workers
            )
            for draw in range(self.draws)
        }
        for split in SPLITS[1:]:
            made[_name(self.name, split)] = clip_stream(
                self.split(split), self.clip, draw=0, multiple=workers
            )
        return made

    def source(self, rank: int, world_size: int) -> Source:
        """The source of a trial's batches on one worker.

        Class weights count all training videos that opened when they were probed. A cache leaves out those
        that then did not decode, but a stream meets these only while it trains: a class that has such videos
        weighs a little less.
        """
        labels = np.array([video.label for video in self.split("train")], np.int64)
        counts = np.bincount(labels, minlength=len(self.class_names))
        groups = {video.video_id: video.group for video in self.videos}
        folder = self.sample
        return Source(
            StreamedFeed(self, world_size),
            Task(self.class_names, tuple(counts.tolist())),
            groups,
            sample=(lambda: CachedFeed(ClipSet.open(folder), rank, world_size)) if folder else None,
        )


@dataclass
class StreamedFeed:
    """One worker's feed.

    Attributes:
        decoded: counts the videos that it was sent.
        undecodable: those that did not decode, video id → reason.
    """

    stream: Stream
    world_size: int
    decoded: int = 0
    undecodable: dict[str, str] = field(default_factory=dict)

    def steps(self, epoch: int, batch_size: int) -> int:
        rows = -(-len(self.stream.split("train")) // self.world_size)
        return -(-rows // self._videos(batch_size))

    def train(self, seed: int, epoch: int, batch_size: int) -> Iterator[Batch]:
        name = _name(self.stream.name, "train", epoch % self.stream.draws)
        size = self._videos(batch_size)
        shuffle = {
            "local_shuffle_buffer_size": BUFFER_BATCHES * size,
            "local_shuffle_seed": derive(seed, "order", epoch) % 2**31,
        }
        return self._batches(name, self.stream.split("train"), size, **shuffle)

    def evaluate(self, split: str, batch_size: int) -> Iterator[Batch]:
        name = _name(self.stream.name, split)
        return self._batches(name, self.stream.split(split), self._videos(batch_size))

    def _videos(self, batch_size: int) -> int:
        """Videos in a worker's batch, so that the clips of all workers make a global batch."""
        clips = self.stream.clip.clips if self.stream.clip.sampling == "clips" else 1
        return max(1, -(-batch_size // self.world_size) // clips)

    def _batches(self, name: str, videos: Sequence[Video], size: int, **shuffle: Any) -> Iterator[Batch]:
        shard = ray.train.get_dataset_shard(name)
        for rows in shard.iter_batches(batch_size=size, batch_format="numpy", **shuffle):
            for error in filter(None, rows["error"]):
                raise OSError(error)  # this worker's alone: the others of its group did not meet it
            for position in np.flatnonzero(rows["reason"] != ""):
                video = videos[rows["video"][position]]
                self.undecodable[video.video_id] = rows["reason"][position]
            clips = np.stack(list(rows["clips"]))  # (videos, N, T, H, W, 3)
            owner = np.repeat(rows["video"], clips.shape[1])
            self.decoded += int(rows["valid"].sum())
            yield Batch(
                clips=torch.from_numpy(clips.reshape(-1, *clips.shape[2:])),
                labels=torch.tensor([videos[position].label for position in owner]),
                video_ids=[videos[position].video_id for position in owner],
                valid=torch.from_numpy(np.repeat(rows["valid"], clips.shape[1])),
            )


def _name(stream: str, split: str, draw: int = 0) -> str:
    return f"{stream}-{split}-{draw}"  # no slash: Ray Data names a log file after it

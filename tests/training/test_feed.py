"""The order of training, and who evaluates what."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from actrec.data.clipset import ClipSet
from actrec.data.shard_array import ShardArray
from actrec.spec import ClipSpec
from actrec.training.featureset import FeatureSet
from actrec.training.feed import CachedFeed, ragged_arange, task_of

VIDEOS = {"train": 11, "val": 3, "test": 5}


def clip_set(clip: ClipSpec) -> ClipSet:
    """Clips whose every pixel is their own row's number."""
    splits = [split for split, count in VIDEOS.items() for _ in range(count)]
    draws = clip.draws if clip.sampling == "random" else 1
    each = [draws if split == "train" else 1 for split in splits]
    if clip.sampling == "clips":
        each = [clip.clips] * len(splits)
    count = np.array(each)
    rows = np.arange(count.sum(), dtype=np.uint8)
    shard = np.broadcast_to(rows[:, None, None, None, None], (len(rows), 2, 2, 2, 3))
    return ClipSet(
        folder=Path("."),
        clip=clip,
        video_ids=tuple(f"v{i:02}" for i in range(len(splits))),
        groups=tuple("g" for _ in splits),
        splits=tuple(splits),
        labels=np.arange(len(splits)) % 3,
        first=np.cumsum(count) - count,
        count=count,
        reasons=tuple("" for _ in splits),
        shards=ShardArray((shard,)),
    )


UNIFORM = ClipSpec(sampling="uniform", num_frames=2)


def trained(feed: CachedFeed, seed: int = 0, epoch: int = 0, size: int = 4) -> list[list[str]]:
    """Video ids of each batch, padding left out."""
    return [
        [video for video, valid in zip(batch.video_ids, batch.valid.tolist(), strict=True) if valid]
        for batch in feed.train(seed, epoch, size)
    ]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_each_training_video_comes_once_an_epoch_at_any_number_of_workers(world_size: int) -> None:
    clips = clip_set(UNIFORM)
    parts = [trained(CachedFeed(clips, rank, world_size)) for rank in range(world_size)]
    assert {len(part) for part in parts} == {3}  # 11 videos in batches of 4: the same steps on each worker
    together = [sorted(chain(*batches)) for batches in zip(*parts, strict=True)]
    alone = [sorted(batch) for batch in trained(CachedFeed(clips))]
    assert together == alone  # the same global batches
    assert sorted(chain(*together)) == [f"v{i:02}" for i in range(11)]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_workers_have_batches_of_one_size(world_size: int) -> None:
    feeds = [CachedFeed(clip_set(UNIFORM), rank, world_size) for rank in range(world_size)]
    for batches in zip(*(feed.train(0, 0, 4) for feed in feeds), strict=True):
        assert len({len(batch) for batch in batches}) == 1


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    feed = CachedFeed(clip_set(UNIFORM))
    assert trained(feed, 0, 0) == trained(feed, 0, 0)
    assert trained(feed, 0, 0) != trained(feed, 0, 1)
    assert trained(feed, 0, 0) != trained(feed, 1, 0)


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_each_video_is_evaluated_once_and_by_one_worker(world_size: int) -> None:
    clips = clip_set(ClipSpec(sampling="clips", clips=3, num_frames=2))
    seen: list[str] = []
    for rank in range(world_size):
        mine = [
            v for batch in CachedFeed(clips, rank, world_size).evaluate("test", 4) for v in batch.video_ids
        ]
        assert all(mine.count(video) == 3 for video in mine)
        seen += sorted(set(mine))
    assert sorted(seen) == [f"v{i:02}" for i in range(14, 19)]


def test_batches_have_the_clips_and_labels_of_their_videos() -> None:
    clips = clip_set(UNIFORM)
    for batch in CachedFeed(clips).train(0, 0, 4):
        rows = [int(video[1:]) for video in batch.video_ids]
        assert batch.clips[:, 0, 0, 0, 0].tolist() == rows
        assert batch.labels.tolist() == [row % 3 for row in rows]


def test_random_sampling_takes_one_draw_an_epoch_in_turn() -> None:
    clips = clip_set(ClipSpec(sampling="random", num_frames=2, draws=3))
    feed = CachedFeed(clips)
    for epoch in range(5):
        rows = [int(row) for batch in feed.train(0, epoch, 4) for row in batch.clips[:, 0, 0, 0, 0]]
        assert sorted(rows) == [3 * video + epoch % 3 for video in range(11)]


def test_every_uniform_clip_is_trained_on() -> None:
    feed = CachedFeed(clip_set(ClipSpec(sampling="clips", clips=2, num_frames=2)))
    rows = [int(row) for batch in feed.train(0, 0, 4) for row in batch.clips[:, 0, 0, 0, 0]]
    assert sorted(rows) == list(range(22))
    assert feed.steps(0, 4) == 6  # 22 clips in fours


def test_the_task_counts_training_videos_by_class() -> None:
    # Labels are 0, 1, 2, 0, …: of 11 training videos, 4, 4 and 3; the fourth class has none.
    assert task_of(clip_set(UNIFORM), ("a", "b", "c", "d")).train_counts == (4, 4, 3, 0)


def test_ragged_arange() -> None:
    assert ragged_arange(np.array([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]
    assert ragged_arange(np.array([], np.int64)).tolist() == []


def feature_set(clips: ClipSet) -> FeatureSet:
    """Features and sums that are ten and a hundred times their row's number."""
    rows = np.arange(len(clips.shards))
    return FeatureSet(Path("."), 3, ShardArray(((10.0 * rows[:, None]).astype(np.float32),)), 100 * rows)


@pytest.mark.parametrize("ahead", [0, 2])
def test_features_take_the_place_of_their_clips(ahead: int) -> None:
    clips = clip_set(UNIFORM)
    feed = CachedFeed(clips, features=feature_set(clips), ahead=ahead)
    plain = CachedFeed(clips)
    for found, pixels in (
        *zip(feed.train(0, 1, 4), plain.train(0, 1, 4), strict=True),
        *zip(feed.evaluate("val", 2), plain.evaluate("val", 2), strict=True),
    ):
        rows = pixels.clips[:, 0, 0, 0, 0].tolist()
        assert found.video_ids == pixels.video_ids
        assert found.clips.flatten().tolist() == [10.0 * row for row in rows]
        assert found.sums is not None
        assert found.sums.tolist() == [100 * row for row in rows]
        assert found.rows(torch.tensor([0])).sums == 100 * rows[0]
        assert pixels.sums is None

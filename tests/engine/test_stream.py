"""Streaming on a real local Ray: the same seed gives the same batches, on one worker and on several."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actrec.data.decode import decode
from actrec.data.manifest import Manifest
from actrec.data.stream import _decode_row
from actrec.data.video_clips import decode_video
from actrec.engine.cache import clip_keys
from actrec.engine.fleet import Fleet
from actrec.engine.messages import Failure
from actrec.engine.placement import allocate
from actrec.engine.stream import Stream, StreamedFeed
from actrec.spec import override
from actrec.study.factors import Study

pytestmark = pytest.mark.usefixtures("ray_session")

Answer = tuple[list[list[str]], dict[str, str], int]


@pytest.fixture
def stream(manifest: Manifest, small_study: Callable[..., Study], tmp_path: Path) -> Stream:
    """Of several blocks, which tasks may finish in any order; one training video does not decode."""
    spec = override(small_study().base, {"clip.num_frames": 2, "clip.height": 8, "clip.width": 8})
    key = clip_keys(manifest, [spec], tmp_path)[0]
    videos = [
        dataclasses.replace(video, video_id=f"{video.video_id}-{copy}")
        for copy in range(6)
        for video in key.videos
    ]
    broken = tmp_path / "broken.avi"
    broken.write_text("not a video")
    row = next(row for row, video in enumerate(videos) if video.split == "train")
    videos[row] = dataclasses.replace(videos[row], path=str(broken), size=broken.stat().st_size)
    return Stream("streamed", key.clip, key.manifest.class_names, tuple(videos))


def feeding(stream: Stream) -> Callable[..., Any]:
    """Makes workers that answer with what an epoch, or a split, feeds them."""

    def setup(rank: int, world_size: int, post: Any) -> Callable[[Any], Any]:
        feed = stream.source(rank, world_size).feed
        assert isinstance(feed, StreamedFeed)

        def handle(command: int | str) -> Answer | Failure:
            try:
                batches = feed.train(0, command, 8) if isinstance(command, int) else feed.evaluate(command, 8)
                ids = [
                    [video for video, valid in zip(batch.video_ids, batch.valid, strict=True) if valid]
                    for batch in batches
                ]
            except OSError as error:
                return Failure(str(error))
            return ids, feed.undecodable, feed.decoded

        return handle

    return setup


def fleet(stream: Stream, workers: int, folder: Path) -> Fleet:
    allocation = allocate([{"CPU": 2.0}], workers=workers, stream=True)
    return Fleet("streamed", allocation, feeding(stream), folder, stream.datasets(workers))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.faults)])
def test_a_seed_repeats_its_batches_and_every_video_comes_once(
    stream: Stream, tmp_path: Path, workers: int
) -> None:
    group = fleet(stream, workers, tmp_path / "scratch")
    try:
        first, again, other, val = (group.ask(command) for command in (0, 0, 1, "val"))
    finally:
        group.stop()
    batches = [[first[rank][0], again[rank][0], other[rank][0]] for rank in range(workers)]
    for one, same, another in batches:
        assert one == same
        assert one != another
    broken = next(video for video in stream.split("train") if video.path.endswith("broken.avi"))
    expected = sorted(video.video_id for video in stream.split("train") if video != broken)
    for epoch in (first, again, other):
        assert sorted(video for rank in epoch for part in epoch[rank][0] for video in part) == expected
    assert sorted(video for rank in val for part in val[rank][0] for video in part) == sorted(
        video.video_id for video in stream.split("val")
    )
    reasons = {name: why for rank in val for name, why in val[rank][1].items()}
    assert list(reasons) == [broken.video_id]
    assert "Invalid data" in reasons[broken.video_id]
    assert sum(first[rank][2] for rank in first) == len(expected)


def test_a_video_that_a_node_does_not_see_is_no_undecodable_one(stream: Stream, tmp_path: Path) -> None:
    videos = (dataclasses.replace(stream.videos[0], path=str(tmp_path / "gone.avi")), *stream.videos[1:])
    moved = dataclasses.replace(stream, videos=videos)
    group = fleet(moved, 1, tmp_path / "scratch")
    try:
        (answer,) = group.ask(videos[0].split if videos[0].split != "train" else 0).values()
    finally:
        group.stop()
    assert isinstance(answer, Failure)
    assert "gone.avi is not visible on node" in answer.error


@pytest.mark.parametrize("split", ["train", "val"])
def test_of_the_random_clips_of_a_video_one_is_decoded(
    stream: Stream, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = dataclasses.replace(stream.clip, sampling="random", draws=10, stride=1)
    videos = [video for video in stream.split(split) if not video.path.endswith("broken.avi")]
    expected = decode_video(videos[0], clip)
    assert len(expected) == (10 if split == "train" else 1)
    draw = 7 if split == "train" else 0
    decoded: list[tuple[int, ...]] = []

    def counting(path: str, indices: Any, *args: Any, **options: Any) -> Any:
        decoded.append(indices.shape)
        return decode(path, indices, *args, **options)

    monkeypatch.setattr("actrec.data.video_clips.decode", counting)
    row = _decode_row({"video": 0}, tuple(videos), clip, draw=draw)
    assert row["valid"]
    assert decoded == [(1, clip.num_frames)]
    np.testing.assert_array_equal(row["clips"], expected[draw : draw + 1])

"""Clip shards on disk: whole, continued, and gathered exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actrec.data import clipset, synthetic
from actrec.data.clipset import ClipSet, Video
from actrec.data.decode import decode
from actrec.data.manifest import Manifest
from actrec.errors import DataError
from actrec.spec import ClipSpec

CLIP = ClipSpec(sampling="uniform", num_frames=3, height=12, width=10)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Video]:
    made = Manifest.read(synthetic.build(tmp_path_factory.mktemp("made"), videos=40, size=16, frames=(5, 9)))
    return [
        Video(
            video_id=row["video_id"],
            path=str(made.root / row["path"]),
            label=row["label"],
            group=row["group"],
            split=row["split"],
            num_frames=row["num_frames"],
            fps=row["fps"],
        )
        for row in made.table.to_pylist()
    ]


def write(folder: Path, videos: list[Video], clip: ClipSpec) -> int:
    shards = clipset.cut_into_shards(videos, clip)
    clipset.begin(folder, clip, {})
    decoded = sum(clipset.write_shard(folder, number, part, clip) for number, part in enumerate(shards))
    clipset.finish(folder, shards)
    return decoded


def test_what_is_gathered_is_what_decode_gives(videos: list[Video], tmp_path: Path) -> None:
    assert write(tmp_path, videos, CLIP) == 40
    clips = ClipSet.open(tmp_path)
    assert len(clips._shards) == 2  # 40 videos in shards of 32: gathering crosses a border
    rows = np.array([39, 0, 33, 31, 32, 0])
    got = clips.gather(rows)
    assert got.shape == (6, 3, 12, 10, 3)
    assert got.dtype == np.uint8
    for clip, row in zip(got, rows, strict=True):
        frames = clipset.frames_of(videos[row], CLIP)
        np.testing.assert_array_equal(clip, decode(videos[row].path, frames, (12, 10))[0])
    assert clips.video_ids == tuple(video.video_id for video in videos)
    assert clips.labels.tolist() == [video.label for video in videos]


def test_a_fill_that_was_interrupted_decodes_only_what_is_missing(
    videos: list[Video], tmp_path: Path
) -> None:
    write(tmp_path, videos, CLIP)
    (tmp_path / "index.parquet").unlink()
    (tmp_path / "shard-00001.json").unlink()  # as a kill between its two files leaves it
    assert not clipset.is_complete(tmp_path)
    with pytest.raises(DataError, match="not complete or is damaged"):
        ClipSet.open(tmp_path)
    assert write(tmp_path, videos, CLIP) == 8
    assert write(tmp_path, videos, CLIP) == 0


def test_a_video_that_does_not_decode_keeps_its_row(videos: list[Video], tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    bad = Video("bad", str(broken), 0, "g", "train", 8, 25.0)
    write(tmp_path / "set", [videos[0], bad, videos[1]], CLIP)
    clips = ClipSet.open(tmp_path / "set")
    assert clips.count.tolist() == [1, 0, 1]
    assert clips.first.tolist() == [0, 1, 1]
    assert [bool(reason) for reason in clips.reasons] == [False, True, False]
    assert 1 not in np.concatenate([clips.videos(split) for split in ("train", "val", "test")])


def test_random_sampling_stores_draws_for_training_and_the_centre_for_evaluation(
    videos: list[Video], tmp_path: Path
) -> None:
    clip = ClipSpec(sampling="random", num_frames=2, stride=1, draws=4, height=8, width=8)
    write(tmp_path, videos, clip)
    clips = ClipSet.open(tmp_path)
    assert set(clips.count[clips.videos("train")]) == {4}
    assert set(clips.count[clips.videos("test")]) == {1}
    train = next(video for video in videos if video.split == "train")
    np.testing.assert_array_equal(clipset.frames_of(train, clip), clipset.frames_of(train, clip))


def test_the_middle_frame_is_one_frame(videos: list[Video], tmp_path: Path) -> None:
    clip = ClipSpec(sampling="middle", height=8, width=8)
    write(tmp_path, videos[:2], clip)
    assert ClipSet.open(tmp_path).gather(np.array([0, 1])).shape == (2, 1, 8, 8, 3)


def test_a_cache_that_cannot_be_written_is_an_error_that_names_it(
    videos: list[Video], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write the clip cache .*file"):
        clipset.begin(tmp_path / "file" / "set", CLIP, {})


def test_shards_are_small_and_many(videos: list[Video]) -> None:
    # 64 MiB / (16 × 112 × 112 × 3 bytes) = 111.4 clips, but at most 32 videos; at 8 clips a video, 13 videos.
    one = ClipSpec(sampling="uniform", num_frames=16, height=112, width=112)
    many = ClipSpec(sampling="clips", clips=8, num_frames=16, height=112, width=112)
    assert [len(part) for part in clipset.cut_into_shards(videos, one)] == [32, 8]
    assert [len(part) for part in clipset.cut_into_shards(videos, many)] == [13, 13, 13, 1]

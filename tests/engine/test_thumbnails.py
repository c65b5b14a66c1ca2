from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from actrec.data import clipset
from actrec.data.manifest import Manifest
from actrec.data.video_clips import UInt8, Video, decode_video
from actrec.engine import cache, thumbnails
from actrec.errors import DecodeError
from actrec.spec import ClipSpec

CLIP = ClipSpec(sampling="uniform", num_frames=4, height=16, width=16)


@pytest.fixture(scope="module")
def clips(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips of the small set, of which one training video does not decode."""
    folder = tmp_path_factory.mktemp("clips")
    videos = cache.videos_of(manifest)
    clipset.begin(folder, CLIP, {})
    broken = next(video.video_id for video in videos if video.split == "train")

    def decode(video: Video, clip: ClipSpec) -> UInt8:
        if video.video_id == broken:
            raise DecodeError(video.path, "broken")
        return decode_video(video, clip)

    parts = clipset.cut_into_shards(videos, CLIP)
    for number, part in enumerate(parts):
        clipset.write_shard(folder, number, part, CLIP, decode)
    clipset.finish(folder, parts)
    return folder


def index(study: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((study / "frames/index.json").read_text())["frames"]
    return found


def test_tested_videos_and_a_few_examples_have_a_picture(
    manifest: Manifest, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "EXAMPLES", 1)
    said: list[str] = []
    thumbnails.write(tmp_path, manifest, clips, say=said.append)
    assert said == []
    frames = index(tmp_path)
    opened = clipset.ClipSet.open(clips)
    tested = {opened.video_ids[position] for position in opened.videos("test")}
    assert tested == {video for video, frame in frames.items() if frame["split"] == "test"}
    trained = [frame["class"] for frame in frames.values() if frame["split"] == "train"]
    labels = {int(label) for label in opened.labels[opened.videos("train")]}
    assert sorted(trained) == sorted(manifest.class_names[label] for label in labels)
    files = {path.name for path in (tmp_path / "frames").glob("*.jpg")}
    assert files == {frame["file"] for frame in frames.values()}
    with Image.open(tmp_path / "frames" / min(files)) as picture:
        assert picture.size == (48, 16)  # three frames


def test_pictures_are_drawn_once_and_missing_ones_again(
    manifest: Manifest, clips: Path, tmp_path: Path
) -> None:
    thumbnails.write(tmp_path, manifest, clips, say=print)
    paths = sorted((tmp_path / "frames").glob("*.jpg"))
    written = [path.stat().st_mtime_ns for path in paths]
    content = paths[0].read_bytes()
    paths[0].unlink()
    thumbnails.write(tmp_path, manifest, clips, say=print)
    assert sorted((tmp_path / "frames").glob("*.jpg")) == paths
    assert paths[0].read_bytes() == content
    assert [path.stat().st_mtime_ns for path in paths[1:]] == written[1:]


def test_whether_all_are_there_is_told(manifest: Manifest, clips: Path, tmp_path: Path) -> None:
    assert not thumbnails.drawn(tmp_path, clips)
    thumbnails.write(tmp_path, manifest, clips, say=print)
    assert thumbnails.drawn(tmp_path, clips)
    assert thumbnails.drawn(tmp_path, tmp_path / clips.name), "a sample of them"
    assert not thumbnails.drawn(tmp_path, clips.with_name("other"))
    min((tmp_path / "frames").glob("*.jpg")).unlink()
    assert not thumbnails.drawn(tmp_path, clips)


def test_in_a_cross_validation_every_video_has_one(manifest: Manifest, clips: Path, tmp_path: Path) -> None:
    thumbnails.write(tmp_path, manifest, clips, say=print, all_tested=True)
    opened = clipset.ClipSet.open(clips)
    assert set(index(tmp_path)) == {
        video for video, count in zip(opened.video_ids, opened.count, strict=True) if count
    }


def test_the_table_has_every_video_whatever_becomes_of_pictures(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "frames").write_text("in the way")
    said: list[str] = []
    thumbnails.write(tmp_path, manifest, tmp_path / "nothing", say=said.append)
    rows = pq.read_table(tmp_path / "videos.parquet")
    assert rows["video_id"].to_pylist() == manifest.table["video_id"].to_pylist()
    assert said == []


def test_what_cannot_be_written_is_a_note(manifest: Manifest, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").write_text("in the way")
    said: list[str] = []
    thumbnails.write(tmp_path, manifest, clips, say=said.append)
    assert len(said) == 1
    assert said[0].startswith("note: the report lacks pictures of the videos: ")


def test_a_picture_shows_the_middle_of_each_third() -> None:
    # Six grey frames of 0, 40, … 200: thirds are (0, 40), (80, 120), (160, 200), their middles 40, 120, 200.
    clip = np.repeat(np.arange(6, dtype=np.uint8) * 40, 8 * 16 * 3).reshape(6, 8, 16, 3)
    strip = np.asarray(Image.open(BytesIO(thumbnails.picture(clip))))
    assert strip.shape == (8, 48, 3)
    shown = strip.reshape(8, 3, 16, 3).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(shown, [40, 120, 200], atol=2)
    wide = np.asarray(Image.open(BytesIO(thumbnails.picture(np.zeros((1, 100, 200, 3), np.uint8)))))
    assert wide.shape == (40, 80, 3)

"""Clip shards on disk: whole, continued, and gathered exactly."""

from __future__ import annotations

import dataclasses
import errno
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actrec.data import clipset, synthetic
from actrec.data.clipset import ClipSet
from actrec.data.decode import BACKENDS, decode
from actrec.data.manifest import Manifest
from actrec.data.storage import MISSING, STALE_S, discard_stale
from actrec.data.video_clips import Video, decode_video, frames_of
from actrec.errors import DataError, DecodeError
from actrec.files import ASIDE
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
            size=(made.root / row["path"]).stat().st_size,
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
    assert len(clips.shards.arrays) == 5  # 40 videos in shards of 8: gathering crosses borders
    rows = np.array([39, 0, 33, 31, 32, 0])
    got = clips.gather(rows)
    assert got.shape == (6, 3, 12, 10, 3)
    assert got.dtype == np.uint8
    for clip, row in zip(got, rows, strict=True):
        frames = frames_of(videos[row], CLIP)
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
    bad = Video("bad", str(broken), 0, "g", "train", 8, 25.0, broken.stat().st_size)
    gone = dataclasses.replace(bad, video_id="gone", path=str(tmp_path / "gone.mp4"), size=MISSING)
    write(tmp_path / "set", [videos[0], bad, gone, videos[1]], CLIP)
    clips = ClipSet.open(tmp_path / "set")
    assert clips.count.tolist() == [1, 0, 0, 1]
    assert clips.first.tolist() == [0, 1, 1, 1]
    assert clips.reasons[0] == clips.reasons[3] == ""
    assert "Invalid data" in clips.reasons[1]
    assert clips.reasons[2] == "missing file"
    assert 1 not in np.concatenate([clips.videos(split) for split in ("train", "val", "test")])


def test_a_set_of_which_nothing_decodes_can_be_opened(videos: list[Video], tmp_path: Path) -> None:
    write(tmp_path, [dataclasses.replace(video, size=MISSING) for video in videos], CLIP)
    assert ClipSet.open(tmp_path).count.tolist() == [0] * 40


@pytest.mark.parametrize("fault", ["missing", "replaced", "unreadable"])
def test_a_file_that_is_not_the_one_that_the_driver_saw_ends_the_fill(
    videos: list[Video], tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.mp4"
    path.write_text("not a video")
    video = dataclasses.replace(videos[0], path=str(path), size=path.stat().st_size)
    expected = "is not visible on node .*; the videos must lie on storage that every node sees"
    if fault == "missing":
        path.unlink()
    elif fault == "replaced":
        path.write_text("not a video either")
        expected = "has 18 bytes on node .*, but 11 where the work was started"
    else:
        # Root reads whatever its mode says, so a failing disk is stood in for.
        def failing(*_: object, **__: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr("builtins.open", failing)
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match=f"one.mp4 {expected}") as caught:
        clipset.write_shard(tmp_path / "set", 0, [videos[1], video], CLIP)
    assert not isinstance(caught.value, DecodeError)
    assert not list((tmp_path / "set").glob("*shard*"))


def test_a_decoder_that_this_node_lacks_ends_the_fill(
    videos: list[Video], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(BACKENDS, "torchcodec")
    clip = dataclasses.replace(CLIP, decoder="torchcodec")
    with pytest.raises(DataError, match=r"node .*: unknown decoder 'torchcodec'"):
        decode_video(videos[0], clip)


def relabel(path: Path) -> None:
    table = pq.read_table(path)
    labels = pa.array([1 - label for label in table.to_pydict()["label"]])
    pq.write_table(table.set_column(table.schema.get_field_index("label"), "label", labels), path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a shard is gone": lambda folder: (folder / "shard-00001.npy").unlink(),
    "a shard is cut short": lambda folder: os.truncate(folder / "shard-00001.npy", 200),
    "a shard is empty": lambda folder: os.truncate(folder / "shard-00001.npy", 0),
    "a shard is another": lambda folder: np.save(
        folder / "shard-00001.npy", np.zeros((3, 3, 12, 10, 3), np.uint8)
    ),
    "the index is garbage": lambda folder: (folder / "index.parquet").write_bytes(b"PAR1 and nothing"),
    "the index is another": lambda folder: pq.write_table(pa.table({"a": [1]}), folder / "index.parquet"),
    "a label is another": lambda folder: relabel(folder / "index.parquet"),
    "the index's checksum is gone": lambda folder: (folder / "index.json").unlink(),
    "the meta is gone": lambda folder: (folder / "meta.json").unlink(),
    "the meta is garbage": lambda folder: (folder / "meta.json").write_bytes(b"\xff"),
    "the meta is empty": lambda folder: (folder / "meta.json").write_text("{}"),
    "the meta is a list": lambda folder: (folder / "meta.json").write_text("[]"),
    "the clip is of another version": lambda folder: (folder / "meta.json").write_text(
        (folder / "meta.json").read_text().replace("stride", "strides")
    ),
}


def test_no_wrong_bit_of_what_is_small_is_read_as_something_else(videos: list[Video], tmp_path: Path) -> None:
    write(tmp_path, videos, CLIP)
    for name in ("index.parquet", "index.json", "meta.json"):
        whole = (tmp_path / name).read_bytes()
        for at in range(0, len(whole), max(1, len(whole) // 100)):
            for bit in (0, 3, 7):
                (tmp_path / name).write_bytes(whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :])
                with pytest.raises(DataError, match="is damaged"):
                    ClipSet.open(tmp_path)
        (tmp_path / name).write_bytes(whole)
    ClipSet.open(tmp_path)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_set_is_refused_and_can_be_filled_again(
    videos: list[Video], tmp_path: Path, damage: str
) -> None:
    write(tmp_path, videos, CLIP)
    whole = ClipSet.open(tmp_path).gather(np.arange(40))
    DAMAGE[damage](tmp_path)
    with pytest.raises(DataError, match=r"is not complete or is damaged .*; delete that folder") as caught:
        ClipSet.open(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert write(tmp_path, videos, CLIP) == (8 if "shard" in damage else 0)
    np.testing.assert_array_equal(ClipSet.open(tmp_path).gather(np.arange(40)), whole)


def test_rows_of_a_shard_that_are_garbage_are_written_again(videos: list[Video], tmp_path: Path) -> None:
    write(tmp_path, videos, CLIP)
    path = tmp_path / "shard-00001.json"
    whole = path.read_text()
    wrong = whole.replace('"clips": 1', '"clips": 0', 1)
    assert wrong != whole
    for content in ("", "3", "[]", '{"entries": [], "array": 0}', '{"entries": 3, "crc32": 0}', wrong):
        path.write_text(content)
        assert write(tmp_path, videos, CLIP) == 8
        assert path.read_text() == whole


def test_fills_of_one_set_at_the_same_time_end_with_one_set(videos: list[Video], tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: write(tmp_path / "many", videos, CLIP), range(4)))
    write(tmp_path / "one", videos, CLIP)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == names
    for name in names:
        assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_what_a_killed_fill_left_is_removed_after_a_day(tmp_path: Path) -> None:
    old, new = tmp_path / ".aside-shard-00000.npy-0", tmp_path / ".aside-shard-00001.npy-1"
    old.write_text("")
    new.write_text("")
    os.utime(old, (0, 0))
    clipset.begin(tmp_path, CLIP, {})
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("days", [-2, 2])
def test_a_day_is_one_by_the_clock_that_dates_files_and_not_by_that_of_a_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    before, just_now = tmp_path / f"{ASIDE}before", tmp_path / f"{ASIDE}just-now"
    before.write_text("")
    just_now.write_text("")
    wrong = just_now.stat().st_mtime + days * STALE_S
    os.utime(before, times=(0, just_now.stat().st_mtime - 1.5 * STALE_S))
    monkeypatch.setattr(time, "time", lambda: wrong)
    discard_stale(tmp_path, f"{ASIDE}*")
    assert list(tmp_path.iterdir()) == [just_now]


def test_random_sampling_stores_draws_for_training_and_the_centre_for_evaluation(
    videos: list[Video], tmp_path: Path
) -> None:
    clip = ClipSpec(sampling="random", num_frames=2, stride=1, draws=4, height=8, width=8)
    write(tmp_path, videos, clip)
    clips = ClipSet.open(tmp_path)
    assert set(clips.count[clips.videos("train")]) == {4}
    assert set(clips.count[clips.videos("test")]) == {1}
    train = next(video for video in videos if video.split == "train")
    np.testing.assert_array_equal(frames_of(train, clip), frames_of(train, clip))


def test_a_draw_alone_is_as_among_all(videos: list[Video]) -> None:
    clip = ClipSpec(sampling="random", num_frames=2, stride=1, draws=4, height=8, width=8)
    train = next(video for video in videos if video.split == "train")
    whole = decode_video(train, clip)
    for draw in range(4):
        np.testing.assert_array_equal(decode_video(train, clip, draw), whole[draw : draw + 1])


def test_the_middle_frame_is_one_frame(videos: list[Video], tmp_path: Path) -> None:
    clip = ClipSpec(sampling="middle", height=8, width=8)
    write(tmp_path, videos[:2], clip)
    assert ClipSet.open(tmp_path).gather(np.array([0, 1])).shape == (2, 1, 8, 8, 3)


def test_a_cache_that_cannot_be_written_is_an_error_that_names_it(
    videos: list[Video], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write the cache .*file"):
        clipset.begin(tmp_path / "file" / "set", CLIP, {})


def test_shards_are_small_and_many(videos: list[Video]) -> None:
    # 64 MiB / (16 × 112 × 112 × 3 bytes) = 111.4 clips, but at most 32 videos; at 8 clips a video, 13 videos.
    one = ClipSpec(sampling="uniform", num_frames=16, height=112, width=112)
    many = ClipSpec(sampling="clips", clips=8, num_frames=16, height=112, width=112)
    plenty = videos * 60  # 2400 ≥ 64 shards of 32
    assert {len(part) for part in clipset.cut_into_shards(plenty, one)} == {32}
    assert [len(part) for part in clipset.cut_into_shards(plenty, many)] == [13] * 184 + [8]
    # Few videos: 64 shards, if each has 8.
    assert [len(part) for part in clipset.cut_into_shards(videos * 16, one)] == [10] * 64
    assert [len(part) for part in clipset.cut_into_shards(videos, one)] == [8] * 5


def test_the_size_of_a_set_is_known_before_it_is_decoded(videos: list[Video], tmp_path: Path) -> None:
    for name, clip in {
        "uniform": CLIP,
        "middle": dataclasses.replace(CLIP, sampling="middle"),
        "draws": dataclasses.replace(CLIP, sampling="random", draws=3),
        "clips": dataclasses.replace(CLIP, sampling="clips", clips=2),
    }.items():
        write(tmp_path / name, videos, clip)
        stored = ClipSet.open(tmp_path / name).shards
        assert clipset.size(videos, clip) == sum(array.nbytes for array in stored.arrays)

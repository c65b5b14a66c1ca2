"""The clip cache: which trials share clips, and that every key is decoded once and whole."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from actrec import files
from actrec.data import clipset, shards, storage
from actrec.data.clipset import ClipSet
from actrec.data.decode import resolve
from actrec.data.manifest import Manifest
from actrec.data.sets import Hold
from actrec.data.stream import decode_shards, guarded
from actrec.data.video_clips import decode_video
from actrec.engine.cache import bytes_needed, choose_feed, clip_keys, fill, reserve, videos_of
from actrec.errors import DataError, DecodeError
from actrec.spec import TrialSpec, override
from actrec.study.factors import Study

SMALL = {"clip.num_frames": 2, "clip.height": 8, "clip.width": 8}


@pytest.fixture
def base(small_study: Callable[..., Study]) -> TrialSpec:
    return override(small_study().base, SMALL)


@pytest.fixture
def copied(manifest: Manifest, tmp_path: Path) -> Manifest:
    """The small set with files of its own, to be spoilt."""
    shutil.copytree(manifest.root, tmp_path / "root")
    return dataclasses.replace(manifest, root=tmp_path / "root")


def test_trials_share_a_key_where_their_clips_are_the_same(manifest: Manifest, base: TrialSpec) -> None:
    def folder(**changes: object) -> Path:
        spec = override(base, {name.replace("__", "."): value for name, value in changes.items()})
        return clip_keys(manifest, [spec], Path("/cache"))[0].folder

    same = folder()
    assert same.parent == Path("/cache/clips")
    assert same == folder(clip__stride=2, clip__draws=3, clip__clips=4, clip__seconds=1.0, seed=7)
    assert same == folder(clip__decoder=resolve()[0]), "auto is whatever it resolves to"
    others = [
        folder(clip__num_frames=3),
        folder(clip__height=10),
        folder(clip__width=10),
        folder(clip__fit="crop"),
        folder(clip__sampling="middle"),
        folder(clip__sampling="random"),
        folder(clip__sampling="random", clip__stride=2),
        folder(data__per_class=1),
        folder(data__classes=manifest.class_names[:2]),
    ]
    assert len({same, *others}) == 1 + len(others)


def test_the_resolved_decoder_is_what_every_node_is_told(manifest: Manifest, base: TrialSpec) -> None:
    assert base.clip.decoder == "auto"
    assert clip_keys(manifest, [base], Path("/cache"))[0].clip.decoder == resolve()[0]


def test_a_video_that_was_replaced_under_its_old_name_has_another_key(
    copied: Manifest, base: TrialSpec
) -> None:
    before = clip_keys(copied, [base], Path("/cache"))[0].folder
    first = Path(videos_of(copied)[0].path)
    first.write_bytes(first.read_bytes() + b"\0")
    longer = clip_keys(copied, [base], Path("/cache"))[0].folder
    first.unlink()
    gone = clip_keys(copied, [base], Path("/cache"))[0]
    assert len({before, longer, gone.folder}) == 3
    assert gone.videos[0].size == storage.MISSING


def test_the_videos_of_a_key_are_those_of_its_selection(manifest: Manifest, base: TrialSpec) -> None:
    spec = override(base, {"data.classes": manifest.class_names[3:5]})
    whole, part = clip_keys(manifest, [base, spec], Path("/cache"))
    assert list(whole.videos) == videos_of(manifest)
    assert list(part.videos) == videos_of(manifest.select(spec.data))
    assert {video.label for video in part.videos} == {0, 1}
    assert [video.video_id for video in whole.videos] == sorted(video.video_id for video in whole.videos)


def test_every_file_is_looked_at_once_however_many_trials(
    manifest: Manifest, base: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    real = os.stat

    def counting(path: str, **options: Any) -> os.stat_result:
        asked.append(path)
        return real(path, **options)

    monkeypatch.setattr(os, "stat", counting)
    specs = [override(base, {"seed": seed, "data.per_class": seed % 3}) for seed in range(30)]
    keys = clip_keys(manifest, specs, Path("/cache"))
    monkeypatch.undo()
    assert len({key.folder for key in keys}) == 3
    videos = {video.path for video in videos_of(manifest)}
    assert sorted(str(path) for path in asked if path in videos) == sorted(videos)


@pytest.mark.usefixtures("ray_session")
def test_a_fill_decodes_once_and_what_is_damaged_again(
    copied: Manifest, base: TrialSpec, tmp_path: Path
) -> None:
    broken = Path(videos_of(copied)[5].path)
    broken.write_text("not a video")
    key = clip_keys(copied, [base], tmp_path)[0]
    total = len(key.videos)
    seen: list[tuple[int, int]] = []
    first = fill([key], lambda done, of: seen.append((done, of)))
    assert (first.clip_keys, first.videos, first.decoded, first.reused) == (1, total, total, 0)
    ((video_id, path, reason),) = first.undecodable
    assert (video_id, path) == (key.videos[5].video_id, str(broken))
    assert "Invalid data" in reason
    assert seen[-1] == (total, total)

    again = fill([key])
    assert (again.decoded, again.reused, again.undecodable) == (0, total, first.undecodable)

    whole = (key.folder / "shard-00000.npy").read_bytes()
    os.truncate(key.folder / "shard-00000.npy", len(whole) - 1)
    notes: list[str] = []
    repaired = fill([key], say=notes.append)
    assert (repaired.decoded, repaired.undecodable) == (8, first.undecodable)  # one shard of the six
    assert (key.folder / "shard-00000.npy").read_bytes() == whole
    (note,) = notes
    assert "shard-00000.npy" in note
    assert "decoded again" in note


@pytest.mark.usefixtures("ray_session")
def test_one_wrong_byte_costs_one_shard(manifest: Manifest, base: TrialSpec, tmp_path: Path) -> None:
    key = clip_keys(manifest, [base], tmp_path)[0]
    fill([key])
    before = {path.name: path.stat().st_mtime_ns for path in key.folder.glob("shard-*.npy")}
    path = key.folder / "shard-00002.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    notes: list[str] = []
    assert fill([key], say=notes.append).decoded == 8
    assert path.read_bytes() == whole
    after = {path.name: path.stat().st_mtime_ns for path in key.folder.glob("shard-*.npy")}
    assert [name for name in before if before[name] != after[name]] == ["shard-00002.npy"]
    assert notes == [f"shard-00002.npy in the clip cache {key.folder}: damaged, so decoded again"]


@pytest.mark.usefixtures("ray_session")
def test_two_fills_of_one_key_at_the_same_time_decode_it_once(
    manifest: Manifest, base: TrialSpec, tmp_path: Path
) -> None:
    key = clip_keys(manifest, [base], tmp_path)[0]
    with ThreadPoolExecutor(2) as pool:
        filled = list(pool.map(lambda _: fill([key]), range(2)))
    assert sorted(one.decoded for one in filled) == [0, len(key.videos)]
    clips = ClipSet.open(key.folder)
    for row in (0, 31, len(key.videos) - 1):
        expected = decode_video(key.videos[row], key.clip)
        np.testing.assert_array_equal(clips.gather(clips.first[row : row + 1]), expected)


def test_what_clips_will_take_is_known_before_they_are_decoded(
    manifest: Manifest, base: TrialSpec, tmp_path: Path
) -> None:
    key = clip_keys(manifest, [base], tmp_path)[0]
    assert bytes_needed([key]) == len(key.videos) * 2 * 8 * 8 * 3
    parts = clipset.cut_into_shards(key.videos, key.clip)
    clipset.begin(key.folder, key.clip, {})
    clipset.write_shard(key.folder, 0, parts[0], key.clip)
    left = sum(len(part) for part in parts[1:]) * 2 * 8 * 8 * 3
    assert bytes_needed([key]) == pytest.approx(left, abs=128)  # a header
    for number, videos in enumerate(parts):
        clipset.write_shard(key.folder, number, videos, key.clip)
    clipset.finish(key.folder, parts)
    assert bytes_needed([key]) == 0


def test_room_is_made_of_sets_that_no_study_holds(
    manifest: Manifest, base: TrialSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = clip_keys(manifest, [base], tmp_path)[0]
    old, held = tmp_path / "clips" / "old", tmp_path / "features" / "held"
    for folder in (old, held):
        shards.write(folder, 0, np.zeros(10_000, np.uint8), [])
    Hold(old).release()
    other = Hold(held)
    needed = bytes_needed([key])
    monkeypatch.setenv("ACTREC_CACHE_BUDGET", str(21_000 + needed))
    for hold in reserve([key, key], tmp_path, pytest.fail):
        hold.release()
    monkeypatch.setenv("ACTREC_CACHE_BUDGET", str(11_000 + needed))
    said: list[str] = []
    holds = reserve([key], tmp_path, said.append)
    assert not old.exists()
    assert len(said) == 1
    for hold in holds:
        hold.release()
    monkeypatch.setenv("ACTREC_CACHE_BUDGET", str(9_000 + needed))
    with pytest.raises(
        DataError, match=r"need .* more, but the cache .* can take .*: raise ACTREC_CACHE_BUDGET"
    ):
        reserve([key], tmp_path, pytest.fail)
    assert held.exists()
    other.release()


def test_clips_are_streamed_where_they_cannot_be_kept_and_as_before_in_any_case() -> None:
    assert choose_feed(100, 100, None)[0] == "cache"
    feed, why = choose_feed(3 * 10**9, 10**9, None)
    assert feed == "stream"
    assert "3 GB" in why
    assert "1 GB" in why
    assert choose_feed(3 * 10**9, 10**9, "cache")[0] == "cache"
    assert choose_feed(1, 10**9, "stream")[0] == "stream"


@pytest.mark.usefixtures("ray_session")
def test_a_video_that_a_node_does_not_see_ends_the_fill_and_poisons_nothing(
    copied: Manifest, base: TrialSpec, tmp_path: Path
) -> None:
    key = clip_keys(copied, [base], tmp_path)[0]
    video = Path(key.videos[40].path)
    video.rename(tmp_path / "elsewhere")  # as on a node that does not mount the folder
    with pytest.raises(DataError, match=r"is not visible on node .*; the videos must lie") as caught:
        fill([key])
    assert str(video) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not clipset.is_complete(key.folder)
    (tmp_path / "elsewhere").rename(video)
    assert fill([key]).undecodable == ()


@pytest.mark.usefixtures("ray_session")
def test_a_shard_that_cannot_be_written_is_one_plain_line(
    manifest: Manifest, base: TrialSpec, tmp_path: Path
) -> None:
    key = clip_keys(manifest, [base], tmp_path)[0]
    shards = clipset.cut_into_shards(key.videos, key.clip)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"^cannot write the cache .*file: File exists$"):
        list(decode_shards(tmp_path / "file", shards, key.clip))


@pytest.mark.usefixtures("ray_session")
def test_a_complete_set_is_on_the_disk_with_what_an_interrupted_fill_left_of_it(
    manifest: Manifest, base: TrialSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = clip_keys(manifest, [base], tmp_path)[0]
    parts = clipset.cut_into_shards(key.videos, key.clip)
    clipset.begin(key.folder, key.clip, {})
    clipset.write_shard(key.folder, 0, parts[0], key.clip)
    synced: list[Path] = []

    def noted(path: Path) -> None:
        assert not clipset.is_complete(key.folder)
        files.sync(path)
        synced.append(path)

    monkeypatch.setattr(shards, "sync", noted)
    assert fill([key]).decoded == len(key.videos) - len(parts[0])
    assert sorted(synced) == sorted([key.folder, *key.folder.glob("shard-*")])


@pytest.mark.usefixtures("ray_session")
def test_a_set_without_a_training_video_is_refused(copied: Manifest, base: TrialSpec, tmp_path: Path) -> None:
    for video in videos_of(copied):
        if video.split == "train":
            Path(video.path).write_text("not a video")
    with pytest.raises(DataError, match=r"none of \d+ videos decodes: Invalid data"):
        fill([clip_keys(copied, [base], tmp_path)[0]])


@pytest.mark.usefixtures("ray_session")
def test_a_decoder_that_crashes_costs_one_video_and_no_end_of_retries(tmp_path: Path) -> None:
    def row(given: dict[str, int]) -> dict[str, object]:
        try:
            guarded(os.abort if given["video"] == 3 else os.getpid, path=f"{given['video']}.avi")
        except DecodeError as error:
            return {"video": given["video"], "reason": str(error)}
        return {"video": given["video"], "reason": ""}

    data = ray.data.from_items([{"video": video} for video in range(6)], override_num_blocks=2).map(row)
    reasons = {found["video"]: found["reason"] for found in data.iter_rows()}
    assert reasons == dict.fromkeys(range(6), "") | {3: "3.avi: the decoder crashed on it"}

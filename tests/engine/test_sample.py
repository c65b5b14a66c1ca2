"""The few videos that a streamed study keeps to be looked at, on a real local Ray."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actrec.data import clipset
from actrec.data.clipset import ClipSet
from actrec.data.manifest import Manifest
from actrec.data.video_clips import decode_video
from actrec.engine import sample
from actrec.engine.cache import ClipKey, clip_keys
from actrec.engine.messages import EpochDone, RunEpoch
from actrec.engine.station import Source, Station
from actrec.engine.stream import Stream
from actrec.engine.thumbnails import EXAMPLES
from actrec.engine.worker import Worker
from actrec.results.ledger import Ledger
from actrec.spec import override, trial_id
from actrec.study.factors import Study
from actrec.training.feed import CachedFeed, task_of
from tests.engine.one_trial import clip_set

CLIP = 4 * 16 * 16 * 3  # bytes


@pytest.fixture
def keys(manifest: Manifest, small_study: Callable[..., Study], tmp_path: Path) -> list[ClipKey]:
    """Two ways of reading the same videos, the second with one frame for four."""
    spec = small_study().base
    still = override(spec, {"clip.sampling": "middle"})
    return clip_keys(manifest, [spec, still], tmp_path / "cache")


def test_it_is_of_the_test_videos_and_some_of_each_class_as_far_as_there_is_room(keys: list[ClipKey]) -> None:
    key = keys[0]
    everything = sample.fitting(key, 10**9)
    assert [video.video_id for video in everything] == sorted(video.video_id for video in everything)
    tested = {video.video_id for video in key.videos if video.split == "test"}
    assert {video.video_id for video in everything if video.split == "test"} == tested
    trained = [video.label for video in everything if video.split == "train"]
    available = [video.label for video in key.videos if video.split == "train"]
    assert np.array_equal(np.bincount(trained), np.minimum(np.bincount(available), EXAMPLES))
    some = sample.fitting(key, 7 * CLIP + CLIP // 2)
    assert len(some) == 7
    assert set(some) < set(everything)
    # Random sampling has several clips of a training video, one of a test video; both count in full.
    drawn = dataclasses.replace(key, clip=dataclasses.replace(key.clip, sampling="random", draws=5))
    taken = sample.fitting(drawn, 9 * CLIP)
    assert 9 * CLIP - 5 * CLIP < clipset.size(taken, drawn.clip) <= 9 * CLIP


@pytest.mark.usefixtures("ray_session")
def test_it_is_decoded_once_within_its_room_and_goes(
    keys: list[ClipKey], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    seen: list[tuple[int, int]] = []

    def decode() -> int:
        return sample.decode(tmp_path, keys, lambda done, total: seen.append((done, total)), said.append)

    monkeypatch.setattr(
        sample, "MOST_BYTES", 8 * CLIP
    )  # 4 clips of four frames for one key, 16 for the other
    assert sample.of(tmp_path, keys[0]) is None
    died = tmp_path / sample.FOLDER / keys[0].folder.name  # of a launch that had filled the room
    clipset.begin(died, keys[0].clip, {})
    clipset.write_shard(died, 0, keys[0].videos[:8], keys[0].clip)
    assert decode() == 4 + 16
    assert seen[-1] == (20, 20)
    for key, count in zip(keys, (4, 16), strict=True):
        folder = sample.of(tmp_path, key)
        assert folder is not None
        clips = ClipSet.open(folder)
        videos = sample.fitting(key, 4 * CLIP)
        assert clips.video_ids == tuple(video.video_id for video in videos)
        assert clips.count.tolist() == [1] * count
        whole = [decode_video(video, key.clip) for video in videos]
        assert np.array_equal(clips.gather(np.arange(count)), np.concatenate(whole))
    assert decode() == 0
    next((tmp_path / sample.FOLDER / keys[1].folder.name).glob("*.npy")).write_bytes(b"torn")
    assert sample.of(tmp_path, keys[1]) is None
    assert said == []
    sample.drop(tmp_path)
    assert sample.of(tmp_path, keys[0]) is None
    monkeypatch.setattr(sample, "MOST_BYTES", CLIP)
    assert decode() == 0
    (note,) = said
    assert note.startswith(
        "note: the report lacks a map of test videos, and pictures not drawn yet: one video's clips take"
    )


@pytest.mark.usefixtures("ray_session")
def test_every_round_shares_the_whole_room_anew(
    keys: list[ClipKey], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second round reads the videos otherwise, the third in both ways, the fourth as the first."""
    monkeypatch.setattr(sample, "MOST_BYTES", 8 * CLIP)
    said: list[str] = []
    clip, still = keys
    counts = []
    for needed in ([clip], [still], [clip, still], [clip]):
        decoded = sample.decode(tmp_path, needed, lambda done, total: None, said.append)
        folders = [sample.of(tmp_path, key) for key in keys]
        counts.append((decoded, [len(ClipSet.open(folder).video_ids) if folder else 0 for folder in folders]))
    most = min(32, len(sample.fitting(still, 10**9)))
    assert most > 16
    assert counts == [(8, [8, 0]), (most, [0, most]), (4 + 16, [4, 16]), (0, [4, 16])]
    assert said == []


def test_trials_embed_the_sample_alone(
    manifest: Manifest, small_study: Callable[..., Study], tmp_path: Path
) -> None:
    spec = small_study(optim__epochs=1).base
    clips = clip_set(manifest, spec, tmp_path / "cache")
    few = {clips.video_ids[place] for place in clips.videos("test")[::3]}
    splits = dict.fromkeys(few, "test")

    def embeddings(sampled: CachedFeed | None) -> dict[str, list[float]]:
        groups = dict(zip(clips.video_ids, clips.groups, strict=True))
        task = task_of(clips, manifest.class_names)
        source = Source(CachedFeed(clips), task, groups, sample=(lambda: sampled) if sampled else None)
        folder = tmp_path / str(sampled is None)
        worker = Worker(Station(folder, Ledger(folder).claim()), lambda command: source)
        command = RunEpoch(trial_id(spec), spec.to_dict(), clips.folder, manifest.class_names, embed=True)
        answer = worker(command)
        assert isinstance(answer, EpochDone)
        assert answer.result is not None
        assert answer.result.trial["n_test"] == len(clips.videos("test"))
        return {row["video_id"]: row["vector"].tolist() for row in answer.result.embeddings}

    whole = embeddings(None)
    sampled = embeddings(CachedFeed(clips.with_splits(splits)))
    assert sampled.keys() == few
    for name in few:
        np.testing.assert_allclose(sampled[name], whole[name], rtol=1e-4, atol=1e-5)  # in other batches


@pytest.mark.parametrize("embed", [True, False])
def test_a_sample_that_is_gone_fails_no_trial(
    manifest: Manifest, small_study: Callable[..., Study], keys: list[ClipKey], tmp_path: Path, embed: bool
) -> None:
    spec = small_study(optim__epochs=1).base
    clips = clip_set(manifest, spec, tmp_path / "kept")
    stream = Stream("streamed", keys[0].clip, manifest.class_names, keys[0].videos, tmp_path / "gone")

    def open_source(command: RunEpoch) -> Source:  # what Ray would stream comes from the cache
        return dataclasses.replace(stream.source(0, 1), feed=CachedFeed(clips))

    worker = Worker(Station(tmp_path / "study", Ledger(tmp_path / "study").claim()), open_source)
    answer = worker(RunEpoch(trial_id(spec), spec.to_dict(), clips.folder, manifest.class_names, embed=embed))
    assert isinstance(answer, EpochDone), answer
    assert answer.result is not None
    assert answer.result.trial["status"] == "ok"
    assert answer.result.embeddings == ()
    told = [note for note in answer.notes if "the report cannot map the test videos" in note]
    assert len(told) == embed
    assert all(str(tmp_path / "gone") in note for note in told)

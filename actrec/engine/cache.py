"""The clip cache: each distinct clip key decoded once, by Ray Data on every node, and kept.

Keys are content-addressed: the manifest's selection, the frames taken, the size, the decoder and its version.
A second study that reads the same clips decodes nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from actrec.data import clipset
from actrec.data.clip_key import clip_identity
from actrec.data.clipset import ClipSet, Video
from actrec.data.decode import resolve
from actrec.data.manifest import Manifest
from actrec.data.storage import cache_root as cache_root
from actrec.data.storage import sizes
from actrec.data.stream import decode_shards
from actrec.errors import DataError
from actrec.spec import ClipSpec, DataSpec, TrialSpec


@dataclass(frozen=True, slots=True)
class ClipKey:
    """One distinct way in which a study reads videos, and where its clips lie.

    Attributes:
        folder: of its clip set.
        clip: with the decoder that was resolved here, which every node then uses.
        manifest: the selection.
        videos: those that a study reads, in order of their ids. Over the folds of a cross-validation, which
            share their clips, they are the same.
        splits: video id → split, where a fold decides; empty: they are as in the clip set.
    """

    folder: Path
    clip: ClipSpec
    manifest: Manifest
    videos: tuple[Video, ...]
    splits: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Filled:
    """What a fill did.

    Attributes:
        clip_keys: how many there were.
        videos: over all of them.
        decoded: how many of those were decoded now; the others were there.
        undecodable: (video id, path, reason) of those that probed well but did not decode.
    """

    clip_keys: int
    videos: int
    decoded: int
    undecodable: tuple[tuple[str, str, str], ...]

    @property
    def reused(self) -> int:
        return self.videos - self.decoded


def clip_keys(manifest: Manifest, specs: Iterable[TrialSpec], root: Path) -> list[ClipKey]:
    """The clip key of each trial, in order. Every file is looked at once, whatever the number of trials.

    The sizes of the files are part of a key: a video that was replaced under its old name is decoded again.

    Raises:
        SpecError: if a trial selects a class that the manifest lacks, or its decoder does not work here.
        ManifestError: if a trial was planned on a manifest of other content.
    """
    videos = {video.video_id: video for video in videos_of(manifest)}
    selected: dict[DataSpec, tuple[Manifest, tuple[Video, ...], str, Mapping[str, str]]] = {}
    keys: dict[tuple[DataSpec, str], ClipKey] = {}
    found = []
    for spec in specs:
        name, version = resolve(spec.clip.decoder)
        resolved: dict[str, Any] = {"decoder": name}
        clip = dataclasses.replace(spec.clip, **resolved)
        identity = json.dumps(clip_identity(clip) | {"decoder": [name, version]}, sort_keys=True)
        if spec.data not in selected:
            selected[spec.data] = _select(manifest, spec.data, videos)
        if (spec.data, identity) not in keys:
            selection, chosen, content, splits = selected[spec.data]
            if splits and clip.sampling == "random":  # training clips and evaluation clips of every video
                chosen = tuple(dataclasses.replace(video, split=clipset.ANY) for video in chosen)
                content += f" {clipset.ANY}"
            about = json.dumps([clipset.FORMAT, content, identity])
            folder = root / "clips" / hashlib.sha256(about.encode()).hexdigest()[:16]
            keys[spec.data, identity] = ClipKey(folder, clip, selection, chosen, splits)
        found.append(keys[spec.data, identity])
    return found


def _select(
    manifest: Manifest, spec: DataSpec, videos: Mapping[str, Video]
) -> tuple[Manifest, tuple[Video, ...], str, Mapping[str, str]]:
    """A selection, its videos, and a hash of what they are: rows, labels and file sizes. And its splits, if
    it is a fold: that has the videos and the hash of what it is a fold of, so that all folds share clips."""
    selection = whole = manifest.select(spec)
    splits = {}
    if spec.cv:
        whole = manifest.select(dataclasses.replace(spec, cv="", fold=0))
        splits = {row["video_id"]: row["split"] for row in _used(selection)}
    rows = _used(whole)
    chosen = tuple(dataclasses.replace(videos[row["video_id"]], label=row["label"]) for row in rows)
    content = hashlib.sha256(json.dumps([video.size for video in chosen]).encode()).hexdigest()
    return selection, chosen, f"{whole.digest} {content}", splits


def videos_of(manifest: Manifest) -> list[Video]:
    """The videos that a study reads, those that open and belong to a split, in order of their ids."""
    rows = _used(manifest)
    paths = [str(manifest.root / row["path"]) for row in rows]
    return [
        Video(
            video_id=row["video_id"],
            path=path,
            label=row["label"],
            group=row["group"],
            split=row["split"],
            num_frames=row["num_frames"],
            fps=row["fps"],
            size=size,
        )
        for row, path, size in zip(rows, paths, sizes(paths), strict=True)
    ]


def _used(manifest: Manifest) -> list[dict[str, Any]]:
    used = (pc.field("status") == "ok") & (pc.field("split") != "unused")
    rows: list[dict[str, Any]] = manifest.table.filter(used).sort_by("video_id").to_pylist()
    return rows


def fill(
    keys: Iterable[ClipKey],
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda note: None,
) -> Filled:
    """Decodes what is missing of every key, and again what is damaged.

    Args:
        progress: is told (videos done, videos in all).
        say: is told of damage, in a sentence.

    Raises:
        DataError: if clips cannot be written, a node does not see a video, or no training video decodes.
    """
    keys = list(keys)
    total = sum(len(key.videos) for key in keys)
    decoded = done = 0
    undecodable: dict[str, tuple[str, str, str]] = {}
    for key in keys:
        clips = _opened(key, say)
        if clips is None:
            shards = clipset.cut_into_shards(key.videos, key.clip)
            clipset.begin(key.folder, key.clip, {"manifest": key.manifest.digest})
            for fresh, size in decode_shards(key.folder, shards, key.clip):
                decoded, done = decoded + fresh, done + size
                progress(done, total)
            clipset.finish(key.folder, shards)
            clips = ClipSet.open(key.folder)
        else:
            done += len(key.videos)
            progress(done, total)
        if not any(len(clips.videos(split)) for split in ("train", clipset.ANY)):
            raise DataError(f"none of {len(clips.labels)} videos decodes: {_first(clips.reasons)}")
        paths = {video.video_id: video.path for video in key.videos}
        for video_id, reason in zip(clips.video_ids, clips.reasons, strict=True):
            if reason:
                undecodable[video_id] = (video_id, paths[video_id], reason)
    return Filled(len(keys), total, decoded, tuple(undecodable.values()))


def _opened(key: ClipKey, say: Callable[[str], None]) -> ClipSet | None:
    """A key's clip set, if it is complete and sound."""
    if not clipset.is_complete(key.folder):
        return None
    try:
        return ClipSet.open(key.folder)
    except DataError as error:
        say(f"{error.__cause__} in the clip cache {key.folder}: what is damaged is decoded again")
        return None


@cache
def open_clips(folder: Path) -> ClipSet:
    """A complete clip set, opened once a process."""
    return ClipSet.open(folder)


def _first(reasons: Iterable[str]) -> str:
    return next((reason for reason in reasons if reason), "the manifest has no readable training video")

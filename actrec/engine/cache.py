"""The clip cache: each distinct clip key decoded once, by Ray Data on every node, and kept.

Keys are content-addressed: the manifest's selection, the frames taken, the size, the decoder and its version.
A second study that reads the same clips decodes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import platformdirs

from actrec.data import clipset
from actrec.data.clip_key import clip_identity
from actrec.data.clipset import ClipSet, Video
from actrec.data.decode import resolve
from actrec.data.manifest import Manifest
from actrec.data.stream import decode_shards
from actrec.errors import DataError
from actrec.spec import ClipSpec, TrialSpec


def cache_root() -> Path:
    """``ACTREC_CACHE``, else the user's cache folder. On a cluster it must be a path that every node sees."""
    return Path(os.environ.get("ACTREC_CACHE") or platformdirs.user_cache_dir("actrec")).absolute()


@dataclass(frozen=True, slots=True)
class ClipKey:
    """One distinct way in which a study reads videos, and where its clips lie."""

    folder: Path
    clip: ClipSpec
    manifest: Manifest  # the selection


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


def clip_key(manifest: Manifest, spec: TrialSpec, root: Path) -> ClipKey:
    """The clip key of one trial.

    The sizes of the files are part of it: a video that was replaced under its old name is decoded again.

    Raises:
        ManifestError: if the trial selects classes that the manifest lacks.
        DataError: if its decoder is not installed.
    """
    selection = manifest.select(spec.data)
    decoder = resolve(spec.clip.decoder)
    sizes = [_size(video.path) for video in videos_of(selection)]
    about = [clipset.FORMAT, selection.digest, sizes, clip_identity(spec.clip) | {"decoder": decoder}]
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    return ClipKey(root / "clips" / key, spec.clip, selection)


def videos_of(manifest: Manifest) -> list[Video]:
    """The videos that a study reads, those that open and belong to a split, in order of their ids."""
    rows = manifest.table.sort_by("video_id").to_pylist()
    return [
        Video(
            video_id=row["video_id"],
            path=str(manifest.root / row["path"]),
            label=row["label"],
            group=row["group"],
            split=row["split"],
            num_frames=row["num_frames"],
            fps=row["fps"],
        )
        for row in rows
        if row["status"] == "ok" and row["split"] != "unused"
    ]


def fill(keys: Iterable[ClipKey], progress: Callable[[int, int], None] = lambda done, total: None) -> Filled:
    """Decodes what is missing of every key; ``progress`` is told (videos done, videos in all).

    Raises:
        DataError: if clips cannot be written, or no training video decodes.
    """
    keys = list(keys)
    videos = {key.folder: videos_of(key.manifest) for key in keys}
    total = sum(map(len, videos.values()))
    decoded = done = 0
    undecodable: dict[str, tuple[str, str, str]] = {}
    for key in keys:
        shards = clipset.cut_into_shards(videos[key.folder], key.clip)
        if clipset.is_complete(key.folder):
            done += len(videos[key.folder])
            progress(done, total)
        else:
            clipset.begin(key.folder, key.clip, {"manifest": key.manifest.digest})
            for fresh, size in decode_shards(key.folder, shards, key.clip):
                decoded, done = decoded + fresh, done + size
                progress(done, total)
            clipset.finish(key.folder, shards)
        clips = ClipSet.open(key.folder)
        if not len(clips.videos("train")):
            raise DataError(f"none of {len(clips.labels)} videos decodes: {_first(clips.reasons)}")
        paths = {video.video_id: video.path for video in videos[key.folder]}
        for video_id, reason in zip(clips.video_ids, clips.reasons, strict=True):
            if reason:
                undecodable[video_id] = (video_id, paths[video_id], reason)
    return Filled(len(keys), total, decoded, tuple(undecodable.values()))


@cache
def open_clips(folder: Path) -> ClipSet:
    """A complete clip set, opened once a process."""
    return ClipSet.open(folder)


def _first(reasons: Iterable[str]) -> str:
    return next((reason for reason in reasons if reason), "the manifest has no readable training video")


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1

"""The clip cache: each distinct clip key decoded once, by tasks on every node, and kept.

Keys are content-addressed: the manifest's selection, the frames taken, the size, the decoder and its version.
A second study that reads the same clips decodes nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pyarrow.compute as pc

from actrec.data import clipset, sets, shards
from actrec.data.clip_key import clip_identity
from actrec.data.clipset import ClipSet
from actrec.data.decode import resolve
from actrec.data.local_copy import nearest
from actrec.data.manifest import Manifest
from actrec.data.sets import BUDGET, Hold, filling, room_after_eviction, size_text
from actrec.data.storage import cache_root as cache_root
from actrec.data.storage import sizes
from actrec.data.stream import decode_shards
from actrec.data.video_clips import ANY, Video
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
        return max(0, self.videos - self.decoded)  # a stream decodes each in every epoch


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
                chosen = tuple(dataclasses.replace(video, split=ANY) for video in chosen)
                content += f" {ANY}"
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


def bytes_needed(keys: Iterable[ClipKey]) -> int:
    """What the clips of these keys will take on disk beside what is there or reserved already, in bytes, from
    their shapes alone."""
    return sum(
        sets.lacking(key.folder, clipset.size(key.videos, key.clip))
        for key in keys
        if not clipset.is_complete(key.folder)
    )


def choose_feed(
    needed: int, available: int, earlier: Literal["cache", "stream"] | None
) -> tuple[Literal["cache", "stream"], str]:
    """How trials are fed where the user does not say, and why, in a sentence.

    Args:
        needed: see :func:`bytes_needed`.
        available: see :func:`actrec.data.sets.room_after_eviction`.
        earlier: what the study's earlier trials were fed from: later ones must be trained alike.
    """
    if earlier:
        return earlier, f"the {earlier} feeds the trials, as it fed the study's earlier ones"
    sizes = f"the decoded clips take {size_text(needed)}, and {size_text(available)} can be had on the disk"
    if needed <= available:
        return "cache", sizes
    return "stream", f"{sizes}: they are streamed, decoded anew in every epoch ({BUDGET} sets the budget)"


def reserve(keys: Sequence[ClipKey], root: Path, say: Callable[[str], object]) -> list[Hold]:
    """Holds the sets of these keys and makes room for what they lack; release each when trials are done.

    Raises:
        DataError: if there is not enough room even then.
    """
    sizes = {
        key.folder: 0 if clipset.is_complete(key.folder) else clipset.size(key.videos, key.clip)
        for key in keys
    }
    holds = sets.reserve(root, sizes, say)
    if holds is None:
        needed = sum(sets.lacking(folder, size) for folder, size in sizes.items())
        raise DataError(
            f"the decoded clips need {size_text(needed)} more, but the cache {root} can take "
            f"{size_text(room_after_eviction(root))}: raise {BUDGET} or free space; a study without earlier "
            "trials from the cache can use --stream"
        )
    return holds


def fill(
    keys: Iterable[ClipKey],
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda note: None,
) -> Filled:
    """Decodes what is missing of every key, and again what is damaged. Every byte is checked.

    Where another study fills the same key, this one waits and uses what that has decoded.

    Args:
        progress: is told (videos done, videos in all).
        say: is told of damage and of waiting, in a sentence.

    Raises:
        DataError: if clips cannot be written, a node does not see a video, or no training video decodes.
    """
    keys = list(keys)
    total = sum(len(key.videos) for key in keys)
    decoded = done = 0
    undecodable: dict[str, tuple[str, str, str]] = {}
    for key in keys:
        with filling(key.folder, lambda: say("another study is decoding the same clips: waiting for it")):
            for fresh, size in _fill(key, say):
                decoded, done = decoded + fresh, done + size
                progress(done, total)
        clips = ClipSet.open(key.folder)
        if not any(len(clips.videos(split)) for split in ("train", ANY)):
            raise DataError(f"none of {len(clips.labels)} videos decodes: {_first(clips.reasons)}")
        paths = {video.video_id: video.path for video in key.videos}
        for video_id, reason in zip(clips.video_ids, clips.reasons, strict=True):
            if reason:
                undecodable[video_id] = (video_id, paths[video_id], reason)
    return Filled(len(keys), total, decoded, tuple(undecodable.values()))


def _fill(key: ClipKey, say: Callable[[str], None]) -> Iterator[tuple[int, int]]:
    """Completes one set; yields (videos decoded now, videos) as it goes."""
    parts = clipset.cut_into_shards(key.videos, key.clip)
    expected = clipset.is_complete(key.folder)
    there = set(shards.numbers(key.folder))
    damaged = shards.damaged(key.folder, range(len(parts)))
    wrong = [number for number in damaged if expected or number in there]
    if wrong:
        names = ", ".join(shards.array_path(key.folder, number).name for number in wrong[:3])
        more = f" and {len(wrong) - 3} more shards" if len(wrong) > 3 else ""
        say(f"{names}{more} in the clip cache {key.folder}: damaged, so decoded again")
        shards.forget(key.folder, wrong)
    elif expected and _opens(key, say):
        yield 0, len(key.videos)
        return
    clipset.begin(key.folder, key.clip, {"manifest": key.manifest.digest})
    yield from decode_shards(key.folder, parts, key.clip)
    clipset.finish(key.folder, parts)


def _opens(key: ClipKey, say: Callable[[str], None]) -> bool:
    """Whether a set whose shards are whole can be read."""
    try:
        ClipSet.open(key.folder)
    except DataError as error:
        say(f"{error.__cause__} in the clip cache {key.folder}: it is written again")
        return False
    return True


@cache
def open_clips(folder: Path) -> ClipSet:
    """A complete clip set, opened once a process; on this node's disk where it lies on the network."""
    return ClipSet.open(nearest(folder))


@cache
def open_where_it_lies(folder: Path) -> ClipSet:
    """A complete clip set, opened once a process, to count its clips: their pixels are not brought nearer."""
    return ClipSet.open(folder)


def _first(reasons: Iterable[str]) -> str:
    return next((reason for reason in reasons if reason), "the manifest has no readable training video")

"""Decoded clips on disk: one folder a clip key, of fixed-shape uint8 :mod:`~actrec.data.shards`.

::

    <folder>/meta.json            what this is, written first
    <folder>/shard-00000.npy      uint8 (n, T, H, W, 3)
    <folder>/shard-00000.json     of each of its videos, how many clips it has and why it has none; a checksum
    <folder>/index.json           a checksum of the index: Parquet's own leave out its headers and footer
    <folder>/index.parquet        one row a video; its presence means the set is complete

Every byte is under a checksum; those of the pixels are compared by who fills or checks a set, all others by
who opens it.
A fill that was interrupted, or another that runs at the same time, costs nothing but work: what is decoded
twice is the same. Pixels never go through Parquet or the object store: a memory map gathers random clips two
hundred times faster.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actrec.data import shards
from actrec.data.sealed import seal, unseal
from actrec.data.shard_array import ShardArray
from actrec.data.shards import Int64
from actrec.data.storage import discard_stale
from actrec.data.video_clips import UInt8, Video, decode_video, frames_of
from actrec.errors import DataError, DecodeError
from actrec.files import ASIDE, reason
from actrec.spec import ClipSpec

FORMAT = 3
_INDEX, _INDEX_CHECK, _META = "index.parquet", "index.json", "meta.json"
_COLUMNS: dict[str, pa.DataType] = {
    "video_id": pa.string(),
    "label": pa.int64(),
    "group": pa.string(),
    "split": pa.string(),
    "shard": pa.int64(),
    "clips": pa.int64(),
    "reason": pa.string(),
}
_SCHEMA = pa.schema(_COLUMNS)
_SHARD_BYTES = 64 * 2**20
_SHARD_VIDEOS, _LEAST_VIDEOS, _MANY_SHARDS = 32, 8, 64


def cut_into_shards(videos: Sequence[Video], clip: ClipSpec) -> list[tuple[Video, ...]]:
    """Consecutive runs of videos, small enough that a shard is at most about 64 MB and that every core has
    several to work on: where there are few videos, a shard has as few as 8."""
    frame = clip.height * clip.width * 3
    per_video = max(1, clip.draws if clip.sampling == "random" else clip.clips) * clip.num_frames * frame
    few = max(_LEAST_VIDEOS, len(videos) // _MANY_SHARDS)
    step = max(1, min(_SHARD_VIDEOS, _SHARD_BYTES // per_video, few))
    return [tuple(videos[first : first + step]) for first in range(0, len(videos), step)]


def size(videos: Sequence[Video], clip: ClipSpec) -> int:
    """Bytes of the clips of these videos, if all of them decode."""
    one = {video.split: video for video in videos}
    clips = {split: len(frames_of(video, clip)) for split, video in one.items()}  # as many whatever the video
    return prod(_shape(clip)) * sum(clips[video.split] for video in videos)


def is_sound(folder: Path, number: int, videos: Sequence[Video], clip: ClipSpec) -> bool:
    """Whether a shard is there and whole, from its entries, its header and its length; reads no pixels."""
    try:
        entries = shards.read_entries(folder, number)
        clips = sum(entry["clips"] for entry in entries)
    except (ValueError, TypeError, KeyError):
        return False
    return len(entries) == len(videos) and shards.is_sound(folder, number, clips, np.uint8, _shape(clip))


def write_shard(
    folder: Path,
    number: int,
    videos: Sequence[Video],
    clip: ClipSpec,
    clips_of: Callable[[Video, ClipSpec], UInt8] = decode_video,
) -> int:
    """Decodes one shard into ``folder``; returns how many videos it decoded (0 if the shard was there).

    A video that does not decode has a row with a reason and no clips.

    Raises:
        DataError: if the shard cannot be written (a full disk, a read-only folder), or as
            :func:`decode_video` does; there is no shard then.
    """
    if is_sound(folder, number, videos, clip):
        return 0
    most = sum(len(frames_of(video, clip)) for video in videos)
    clips, rows = np.empty((most, *_shape(clip)), np.uint8), 0
    entries: list[dict[str, Any]] = []
    for video in videos:
        try:
            decoded = clips_of(video, clip)
        except DecodeError as error:
            entries.append({"clips": 0, "reason": error.why})
            continue
        clips[rows : rows + len(decoded)] = decoded
        rows += len(decoded)
        entries.append({"clips": len(decoded), "reason": ""})
    shards.write(folder, number, clips[:rows], entries)
    return len(videos)


def begin(folder: Path, clip: ClipSpec, about: dict[str, Any]) -> None:
    """Makes the folder of a clip set and notes what it holds.

    Raises:
        DataError: if it cannot be written.
    """
    meta = {"format": FORMAT, "clip": dataclasses.asdict(clip), **about}
    with shards.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        discard_stale(folder, f"{ASIDE}*")
        shards.put(folder / _META, seal(meta))


def finish(folder: Path, parts: Sequence[Sequence[Video]]) -> None:
    """Writes the index of a set whose shards are all there, which makes it complete.

    Raises:
        DataError: if it cannot be written.
    """
    index = [
        {
            "video_id": video.video_id,
            "label": video.label,
            "group": video.group,
            "split": video.split,
            "shard": number,
            "clips": entry["clips"],
            "reason": entry["reason"],
        }
        for number, videos in enumerate(parts)
        for video, entry in zip(videos, shards.read_entries(folder, number), strict=True)
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(index, schema=_SCHEMA), sink)
    content = sink.getvalue().to_pybytes()
    with shards.writing(folder):
        shards.put(folder / _INDEX_CHECK, seal({_INDEX: zlib.crc32(content)}))
        shards.put(folder / _INDEX, content)


def is_complete(folder: Path) -> bool:
    """Whether a set was wholly decoded. Whether it still is whole, :meth:`ClipSet.open` tells."""
    return (folder / _INDEX).exists()


def damaged(folder: Path) -> list[str]:
    """Which files of a set are not what was written, by name: of a complete one, those that are missing too.
    Reads every byte."""
    found = []
    wanted = shards.numbers(folder)
    try:
        _read(folder / _META)
    except (OSError, ValueError):
        found.append(_META)
    if is_complete(folder):
        try:
            wanted = list(range(1 + max(_read_index(folder)["shard"])))
        except (OSError, ValueError, pa.ArrowException):
            found.append(_INDEX)
    return found + [shards.array_path(folder, number).name for number in shards.damaged(folder, wanted)]


def _read(path: Path) -> dict[str, Any]:
    try:
        return unseal(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path.name}: {reason(error)}") from error


def _read_index(folder: Path) -> dict[str, list[Any]]:
    """The columns of the index."""
    content = (folder / _INDEX).read_bytes()
    if _read(folder / _INDEX_CHECK).get(_INDEX) != zlib.crc32(content):
        raise ValueError(f"{_INDEX}: is not what was written: its checksum is another")
    columns: dict[str, list[Any]] = pq.read_table(pa.BufferReader(content)).to_pydict()
    return columns


@dataclass(frozen=True)
class ClipSet:
    """A complete clip set, opened for reading.

    Attributes:
        folder: where it lies.
        clip: how its clips were taken.
        video_ids, groups, splits: (V,) strings, one a video, undecodable ones included.
        labels: int64 (V,).
        first: int64 (V,), the row of each video's first clip.
        count: int64 (V,), its number of clips; 0 where it did not decode.
        reasons: (V,) why not, empty where it did.
        shards: its clips, in the videos' order.
    """

    folder: Path
    clip: ClipSpec
    video_ids: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    labels: Int64
    first: Int64
    count: Int64
    reasons: tuple[str, ...]
    shards: ShardArray

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens a complete set. Its index, and every shard's header and length, are checked; no pixels.

        Raises:
            DataError: if it is not complete, damaged, or not of a format this version reads; says which
                folder to delete.
            EngineError: as :meth:`ShardArray.open`.
        """
        try:
            meta = _read(folder / _META)
            if meta["format"] != FORMAT:
                raise ValueError(f"{_META}: has format {meta['format']}, not {FORMAT}")
            clip = ClipSpec(**meta["clip"])
            index = _read_index(folder)
            stored = np.bincount(index["shard"], index["clips"]).astype(int).tolist()
            opened = ShardArray.open(folder, len(stored))
            if opened.dtype != np.uint8 or opened.row_shape != _shape(clip):
                raise ValueError(f"its shards hold {opened.dtype} {opened.row_shape}, not {_shape(clip)}")
            for number, (array, clips) in enumerate(zip(opened.arrays, stored, strict=True)):
                if len(array) != clips:
                    name = shards.array_path(folder, number).name
                    raise ValueError(f"{name}: does not hold what the index says")
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise DataError(
                f"the clip cache {folder} is not complete or is damaged ({reason(error)}); "
                "delete that folder, and its clips are decoded again"
            ) from error
        count = np.asarray(index["clips"], np.int64)
        return cls(
            folder=folder,
            clip=clip,
            video_ids=tuple(index["video_id"]),
            groups=tuple(index["group"]),
            splits=tuple(index["split"]),
            labels=np.asarray(index["label"], np.int64),
            first=np.cumsum(count) - count,
            count=count,
            reasons=tuple(index["reason"]),
            shards=opened,
        )

    def videos(self, split: str) -> Int64:
        """The positions of a split's decodable videos: int64, in manifest order."""
        return self._by_split.get(split, np.empty(0, np.int64))

    @cached_property
    def _by_split(self) -> dict[str, Int64]:
        splits = np.asarray(self.splits)
        return {str(name): np.flatnonzero((splits == name) & (self.count > 0)) for name in np.unique(splits)}

    def with_splits(self, splits: Mapping[str, str]) -> Self:
        """The same clips with the splits of a fold, video id → split; a video without one is in none."""
        return dataclasses.replace(self, splits=tuple(splits.get(key, "unused") for key in self.video_ids))

    def gather(self, rows: Int64) -> UInt8:
        """The clips at the given rows, in that order: uint8 (B, T, H, W, 3)."""
        return self.shards.gather(rows)


def _shape(clip: ClipSpec) -> tuple[int, int, int, int]:
    """Of one stored clip: (T, H, W, 3)."""
    return (1 if clip.sampling == "middle" else clip.num_frames, clip.height, clip.width, 3)

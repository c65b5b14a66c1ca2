"""Decoded clips on disk: fixed-shape uint8 shards, memory-mapped, one folder a clip key.

::

    <folder>/meta.json            what this is, written first
    <folder>/shard-00000.npy      uint8 (n, T, H, W, 3)
    <folder>/shard-00000.json     which videos are in it, and why some are not
    <folder>/index.parquet        one row a video; its presence means the set is complete

Shards are written aside and renamed, so a shard that exists is whole, and a fill that was interrupted goes on
with the shards that are missing. Pixels never go through Parquet or the object store: a memory map gathers
random clips two hundred times faster.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from actrec.data.clips import clip_indices
from actrec.data.decode import decode
from actrec.errors import DataError, DecodeError
from actrec.seeding import numpy_rng
from actrec.spec import ClipSpec

FORMAT = 1
_INDEX, _META = "index.parquet", "meta.json"
_SHARD_BYTES = 64 * 2**20
_SHARD_VIDEOS = 32

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Video:
    """One video to decode, as the manifest has it; ``path`` is absolute, ``num_frames`` probed."""

    video_id: str
    path: str
    label: int
    group: str
    split: str
    num_frames: int
    fps: float


def frames_of(video: Video, clip: ClipSpec) -> Int64:
    """The frame indices of every stored clip of a video: int64 (clips, T).

    Training videos under random sampling have ``clip.draws`` clips, drawn from the video's id alone, so
    that every trial and every seed shares them. Everything else is deterministic.
    """
    rng = None
    if clip.sampling == "random" and video.split == "train":
        rng = numpy_rng(0, "draws", video.video_id)
    return clip_indices(video.num_frames, clip, fps=video.fps, rng=rng)


def decode_video(video: Video, clip: ClipSpec) -> UInt8:
    """Every stored clip of one video: uint8 (clips, T, H, W, 3).

    Raises:
        DecodeError: if the file does not decode.
    """
    size = (clip.height, clip.width)
    return decode(video.path, frames_of(video, clip), size, fit=clip.fit, decoder=clip.decoder)


def cut_into_shards(videos: Sequence[Video], clip: ClipSpec) -> list[tuple[Video, ...]]:
    """Consecutive runs of videos, small enough that a shard is at most about 64 MB and that every core has
    several to work on."""
    frame = clip.height * clip.width * 3
    per_video = max(1, clip.draws if clip.sampling == "random" else clip.clips) * clip.num_frames * frame
    step = max(1, min(_SHARD_VIDEOS, _SHARD_BYTES // per_video))
    return [tuple(videos[first : first + step]) for first in range(0, len(videos), step)]


def write_shard(folder: Path, number: int, videos: Sequence[Video], clip: ClipSpec) -> int:
    """Decodes one shard into ``folder``; returns how many videos it decoded (0 if the shard was there).

    A video that does not decode has a row with a reason and no clips.

    Raises:
        DataError: if the shard cannot be written (a full disk, a read-only folder).
    """
    done = folder / f"shard-{number:05d}.json"
    if done.exists():
        return 0
    arrays: list[UInt8] = []
    rows: list[dict[str, Any]] = []
    for video in videos:
        try:
            clips, reason = decode_video(video, clip), ""
            arrays.append(clips)
        except DecodeError as error:
            clips, reason = None, error.why
        rows.append({"clips": 0 if clips is None else len(clips), "reason": reason})
    frames = 1 if clip.sampling == "middle" else clip.num_frames
    empty = np.empty((0, frames, clip.height, clip.width, 3), np.uint8)
    try:
        _save(folder / f"shard-{number:05d}.npy", np.concatenate(arrays) if arrays else empty)
        _write(done, json.dumps(rows).encode())
    except OSError as error:
        raise DataError(f"cannot write the clip cache {folder}: {error.strerror or error}") from error
    return len(videos)


def begin(folder: Path, clip: ClipSpec, about: dict[str, Any]) -> None:
    """Makes the folder of a clip set and notes what it holds."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _META).exists():
            meta = {"format": FORMAT, "clip": dataclasses.asdict(clip), **about}
            _write(folder / _META, json.dumps(meta, indent=1).encode())
    except OSError as error:
        raise DataError(f"cannot write the clip cache {folder}: {error.strerror or error}") from error


def finish(folder: Path, shards: Sequence[Sequence[Video]]) -> None:
    """Writes the index of a set whose shards are all there, which makes it complete."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("video_id", "label", "group", "split", "shard", "clips", "reason")
    }
    for number, videos in enumerate(shards):
        rows = json.loads((folder / f"shard-{number:05d}.json").read_text())
        for video, row in zip(videos, rows, strict=True):
            values = (
                video.video_id,
                video.label,
                video.group,
                video.split,
                number,
                row["clips"],
                row["reason"],
            )
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    _write(folder / _INDEX, sink.getvalue().to_pybytes())


def is_complete(folder: Path) -> bool:
    """Whether a set is wholly decoded."""
    return (folder / _INDEX).exists()


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
    _starts: Int64
    _shards: tuple[UInt8, ...]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens a complete set.

        Raises:
            DataError: if it is not complete, or not of a format this version reads.
        """
        try:
            meta = json.loads((folder / _META).read_text())
            index = pq.read_table(folder / _INDEX).to_pydict()
            shards = tuple(
                np.load(folder / f"shard-{number:05d}.npy", mmap_mode="r", allow_pickle=False)
                for number in range(max(index["shard"], default=-1) + 1)
            )
        except (OSError, ValueError) as error:
            raise DataError(f"the clip cache {folder} is not complete or is damaged: {error}") from error
        if meta["format"] != FORMAT:
            raise DataError(f"the clip cache {folder} has format {meta['format']}, not {FORMAT}")
        count = np.asarray(index["clips"], np.int64)
        return cls(
            folder=folder,
            clip=ClipSpec(**meta["clip"]),
            video_ids=tuple(index["video_id"]),
            groups=tuple(index["group"]),
            splits=tuple(index["split"]),
            labels=np.asarray(index["label"], np.int64),
            first=np.cumsum(count) - count,
            count=count,
            reasons=tuple(index["reason"]),
            _starts=np.cumsum([0, *(len(shard) for shard in shards)]),
            _shards=shards,
        )

    def videos(self, split: str) -> Int64:
        """The positions of a split's decodable videos: int64, in manifest order."""
        return self._by_split.get(split, np.empty(0, np.int64))

    @cached_property
    def _by_split(self) -> dict[str, Int64]:
        splits = np.asarray(self.splits)
        return {str(name): np.flatnonzero((splits == name) & (self.count > 0)) for name in np.unique(splits)}

    def gather(self, rows: Int64) -> UInt8:
        """The clips at the given rows, in that order: uint8 (B, T, H, W, 3)."""
        shape = (len(rows), *self._shards[0].shape[1:])
        out = np.empty(shape, np.uint8)
        shard = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(shard):
            chosen = shard == number
            out[chosen] = self._shards[number][rows[chosen] - self._starts[number]]
        return out


def _save(path: Path, array: UInt8) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)

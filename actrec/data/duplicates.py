"""Near-duplicate videos, by perceptual hashes of a few frames.

A frame's hash is the DCT hash of pHash (Zauner, "Implementation and benchmarking of perceptual image hash
functions", 2010): which of the 64 lowest frequencies of its 32×32 luma are above their median. A video's are
those of four frames at the centres of its quarters, in order. Two videos are near-duplicates where their
frames differ in at most :data:`NEAR` bits on average.

Measured, in bits a frame: of 120 UT-Interaction clips, which share cameras and scenes, no two come nearer
than 11, of the 400 built-in videos no two nearer than 12, of ten clips of UCF101, HMDB51 and Kinetics none
nearer than 26. Copies of 30 of the first and of the last ten, and how many of them are found:

========================================  ======  =======  =====
copy                                      median  highest  found
========================================  ======  =======  =====
H.264 at CRF 32                              1.5      3.0  40/40
half the size, MPEG-4                        2.5      5.0  40/40
brighter by 15 %                             1.0      5.0  40/40
half the frame rate                          1.5      3.5  40/40
without its first and last twentieth         4.0     19.5  36/40
without its first tenth                      7.0     30.0  28/40
without a border of 4 %                      9.0     17.0  13/40
========================================  ======  =======  =====

Other excerpts, crops and mirrored copies are missed, then: a threshold that finds them finds static scenes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.fft import dctn

from actrec.data.clips import centres
from actrec.data.decode import decode
from actrec.data.manifest import Manifest
from actrec.data.storage import sizes
from actrec.errors import DecodeError
from actrec.files import replacing

FRAMES = 4
NEAR = 8  # bits of a frame's 64, on average
_SIDE, _LOW, _BLOCK = 32, 8, 256
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601

Hashes = npt.NDArray[np.uint64]  # (V, FRAMES)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two near-duplicates.

    Attributes:
        one, other: their ids.
        groups, splits: that they are in; one of the two pairs at least differs.
        bits: in which their frames differ, on average, of 64.
    """

    one: str
    other: str
    groups: tuple[str, str]
    splits: tuple[str, str]
    bits: float


def hash_video(path: str | Path, num_frames: int) -> npt.NDArray[np.uint64]:
    """The hashes of a video's frames: uint64 (FRAMES,), the same on every machine.

    Raises:
        DecodeError: if one of them does not decode.
    """
    frames = decode(path, centres(num_frames, FRAMES)[None], (_SIDE, _SIDE), decoder="pyav")[0]
    low = dctn(frames @ _LUMA, axes=(1, 2), norm="ortho")[:, :_LOW, :_LOW].reshape(FRAMES, -1)
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)  # the first is the brightness
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def near_pairs(hashes: Hashes) -> Iterator[tuple[int, int, float]]:
    """Rows i < j of ``hashes`` that differ in at most :data:`NEAR` bits a frame, and in how many they do."""
    for first in range(0, len(hashes), _BLOCK):
        block, rest = hashes[first : first + _BLOCK], hashes[first:]
        differing = np.zeros((len(block), len(rest)), np.uint16)
        for frame in range(FRAMES):
            differing += np.bitwise_count(block[:, None, frame] ^ rest[None, :, frame])
        for one, other in np.argwhere(differing <= NEAR * FRAMES).tolist():
            if one < other:
                yield first + one, first + other, float(differing[one, other]) / FRAMES


def find(
    manifest: Manifest, path: Path, on_done: Callable[[int], object] = lambda videos: None
) -> list[Pair]:
    """The near-duplicates of a manifest that lie in different splits or groups, and notes them beside it.

    Videos are hashed on all cores of this machine. Hashes are kept beside the manifest, so that only files of
    another size are hashed again; where that folder cannot be written to, nothing is kept. A video that does
    not decode has no near-duplicates.

    Args:
        path: of the manifest.
        on_done: called with the number of videos that are hashed so far.
    """
    rows = [row for row in manifest.table.to_pylist() if row["status"] == "ok" and row["split"] != "unused"]
    files = [str(manifest.root / row["path"]) for row in rows]
    keys = [(row["video_id"], size) for row, size in zip(rows, sizes(files), strict=True)]
    known = _read_hashes(path)
    found: list[bytes] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for content in pool.map(
            lambda key, file, row: known.get(key) or _hash(file, row["num_frames"]), keys, files, rows
        ):
            found.append(content)
            on_done(len(found))
    whole = [index for index, content in enumerate(found) if content]
    hashes = np.frombuffer(b"".join(found), np.uint64).reshape(-1, FRAMES)
    pairs = []
    for i, j, bits in near_pairs(hashes):
        a, b = rows[whole[i]], rows[whole[j]]
        if a["split"] != b["split"] or a["group"] != b["group"]:
            groups, splits = (a["group"], b["group"]), (a["split"], b["split"])
            pairs.append(Pair(a["video_id"], b["video_id"], groups, splits, bits))
    _keep(path, manifest.digest, dict(zip(keys, found, strict=True)), pairs)
    return pairs


def noted(path: str | Path, digest: str) -> list[Pair] | None:
    """What :func:`find` last found of a manifest's content; None if it was not asked."""
    try:
        note = json.loads(_note_path(Path(path)).read_text(encoding="utf-8"))
        if note["digest"] != digest:
            return None
        return [
            Pair(**{**pair, "groups": tuple(pair["groups"]), "splits": tuple(pair["splits"])})
            for pair in note["near_duplicates"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _hash(path: str, num_frames: int) -> bytes:
    try:
        return hash_video(path, num_frames).tobytes()
    except DecodeError:
        return b""


def _read_hashes(path: Path) -> dict[tuple[str, int], bytes]:
    """(video id, size of its file in bytes) → its hashes."""
    try:
        with pq.ParquetFile(_hashes_path(path)) as file:
            rows = file.read().to_pylist()
        return {(row["video_id"], row["size"]): row["hash"] for row in rows if len(row["hash"]) == 8 * FRAMES}
    except (OSError, KeyError, TypeError, pa.ArrowException):
        return {}


def _keep(path: Path, digest: str, hashes: Mapping[tuple[str, int], bytes], pairs: list[Pair]) -> None:
    rows = [{"video_id": key, "size": size, "hash": content} for (key, size), content in hashes.items()]
    note: dict[str, Any] = {"digest": digest, "near_duplicates": [asdict(pair) for pair in pairs]}
    try:
        with replacing(_hashes_path(path)) as aside:
            pq.write_table(pa.Table.from_pylist(rows), aside)
        with replacing(_note_path(path)) as aside:
            aside.write_text(json.dumps(note, indent=1), encoding="utf-8")
    except OSError:  # a data set is often on storage that is read alone
        return


def _hashes_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.hashes.parquet")


def _note_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.duplicates.json")

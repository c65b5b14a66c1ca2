"""Decoding as Ray Data jobs: into the clip cache, or straight into the workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray.data

from actrec.data import clipset
from actrec.data.clipset import Video
from actrec.errors import DecodeError
from actrec.seeding import numpy_rng
from actrec.spec import ClipSpec

ROWS_A_BLOCK = 16  # of a stream: small enough that little is decoded ahead of its use


def decode_shards(folder: Path, shards: Sequence[Sequence[Video]], clip: ClipSpec) -> Iterator[tuple[int, int]]:
    """Decodes every shard that is missing, on all cores of all nodes.

    Tasks write their shards themselves: pixels never pass through the object store.

    Yields:
        For each shard, as it is done: (videos decoded now, videos in it).

    Raises:
        DataError: if a shard cannot be written.
    """
    missing = [number for number in range(len(shards)) if not (folder / f"shard-{number:05d}.json").exists()]
    for number in sorted(set(range(len(shards))) - set(missing)):
        yield 0, len(shards[number])
    if not missing:
        return
    items = [{"number": number, "videos": list(shards[number])} for number in missing]

    def decode_one(row: dict[str, Any]) -> dict[str, Any]:
        fresh = clipset.write_shard(folder, row["number"], row["videos"], clip)
        return {"decoded": fresh, "videos": len(row["videos"])}

    dataset = ray.data.from_items(items, override_num_blocks=len(items)).map(decode_one)
    for row in dataset.iter_rows():
        yield row["decoded"], row["videos"]


def clip_stream(videos: Sequence[Video], clip: ClipSpec, *, draw: int, multiple: int) -> ray.data.Dataset:
    """Videos decoded as they are asked for: a lazy dataset of rows ``video`` (position in ``videos``), ``clips``
    (uint8 (N, T, H, W, 3)) and ``valid``.

    Rows that do not decode, and rows that pad the set to a ``multiple`` so that it splits evenly over the
    workers, are zeros with ``valid`` False: every video comes exactly once, on any number of workers.

    Args:
        draw: which of a training video's random clips.
        multiple: the number of workers.
    """
    order = numpy_rng(0, "stream").permutation(len(videos)).tolist()
    order += [-1] * (-len(order) % multiple)
    blocks = max(1, len(order) // ROWS_A_BLOCK)
    decode_row = partial(_decode_row, videos=tuple(videos), clip=clip, draw=draw)
    rows = [{"video": position} for position in order]
    return ray.data.from_items(rows, override_num_blocks=blocks).map(decode_row)


def _decode_row(row: dict[str, Any], videos: tuple[Video, ...], clip: ClipSpec, draw: int) -> dict[str, Any]:
    position = row["video"]
    frames = 1 if clip.sampling == "middle" else clip.num_frames
    count = clip.clips if clip.sampling == "clips" else 1
    clips = np.zeros((count, frames, clip.height, clip.width, 3), np.uint8)
    valid = False
    if position >= 0:
        try:
            decoded = clipset.decode_video(videos[position], clip)
            clips, valid = (decoded[draw : draw + 1] if len(decoded) > count else decoded), True
        except DecodeError:
            valid = False  # its reason is found by the probe or by `actrec data check`
    return {"video": position, "clips": clips, "valid": valid}

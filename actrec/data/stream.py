"""Ray Data jobs over video files: probing, decoding into the clip cache, decoding as a stream. Ray must be
connected; nothing here starts it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.data import DataContext, Dataset

from actrec.data import clipset
from actrec.data.clipset import Video
from actrec.data.probe import Probe, probe
from actrec.errors import DecodeError
from actrec.seeding import numpy_rng
from actrec.spec import ClipSpec

_PER_TASK = 16  # videos


def probe_videos(
    root: Path, paths: Sequence[str], on_done: Callable[[int], object] = lambda videos: None
) -> list[Probe | str]:
    """Probe files on all cores of the cluster.

    Args:
        root: the folder that the paths are within; every node must see it.
        paths: POSIX paths within ``root``.
        on_done: called with the number of videos probed so far, as they come.

    Returns:
        For each path, in order, what is in the file, or the reason why it does not decode.
    """
    rows = [{"index": index, "path": str(root / path)} for index, path in enumerate(paths)]
    found: dict[int, Probe | str] = {}
    if rows:
        with quietly():
            data = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // _PER_TASK))
            for row in data.map(_probe_row).iter_rows():  # as they come, in any order
                found[row["index"]] = row["reason"] or Probe(**row["probe"])
                on_done(len(found))
    return [found[index] for index in range(len(paths))]


def _probe_row(row: dict[str, Any]) -> dict[str, Any]:
    """One row of the job, in a worker; a probe that failed is a row of zeros, for the sake of one schema."""
    contents, reason = Probe(num_frames=0, fps=0.0, width=0, height=0, seconds=0.0), ""
    try:
        contents = probe(row["path"])
    except DecodeError as error:
        reason = error.why
    return {"index": row["index"], "probe": asdict(contents), "reason": reason}


def decode_shards(
    folder: Path, shards: Sequence[Sequence[Video]], clip: ClipSpec
) -> Iterator[tuple[int, int]]:
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

    with quietly():
        for row in ray.data.from_items(items, override_num_blocks=len(items)).map(decode_one).iter_rows():
            yield row["decoded"], row["videos"]


def clip_stream(videos: Sequence[Video], clip: ClipSpec, *, draw: int, multiple: int) -> Dataset:
    """Videos decoded as they are asked for, a lazy dataset.

    Its rows have ``video`` (position in ``videos``), ``clips`` (uint8 (N, T, H, W, 3)) and ``valid``. Rows
    that do not decode, and rows that pad the set to a ``multiple`` so that it splits evenly over the workers,
    are zeros with ``valid`` False: every video comes exactly once, on any number of workers.

    Args:
        draw: which of a training video's random clips.
        multiple: the number of workers.
    """
    order = numpy_rng(0, "stream").permutation(len(videos)).tolist()
    order += [-1] * (-len(order) % multiple)
    blocks = max(1, len(order) // _PER_TASK)
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


@contextmanager
def quietly() -> Iterator[None]:
    """Ray Data shows no progress bars, and of its log only errors."""
    context, log = DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, log.level
    context.enable_progress_bars = False
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars = before[0]
        log.setLevel(before[1])

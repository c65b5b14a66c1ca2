"""Ray's jobs over video files: probing, decoding into the clip cache, decoding as a stream. Ray must be
connected; nothing here starts it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import ray
from ray.data import DataContext, Dataset

from actrec.data import clipset
from actrec.data.probe import Probe, probe
from actrec.data.shards import numbers, syncing
from actrec.data.storage import MISSING, check_same, sizes
from actrec.data.survival import survives
from actrec.data.video_clips import UInt8, Video, decode_video
from actrec.errors import DataError, DecodeError
from actrec.seeding import numpy_rng
from actrec.spec import ClipSpec

_PER_TASK = 16  # videos
T = TypeVar("T")


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

    Raises:
        DataError: if a node does not see a file that this process sees.
    """
    full = [str(root / path) for path in paths]
    rows = [
        {"index": index, "path": path, "size": size}
        for index, (path, size) in enumerate(zip(full, sizes(full), strict=True))
    ]
    found: dict[int, Probe | str] = {}
    if rows:
        data = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // _PER_TASK))
        for row in _rows(data.map(_probe_row)):  # as they come, in any order
            found[row["index"]] = row["reason"] or Probe(**row["probe"])
            on_done(len(found))
    return [found[index] for index in range(len(paths))]


def _probe_row(row: dict[str, Any]) -> dict[str, Any]:
    """One row of the job, in a worker; a probe that failed is a row of zeros, for the sake of one schema."""
    contents, reason, error = Probe(num_frames=0, fps=0.0, width=0, height=0, seconds=0.0), "", ""
    try:
        if row["size"] != MISSING:
            check_same(row["path"], row["size"])
        contents = guarded(probe, row["path"], path=row["path"])
    except DecodeError as fault:
        reason = fault.why
    except DataError as fault:
        error = str(fault)
    return {"index": row["index"], "probe": asdict(contents), "reason": reason, "error": error}


def decode_shards(
    folder: Path, parts: Sequence[Sequence[Video]], clip: ClipSpec
) -> Iterator[tuple[int, int]]:
    """Decodes every shard that is missing, on all cores of all nodes. At the end, all are on the disk.

    Tasks write their shards themselves: pixels never pass through the object store. So there is nothing for
    Ray Data to stream, and plain tasks do it. They go on to the next while this process waits for the disk.

    Yields:
        For each shard, as it is done: (videos decoded now, videos in it).

    Raises:
        DataError: if a shard cannot be written, or a node does not see a video or lacks the decoder.
    """
    task = ray.remote(num_cpus=1)(_write_shard)
    waiting = {}
    there = set(numbers(folder))
    with syncing() as sync:
        for number, videos in enumerate(parts):
            if number in there and clipset.is_sound(folder, number, videos, clip):
                sync(folder, number)  # a fill that was interrupted may not have
                yield 0, len(videos)
            else:
                waiting[task.remote(folder, number, videos, clip)] = number
        try:
            while waiting:
                (done, *_), _ = ray.wait(list(waiting))
                decoded, error = ray.get(done)
                number = waiting.pop(done)
                if error:
                    raise DataError(error)
                sync(folder, number)
                yield decoded, len(parts[number])
        except ray.exceptions.RayError as error:
            raise DataError(f"Ray could not finish decoding the videos: {_last_line(error)}") from error
        finally:
            for left in waiting:
                ray.cancel(left)


def _write_shard(folder: Path, number: int, videos: Sequence[Video], clip: ClipSpec) -> tuple[int, str]:
    try:
        return clipset.write_shard(folder, number, videos, clip, _guarded_video), ""
    except DataError as fault:  # exceptions of tasks come with Ray's log
        return 0, str(fault)


def clip_stream(videos: Sequence[Video], clip: ClipSpec, *, draw: int, multiple: int) -> Dataset:
    """Videos decoded as they are asked for, a lazy dataset.

    Its rows have ``video`` (position in ``videos``), ``clips`` (uint8 (N, T, H, W, 3)), ``valid``, ``reason``
    and ``error``. Videos that do not decode, which have a reason, and rows that pad the set to a ``multiple``
    so that it splits evenly over the workers, are zeros with ``valid`` False: every video comes exactly once,
    on any number of workers. An ``error`` says that a node does not see a video, or lacks the decoder.

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
    valid, reason, error = False, "", ""
    if position >= 0:
        video = videos[position]
        try:
            one = draw if clip.sampling == "random" else None  # of which only this draw is decoded
            clips, valid = guarded(decode_video, video, clip, one, path=video.path), True
        except DecodeError as fault:
            reason = fault.why
        except DataError as fault:
            error = str(fault)
    return {"video": position, "clips": clips, "valid": valid, "reason": reason, "error": error}


def _guarded_video(video: Video, clip: ClipSpec) -> UInt8:
    return guarded(decode_video, video, clip, path=video.path)


def guarded(call: Callable[..., T], *args: Any, path: str) -> T:
    """``call(*args)`` in a task of Ray, which starts a task whose process died again.

    So a task that was started again makes the call in a process of its own first.

    Raises:
        DecodeError: if that process dies too.
    """
    task = ray.get_runtime_context().worker.core_worker  # Ray has no public name for what follows
    if task.get_current_task_attempt_number() and not survives(call, *args):
        raise DecodeError(path, "the decoder crashed on it")
    return call(*args)


def _rows(data: Dataset) -> Iterator[dict[str, Any]]:
    """The rows of a job, as they come. A row's ``error`` ends it: exceptions of tasks come with Ray's log.

    Raises:
        DataError: with that error, or with Ray's own if the job failed in another way.
    """
    with quietly():
        try:
            for row in data.iter_rows():
                if row["error"]:
                    raise DataError(row["error"])
                yield row
        except ray.exceptions.RayError as error:
            raise DataError(f"Ray could not finish reading the videos: {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]


@contextmanager
def quietly() -> Iterator[None]:
    """Ray Data shows no progress bars and logs nothing: what goes wrong is raised."""
    context, log = DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, log.level
    context.enable_progress_bars = False
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        context.enable_progress_bars = before[0]
        log.setLevel(before[1])

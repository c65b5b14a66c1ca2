"""Ray Data jobs over video files. Ray must be connected; nothing here starts it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray.data import DataContext

from actrec.data.probe import Probe, probe
from actrec.errors import DecodeError

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

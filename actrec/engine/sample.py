"""The few videos that a study which streams keeps decoded, to be looked at: ``<study>/.sample/<clip key>/``.

A stream leaves no clips behind, and looking at a video once more decodes it once more. So before trials start
the test videos and some examples of each class are decoded into a small clip set: those whose ids hash
lowest, as many as fit into the smaller of 2 GB and a tenth of the free disk, which all ways of reading them
share. Trials embed its test videos, and the report's pictures are drawn from it. It goes when the launch
ends; what a killed launch leaves, the next one takes up or removes.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from actrec.data import clipset, shards
from actrec.data.clipset import ClipSet
from actrec.data.sets import size_text
from actrec.data.stream import decode_shards
from actrec.data.video_clips import Video
from actrec.engine.cache import ClipKey
from actrec.engine.thumbnails import chosen
from actrec.errors import ActrecError, DataError
from actrec.files import discard, reason

FOLDER = ".sample"
MOST_BYTES = 2 * 10**9
FREE = 0.1  # of the disk's room, with what samples take of it


def of(study: Path, key: ClipKey) -> Path | None:
    """The sample of a clip key, if there is one that can be read: no trial is to fail for want of it."""
    folder = _folder(study, key)
    with suppress(DataError):
        return ClipSet.open(folder).folder
    return None


def decode(
    study: Path,
    keys: Sequence[ClipKey],
    progress: Callable[[int, int], object],
    say: Callable[[str], object],
) -> int:
    """Decodes the samples that are missing; Ray must be connected. What cannot be made is a note.

    If any is, samples of other keys go, and those that take more than their share are decoded anew.

    Args:
        study: the study's folder, which every node sees.
        keys: those that samples are needed of now, which differ.
        progress: is told (videos done, videos in all).

    Returns:
        How many videos were decoded.
    """
    if all(of(study, key) for key in keys):
        return 0
    decoded = done = 0
    try:
        share = _room(study) // len(keys)
        needed = {_folder(study, key) for key in keys}
        for folder in (study / FOLDER).glob("*"):
            if folder not in needed or _taken(folder) > share:
                discard(folder)
        missing = [key for key in keys if of(study, key) is None]
        wanted = [fitting(key, share) for key in missing]
        total = sum(map(len, wanted))
        for key, videos in zip(missing, wanted, strict=True):
            folder, parts = _folder(study, key), clipset.cut_into_shards(videos, key.clip)
            clipset.begin(folder, key.clip, {"manifest": key.manifest.digest})
            for fresh, size in decode_shards(folder, parts, key.clip):
                decoded, done = decoded + fresh, done + size
                progress(done, total)
            clipset.finish(folder, parts)
    except (ActrecError, OSError) as error:
        say(f"note: the report lacks a map of test videos, and pictures not drawn yet: {reason(error)}")
    return decoded


def drop(study: Path) -> None:
    """Removes all samples of a study."""
    discard(study / FOLDER)


def fitting(key: ClipKey, budget: int) -> tuple[Video, ...]:
    """The videos of a key's sample, in order of their ids, whose clips take at most so many bytes.

    Raises:
        DataError: if there is not room for one.
    """
    videos = key.videos
    ranked = chosen([(video.video_id, video.label, video.split) for video in videos])
    sizes = np.cumsum([clipset.size([videos[place]], key.clip) for place in ranked])
    kept = ranked[: np.searchsorted(sizes, budget, side="right")]
    if not kept:
        raise DataError(f"one video's clips take {size_text(int(sizes[0]))}, they may {size_text(budget)}")
    return tuple(videos[place] for place in sorted(kept))


def _room(study: Path) -> int:
    """Bytes that all samples of a study may take, those that are there among them."""
    there = sum(map(shards.stored, (study / FOLDER).glob("*")))
    return min(MOST_BYTES, int(FREE * (shutil.disk_usage(study).free + there)))


def _taken(sample: Path) -> float:
    """Bytes of a sample's clips; of one that cannot be read, as a killed launch leaves it, infinity."""
    with suppress(DataError):
        return sum(array.nbytes for array in ClipSet.open(sample).shards.arrays)
    return math.inf


def _folder(study: Path, key: ClipKey) -> Path:
    return study / FOLDER / key.folder.name

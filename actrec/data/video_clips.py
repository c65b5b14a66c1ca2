"""The clips of one video: which frames they have, and decoding them."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actrec.data.clips import clip_indices
from actrec.data.decode import decode
from actrec.data.shards import Int64
from actrec.data.storage import MISSING, check_readable, check_same
from actrec.errors import DataError, DecodeError, SpecError
from actrec.seeding import numpy_rng
from actrec.spec import ClipSpec

ANY = "any"  # the split of a video that is in every split by turns, over the folds of a cross-validation

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Video:
    """One video to decode, as the manifest has it.

    Attributes:
        path: absolute.
        num_frames: probed.
        size: of the file as the driver sees it, in bytes; ``MISSING`` where it does not.
    """

    video_id: str
    path: str
    label: int
    group: str
    split: str
    num_frames: int
    fps: float
    size: int


def frames_of(video: Video, clip: ClipSpec) -> Int64:
    """The frame indices of every stored clip of a video: int64 (clips, T).

    Training videos under random sampling have ``clip.draws`` clips, drawn from the video's id alone, so
    that every trial and every seed shares them. Everything else is deterministic. A video of :data:`ANY`
    split has those of training and, last, that of evaluation.
    """
    still = clip_indices(video.num_frames, clip, fps=video.fps)
    if clip.sampling != "random" or video.split not in ("train", ANY):
        return still
    rng = numpy_rng(0, "draws", video.video_id)
    drawn = clip_indices(video.num_frames, clip, fps=video.fps, rng=rng)
    return drawn if video.split == "train" else np.concatenate([drawn, still])


def decode_video(video: Video, clip: ClipSpec, draw: int | None = None) -> UInt8:
    """Every stored clip of one video, or that of one draw alone: uint8 (clips, T, H, W, 3).

    Args:
        draw: of the rows of :func:`frames_of`, the one to decode; None: all.

    Raises:
        DecodeError: if the file does not decode, and that is its own fault.
        DataError: if this node does not see the file that the driver saw, or lacks the decoder.
    """
    if video.size == MISSING:
        raise DecodeError(video.path, "missing file")
    check_same(video.path, video.size)
    try:
        return _decode(video, clip, draw)
    except DecodeError:
        check_readable(video.path)  # what decodes once the storage answers again was no fault of the file
        return _decode(video, clip, draw)


def _decode(video: Video, clip: ClipSpec, draw: int | None) -> UInt8:
    frames = frames_of(video, clip)
    if draw is not None:
        frames = frames[draw : draw + 1]
    try:
        return decode(video.path, frames, (clip.height, clip.width), fit=clip.fit, decoder=clip.decoder)
    except SpecError as error:
        raise DataError(f"node {platform.node()}: {error}") from error

"""Frames of a video file by index, the same whichever decoder reads them.

Frame i is the i-th picture in order of presentation.

A decoder that seeks needs the presentation time of every packet. AVI has none, and with B-frames decord and
torchcodec then return neighbouring frames (off by 3 to 77 levels on average, on HMDB51 and UT-Interaction
clips). So a file's packets are read first; one without usable times, or one that the chosen decoder fails
on, is decoded from its start by PyAV. After that all decoders agree on every frame to 2 of 255 levels (of
8-bit video; they conceal damaged MPEG-4 blocks differently).

All frames are resized by one function, so that the choice of decoder cannot show. Letting decord scale
while it decodes was no faster (67.6 against 68.6 ms for 16 frames of 320×240), and resamples differently.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import av
import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from actrec.data.probe import Source, open_video
from actrec.errors import DecodeError, SpecError
from actrec.fields import unknown

Frame = npt.NDArray[np.uint8]  # (H, W, 3), RGB


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to read frames.

    Attributes:
        module: what must import, and whose installed version counts.
        frames: (file, ascending indices) → those frames at native size, as displayed (rotation applied).
            May raise anything; indices below the packet count exist.
    """

    module: str
    frames: Callable[[Source, Sequence[int]], Iterator[Frame]]


def decode(
    path: str | Path,
    indices: npt.NDArray[np.int64],
    size: tuple[int, int],
    *,
    fit: Literal["stretch", "crop"] = "stretch",
    decoder: str = "auto",
) -> npt.NDArray[np.uint8]:
    """The clips of one video, in one thread.

    Args:
        path: the file.
        indices: int64 (N, T), ≥ 0, in any order, repeats allowed; each frame is decoded once.
        size: (H, W) of the result, in pixels.
        fit: ``stretch`` to the size, or ``crop`` the central part of its shape first.
        decoder: a name of :data:`BACKENDS`, or ``auto``.

    Returns:
        uint8 (N, T, H, W, 3), RGB, in [0, 255].

    Raises:
        DecodeError: the file is missing, is no video, breaks off, or ends before an index.
        SpecError: the decoder is unknown or not available here.
    """
    name, _ = resolve(decoder)
    indices = np.asarray(indices, dtype=np.int64)
    if indices.ndim != 2 or indices.size == 0 or indices.min() < 0:
        raise ValueError(f"indices must be (clips, frames) ≥ 0 and not empty, not {indices.tolist()}")
    wanted, position = np.unique(indices, return_inverse=True)
    seekable = _seekable(path, wanted[-1])
    why = ""
    for reader in dict.fromkeys([name if seekable else "pyav", "pyav"]):
        try:
            frames = BACKENDS[reader].frames(str(path), wanted.tolist())
            small = [resize(frame, size, fit) for frame in frames]
        except Exception as error:  # decoders raise whatever they like; each means: not this file
            why = _reason(error)
            continue
        if len(small) == len(wanted):
            return np.stack(small)[position.reshape(indices.shape)]
        why = f"frame {wanted[len(small)]} does not decode, or is past the end"
    raise DecodeError(path, why)


def resolve(decoder: str = "auto") -> tuple[str, str]:
    """The (name, version) of the decoder that will be used: what the clip key says of it.

    ``auto`` is decord where it works, else PyAV.

    Raises:
        SpecError: if the name is unknown, or not available here; names those that are.
    """
    found = available()
    if decoder == "auto":
        decoder = "decord" if "decord" in found else "pyav"
    if decoder not in BACKENDS:
        raise SpecError(unknown("decoder", decoder, ["auto", *BACKENDS]))
    if decoder not in found:
        listed = ", ".join(f"{name} {version}" for name, version in found.items())
        raise SpecError(f"clip.decoder={decoder!r}: not installed, or does not work here (works: {listed})")
    return decoder, found[decoder]


@cache
def available() -> dict[str, str]:
    """The decoders that work here, name → version: each has read a small file of one frame.

    Importing is not enough: torchcodec imports without the FFmpeg libraries that it cannot work without.
    """
    sample = _sample()
    found = {}
    for name, backend in BACKENDS.items():
        try:
            if len(list(backend.frames(io.BytesIO(sample), [0]))) == 1:
                found[name] = importlib.metadata.version(backend.module)
        except Exception:  # whatever it is, it does not work here
            continue
    return found


def resize(frame: Frame, size: tuple[int, int], fit: Literal["stretch", "crop"] = "stretch") -> Frame:
    """uint8 (h, w, 3) → uint8 (H, W, 3), bilinear with antialiasing, in integer arithmetic.

    torch's kernel: 0.5 ms for 16 frames of 320×240 to 112×112, against Pillow's 4.5 ms, and within one level
    of it.
    """
    if fit == "crop":
        frame = _central(frame, size)
    if frame.shape[:2] == size:
        return frame
    planes = torch.from_numpy(frame).permute(2, 0, 1)[None]
    small = interpolate(planes, size=size, mode="bilinear", align_corners=False, antialias=True)
    result: Frame = small[0].permute(1, 2, 0).contiguous().numpy()
    return result


def _central(frame: Frame, size: tuple[int, int]) -> Frame:
    """The largest central part whose shape is H:W, to the pixel."""
    height, width = frame.shape[:2]
    high = min(height, max(1, round(width * size[0] / size[1])))
    wide = min(width, max(1, round(height * size[1] / size[0])))
    top, left = (height - high) // 2, (width - wide) // 2
    return frame[top : top + high, left : left + wide]


def _seekable(path: str | Path, last: int) -> bool:
    """Whether frames can be sought by their times, from the packets alone: about a millisecond a file.

    It also keeps from decord the files that decord would complain about on stderr.

    Raises:
        DecodeError: if it is no readable video, or cannot have a frame ``last``.
    """
    if not Path(path).is_file():  # opening a pipe would wait for ever
        raise DecodeError(path, "not a regular file" if Path(path).exists() else "no such file")
    try:
        with open_video(str(path)) as container:
            if not container.streams.video:
                raise DecodeError(path, "has no video stream")
            stream = container.streams.video[0]
            packets = [packet for packet in container.demux(stream) if packet.size]
            if last >= len(packets):
                raise DecodeError(path, f"frame {last} is past its end ({len(packets)} frames)")
            # FFmpeg makes times up where AVI has none; with B-frames they are wrong.
            made_up = container.format.name == "avi" and stream.codec_context.has_b_frames
            times = {packet.pts for packet in packets}
            damaged = any(packet.is_corrupt for packet in packets)
            return not (made_up or damaged or None in times) and len(times) == len(packets)
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, DecodeError):
            raise
        raise DecodeError(path, _reason(error)) from error


def _decord(source: Source, wanted: Sequence[int]) -> Iterator[Frame]:
    decord = importlib.import_module("decord")
    decord.logging.set_level(decord.logging.QUIET)
    reader = decord.VideoReader(source, num_threads=1)
    for index in wanted:
        frame = reader[index].asnumpy()
        if frame.shape[2] != 3:  # at widths of 16, 24, 48 and 72 it takes the padding of a row for channels
            raise ValueError(f"decord gives {frame.shape[2]} channels")
        yield frame


def _torchcodec(source: Source, wanted: Sequence[int]) -> Iterator[Frame]:
    decoders = importlib.import_module("torchcodec.decoders")
    reader = decoders.VideoDecoder(source, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
    for index in wanted:
        yield reader.get_frame_at(index).data.numpy()


def _pyav(source: Source, wanted: Sequence[int]) -> Iterator[Frame]:
    """Decodes from the start and seeks nowhere, so it needs no times."""
    waiting = list(reversed(wanted))
    with open_video(source) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for index, picture in enumerate(container.decode(stream)):
            if index == waiting[-1]:
                yield _rgb(picture)
                waiting.pop()
                if not waiting:
                    return


def _rgb(picture: av.VideoFrame) -> Frame:
    upright = np.rot90(picture.to_ndarray(format="rgb24"), k=round(picture.rotation / 90))
    return np.ascontiguousarray(upright)


def _sample() -> bytes:
    """A video file of one black frame."""
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return file.getvalue()


def _reason(error: Exception) -> str:
    """What went wrong, in one line; decord's messages carry a stack trace."""
    if isinstance(error, av.FFmpegError):
        return error.strerror or type(error).__name__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


# Sought by name in ClipSpec.decoder; the first that works among decord and pyav is the default.
BACKENDS: dict[str, Backend] = {
    "decord": Backend("decord", _decord),
    "torchcodec": Backend("torchcodec", _torchcodec),
    "pyav": Backend("av", _pyav),
}

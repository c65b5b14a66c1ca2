"""Small video files, good and bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from actrec.seeding import numpy_rng

Video = Callable[..., Path]


@pytest.fixture(scope="session")
def video() -> Video:
    """Writes a video of noise, another for each name; the suffix of its path chooses the format."""

    def write(path: Path, frames: int = 12, height: int = 32, width: int = 48) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = numpy_rng(0, "video", path.parent.name, path.name, frames, height, width)
        with av.open(str(path), "w") as container:
            if path.suffix == ".avi":
                stream = container.add_stream("mpeg4", rate=25, pix_fmt="yuv420p")
            else:
                stream = container.add_stream("libx264", rate=25, pix_fmt="yuv444p")  # takes odd sizes
            stream.width, stream.height, stream.thread_count = width, height, 1
            for _ in range(frames):
                picture = rng.integers(0, 256, size=(height, width, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


def _truncated(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def _hole(whole: bytes) -> bytes:
    """The frames' middle third zeroed; header and index are as they were."""
    third = len(whole) // 3
    return whole[:third] + bytes(third) + whole[2 * third :]


BROKEN: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    # name → suffix, what is done to a good file, the reason to expect
    "empty": (".avi", lambda whole: b"", "empty file"),
    "text": (".mp4", lambda whole: b"this is not a video\n" * 200, "Invalid data"),
    "text_avi": (".avi", lambda whole: b"this is not a video\n" * 200, "Invalid data"),
    "noise": (".avi", lambda whole: numpy_rng(0, "noise").bytes(50_000), "Invalid data"),
    "truncated": (".avi", _truncated, r"\d+ of 60 frames decode"),
    "truncated_mp4": (".mp4", _truncated, "Invalid data"),  # its index, at the end, is gone
    "header_alone": (".avi", lambda whole: whole[:4000], "Invalid data"),
    "hole": (".avi", _hole, r"\d+ of 60 frames decode"),
    "hole_mp4": (".mp4", _hole, r"\d+ of 60 frames decode"),
    # FFmpeg knows playlists by content, whatever their name; they may not make it open anything remote.
    "playlist": (
        ".avi",
        lambda whole: b"ffconcat version 1.0\nfile http://192.0.2.1/a.ts\n",
        "not permitted",
    ),
}


@pytest.fixture(scope="session")
def broken_videos(tmp_path_factory: pytest.TempPathFactory, video: Video) -> dict[str, tuple[Path, str]]:
    """Name → (file that must not be believed, what its reason must hold)."""
    folder = tmp_path_factory.mktemp("broken")
    whole = {
        suffix: video(folder / f"whole{suffix}", frames=60, height=64, width=64).read_bytes()
        for suffix in (".avi", ".mp4")
    }
    files = {}
    for name, (suffix, change, reason) in BROKEN.items():
        path = folder / f"{name}{suffix}"
        path.write_bytes(change(whole.get(suffix, b"")))
        files[name] = (path, reason)
    return files


@pytest.fixture(params=BROKEN)
def broken_video(
    request: pytest.FixtureRequest, broken_videos: dict[str, tuple[Path, str]]
) -> tuple[Path, str]:
    """Each of ``broken_videos`` in turn."""
    return broken_videos[request.param]

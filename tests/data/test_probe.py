from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from actrec.data.probe import WHOLE, Probe, probe
from actrec.errors import DecodeError

Video = Callable[..., Path]
Broken = dict[str, tuple[Path, str]]


@pytest.mark.parametrize(
    ("name", "frames", "height", "width"),
    [
        ("a.avi", 12, 32, 48),
        ("a.mp4", 12, 32, 48),
        ("one.avi", 1, 32, 32),
        ("one.mp4", 1, 32, 32),
        ("odd.avi", 9, 33, 47),
        ("odd.mp4", 9, 33, 47),
        ("Händeschütteln ролик.mkv", 5, 32, 32),
    ],
)
def test_good_files(tmp_path: Path, video: Video, name: str, frames: int, height: int, width: int) -> None:
    found = probe(video(tmp_path / name, frames=frames, height=height, width=width))
    assert found == Probe(frames, 25.0, width, height, frames / 25)


def test_broken_files(broken_video: tuple[Path, str]) -> None:
    path, reason = broken_video
    with pytest.raises(DecodeError, match=reason) as caught:
        probe(path)
    assert caught.value.path == path
    assert str(path) not in caught.value.why


def test_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.avi")
    (tmp_path / "folder.avi").mkdir()
    for name, why in {
        "absent.avi": "missing file",
        "pipe.avi": "not a reg",
        "folder.avi": "not a reg",
    }.items():
        with pytest.raises(DecodeError, match=why):
            probe(tmp_path / name)


def test_sound_alone(tmp_path: Path) -> None:
    path = tmp_path / "sound.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(DecodeError, match="holds no video"):
        probe(path)


def test_short_of_a_few_frames_is_believed_for_those_it_has(tmp_path: Path, video: Video) -> None:
    whole = video(tmp_path / "whole.avi", frames=60, height=64, width=64).read_bytes()
    (tmp_path / "short.avi").write_bytes(whole[: int(len(whole) * 0.95)])
    assert WHOLE * 60 <= probe(tmp_path / "short.avi").num_frames < 60


def test_says_nothing(broken_videos: Broken) -> None:
    paths = [str(path) for path, _ in broken_videos.values()]
    script = (
        "import sys, contextlib\nfrom actrec.data.probe import probe\nfrom actrec.errors import DecodeError\n"
        "for path in sys.argv[1:]:\n    with contextlib.suppress(DecodeError):\n        probe(path)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("R6llTwEh07w.mp4", Probe(303, 30.0, 340, 256, 10.1)),
        # 73 packets, of which one only repeats a picture (DivX with packed B-frames).
        ("RATRACE_wave_f_nm_np1_fr_goo_37.avi", Probe(72, 30.0, 560, 240, 2.4)),
        # Its metadata is not valid UTF-8.
        ("hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi", Probe(83, 30.0, 320, 240, 83 / 30)),
    ],
)
def test_real_files(shared_data: Path, name: str, expected: Probe) -> None:
    assert probe(shared_data / "clips" / name) == expected

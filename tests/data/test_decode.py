"""Decoding: the same frames from every decoder, and every bad file a DecodeError."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from actrec.data import decode as module
from actrec.data.decode import BACKENDS, available, decode, resize, resolve
from actrec.data.probe import Source, open_video
from actrec.errors import DecodeError, SpecError
from actrec.seeding import numpy_rng

TOLERANCE = 2  # levels of 255, between decoders

Frames = npt.NDArray[np.uint8]


def pictures(count: int, height: int, width: int) -> Frames:
    """Frame i is a ramp shifted by 5 i pixels; six fields along its top spell i in binary."""
    ramp = np.linspace(40, 200, width)
    frames = np.stack([np.tile(np.roll(ramp, 5 * i)[None, :, None], (height, 1, 3)) for i in range(count)])
    bits = np.arange(count)[:, None] >> np.arange(6) & 1
    fields = np.repeat(30 + 190 * bits, -(-width // 6), axis=1)[:, :width]
    frames[:, : height // 4] = fields[:, None, :, None]
    return frames.astype(np.uint8)


def numbers(frames: Frames) -> list[int]:
    """What the fields of (T, H, W, 3) say."""
    height, width = frames.shape[1:3]
    middles = (np.arange(6) + 0.5) * -(-width // 6)
    bright = frames[:, height // 8, middles.astype(int), 1] > 125
    return [int(number) for number in bright @ (1 << np.arange(6))]


def write(path: Path, frames: Frames, codec: str, **options: str) -> Path:
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as out:
        stream = out.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def mp4(folder: Path) -> Path:
    """H.264 with B-frames and one key frame in 60; its index lies before its frames."""
    return write(folder / "good.mp4", pictures(60, 132, 176), "libx264", g="60", bf="3")


@pytest.fixture(scope="module")
def avi(folder: Path) -> Path:
    return write(folder / "good.avi", pictures(40, 132, 176), "mpeg4", g="12")


@pytest.fixture(params=sorted(BACKENDS))
def decoder(request: pytest.FixtureRequest) -> str:
    if request.param not in available():
        pytest.skip(f"{request.param} does not work here")
    return str(request.param)


def whole(path: Path) -> Frames:
    """Every frame, by PyAV, in the order in which it decodes them."""
    with open_video(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def apart(first: Frames, second: Frames) -> int:
    assert first.shape == second.shape
    return int(np.abs(first.astype(int) - second).max())


def test_frames_are_the_ones_that_were_encoded(mp4: Path, avi: Path, decoder: str) -> None:
    for path, count in ((mp4, 60), (avi, 40)):
        frames = decode(path, np.arange(count)[None], (132, 176), decoder=decoder)
        assert numbers(frames[0]) == list(range(count))


def test_order_repeats_and_shape(mp4: Path, decoder: str) -> None:
    indices = np.array([[50, 3, 3, 17], [0, 50, 59, 0]])
    frames = decode(mp4, indices, (132, 176), decoder=decoder)
    assert frames.shape == (2, 4, 132, 176, 3)
    assert frames.dtype == np.uint8
    assert apart(frames, whole(mp4)[indices]) <= TOLERANCE


CLIPS = (
    "R6llTwEh07w.mp4",
    "RATRACE_wave_f_nm_np1_fr_goo_37.avi",
    "SOX5yA1l24A.mp4",
    "SchoolRulesHowTheyHelpUs_wave_f_nm_np1_ba_med_0.avi",
    "TrumanShow_wave_f_nm_np1_fr_med_26.avi",
    "WUzgd7C1pWA.mp4",
    "basketball.mp4",
    "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi",
    "v_SoccerJuggling_g23_c01.avi",
    "v_SoccerJuggling_g24_c01.avi",
)


@pytest.mark.parametrize("name", CLIPS)
def test_real_clips_are_frame_exact(shared_data: Path, name: str) -> None:
    path = shared_data / "clips" / name
    every = whole(path)
    size = (every.shape[1], every.shape[2])
    # Sparse and unordered, so that a decoder must seek; the first and the last frame are in it.
    indices = numpy_rng(0, name).permutation(np.unique(np.linspace(0, len(every) - 1, 13).astype(np.int64)))[
        None
    ]
    for decoder in available():
        assert apart(decode(path, indices, size, decoder=decoder)[0], every[indices[0]]) <= TOLERANCE, decoder


def test_ut_interaction_is_frame_exact(shared_data: Path) -> None:
    for path in sorted((shared_data / "ut_interaction").glob("*/*.avi"))[::13]:
        every = whole(path)
        indices = np.array([[len(every) - 1, 1, len(every) // 2, len(every) // 3]])
        frames = decode(path, indices, (every.shape[1], every.shape[2]))
        assert apart(frames[0], every[indices[0]]) <= TOLERANCE, path.name


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied(folder: Path, mp4: Path, decoder: str, degrees: int) -> None:
    # A telephone's video: the track header's matrix, 16.16 fixed point, is 40 bytes behind its version.
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    content = bytearray(mp4.read_bytes())
    matrix = content.index(b"tkhd") + 44
    one = 1 << 16
    struct.pack_into(">5i", content, matrix, cosine * one, sine * one, 0, -sine * one, cosine * one)
    path = folder / f"turned{degrees}.mp4"
    path.write_bytes(content)
    upright = np.rot90(whole(mp4)[[7, 30]], k=-degrees // 90, axes=(1, 2))
    size = (upright.shape[1], upright.shape[2])
    assert apart(decode(path, np.array([[7, 30]]), size, decoder=decoder)[0], upright) <= TOLERANCE


@pytest.mark.parametrize("width", [16, 24, 40, 48, 72, 130, 175])
def test_widths_that_are_hard_on_decoders(folder: Path, decoder: str, width: int) -> None:
    codec, suffix = ("mpeg4", "avi") if width % 2 else ("libx264", "mp4")
    height = 131 if width % 2 else 34
    path = write(folder / f"wide{width}.{suffix}", pictures(6, height, width), codec)
    frames = decode(path, np.array([[0, 5]]), (height, width), decoder=decoder)
    assert apart(frames[0], whole(path)[[0, 5]]) <= TOLERANCE


def test_one_frame(folder: Path, decoder: str) -> None:
    for suffix, codec in (("mp4", "libx264"), ("avi", "mpeg4")):
        path = write(folder / f"one.{suffix}", pictures(1, 64, 64), codec)
        frames = decode(path, np.zeros((1, 8), np.int64), (32, 32), decoder=decoder)
        assert frames.shape == (1, 8, 32, 32, 3)
        assert (frames == frames[:, :1]).all()
        with pytest.raises(DecodeError, match=r"frame 1 is past its end \(1 frames\)"):
            decode(path, np.array([[0, 1]]), (32, 32), decoder=decoder)


# Bad files: each is made of a good mp4 and a good avi of 60 and 40 frames.


def audio_only() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        sound.rate = 16000
        out.mux([*stream.encode(sound), *stream.encode()])
    return file.getvalue()


def no_frames() -> bytes:
    """A file with a video stream in its header and not one packet."""
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as out:
        stream = out.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        out.start_encoding()
    return file.getvalue()


def zeroed(content: bytes, start: float, end: float) -> bytes:
    first, last = int(len(content) * start), int(len(content) * end)
    return content[:first] + bytes(last - first) + content[last:]


BAD: dict[str, Callable[[bytes, bytes], bytes]] = {
    "empty.mp4": lambda mp4, avi: b"",
    "empty.avi": lambda mp4, avi: b"",
    "text.mp4": lambda mp4, avi: b"not a video\n" * 100,
    "text.avi": lambda mp4, avi: b"not a video\n" * 100,
    "random.mp4": lambda mp4, avi: numpy_rng(0).bytes(5000),
    "playlist.mp4": lambda mp4, avi: (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"
    ),
    "audio.mp4": lambda mp4, avi: audio_only(),
    "no_frames.avi": lambda mp4, avi: no_frames(),
    "header_only.mp4": lambda mp4, avi: mp4[:200],
    "header_only.avi": lambda mp4, avi: avi[:200],
    "truncated.mp4": lambda mp4, avi: mp4[: len(mp4) // 2],
    "truncated.avi": lambda mp4, avi: avi[: len(avi) * 2 // 3],
    "moov_broken.mp4": lambda mp4, avi: mp4.replace(b"stsz", b"junk"),
    "zeroed.mp4": lambda mp4, avi: zeroed(mp4, 0.0, 0.9),
    "zeroed.avi": lambda mp4, avi: zeroed(avi, 0.0, 0.9),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_file_is_a_decode_error(
    folder: Path, mp4: Path, avi: Path, decoder: str, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = folder / name
    path.write_bytes(BAD[name](mp4.read_bytes(), avi.read_bytes()))
    # Frame 39 exists in either good file.
    with pytest.raises(DecodeError) as caught:
        decode(path, np.array([[0, 39]]), (32, 32), decoder=decoder)
    assert caught.value.path == path
    assert caught.value.why
    assert "\n" not in str(caught.value)
    assert "0x" not in caught.value.why  # a stack trace
    assert capfd.readouterr().err == ""  # decoders write there from native code


def test_missing_file_and_folder(folder: Path, decoder: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DecodeError, match="no such file"):
        decode(folder / "absent.mp4", np.zeros((1, 1), np.int64), (8, 8), decoder=decoder)
    with pytest.raises(DecodeError, match="not a regular file"):
        decode(folder, np.zeros((1, 1), np.int64), (8, 8), decoder=decoder)
    assert capfd.readouterr().err == ""


def test_indices_past_the_end(mp4: Path, decoder: str) -> None:
    with pytest.raises(DecodeError, match=r"frame 60 is past its end \(60 frames\)"):
        decode(mp4, np.array([[0, 60]]), (8, 8), decoder=decoder)


def test_what_is_before_the_damage_decodes(folder: Path, mp4: Path, avi: Path, decoder: str) -> None:
    for good, kept in ((mp4, 0.7), (avi, 0.8)):
        content = good.read_bytes()
        path = folder / f"cut_{good.name}"
        path.write_bytes(content[: int(len(content) * kept)])
        frames = decode(path, np.array([[0, 4]]), (132, 176), decoder=decoder)
        assert apart(frames[0], whole(good)[[0, 4]]) <= TOLERANCE


def test_behind_damage_a_frame_is_right_or_an_error(folder: Path, mp4: Path, decoder: str) -> None:
    content = mp4.read_bytes()
    middle = len(content) // 2
    path = folder / "hole.mp4"
    path.write_bytes(content[:middle] + b"\xff" * 60 + content[middle + 60 :])
    failed = 0
    for index in range(60):
        try:
            frames = decode(path, np.array([[index]]), (132, 176), decoder=decoder)
        except DecodeError:
            failed += 1
        else:
            assert numbers(frames[0]) == [index]
    assert 0 < failed < 60


@pytest.mark.parametrize("indices", [[[]], [[-1, 0]], [0, 1]])
def test_wrong_indices(mp4: Path, indices: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="indices must be"):
        decode(mp4, np.array(indices, dtype=np.int64), (8, 8))


def test_resolve() -> None:
    assert resolve()[0] == ("decord" if "decord" in available() else "pyav")
    assert resolve("pyav") == ("pyav", av.__version__)
    with pytest.raises(SpecError, match=r"unknown decoder 'decrod'; did you mean 'decord'\?"):
        resolve("decrod")


def test_a_decoder_that_does_not_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(source: Source, wanted: object) -> None:
        raise OSError("libavcodec.so.60 is not there")

    # With the package of PyAV, so that it would have a version.
    monkeypatch.setitem(BACKENDS, "torchcodec", module.Backend("av", broken))  # type: ignore[arg-type]
    available.cache_clear()
    try:
        assert "torchcodec" not in available()
        with pytest.raises(SpecError, match=r"clip.decoder='torchcodec'.*works: .*pyav"):
            resolve("torchcodec")
    finally:
        available.cache_clear()


def test_resize_agrees_with_pillow() -> None:
    frame = numpy_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    for height, width in ((56, 56), (32, 48), (200, 240), (120, 160)):
        reference = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))
        assert apart(resize(frame, (height, width)), reference) <= 1


def test_crop_takes_the_centre_at_the_shape_of_the_target() -> None:
    # 40×80 to 10×10: the central 40×40, which is white; the rest is black.
    frame = np.zeros((40, 80, 3), np.uint8)
    frame[:, 20:60] = 255
    assert (resize(frame, (10, 10), "crop") == 255).all()
    # 80×40 to 10×20: the central 20×40.
    tall = np.zeros((80, 40, 3), np.uint8)
    tall[30:50] = 255
    assert (resize(tall, (10, 20), "crop") == 255).all()
    assert not (resize(tall, (10, 20)) == 255).all()


def test_crop_of_a_video(mp4: Path) -> None:
    frames = decode(mp4, np.array([[10]]), (66, 66), fit="crop")
    square = whole(mp4)[10, :, 22:154]  # 132 of 176 columns
    assert apart(frames[0, 0], resize(square, (66, 66))) <= TOLERANCE

"""Near-duplicates by perceptual hash: copies are found, other videos of one scene are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from scipy.fft import dct

from actrec.data import duplicates, synthetic
from actrec.data.checks import strings
from actrec.data.duplicates import FRAMES, NEAR, find, hash_video, near_pairs, noted
from actrec.data.manifest import Manifest
from actrec.data.probe import open_video
from actrec.errors import DecodeError
from actrec.seeding import numpy_rng

Pictures = list[npt.NDArray[Any]]
Video = Callable[..., Path]


def read(path: Path) -> Pictures:
    with open_video(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def write(path: Path, pictures: Pictures, codec: str, **options: str) -> Path:
    height, width = (side - side % 2 for side in pictures[0].shape[:2])
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = width, height, "yuv420p", 1
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copies(pictures: Pictures, folder: Path) -> Iterator[Path]:
    """What people do to a video that they put on the web again."""
    yield write(folder / "worse.mp4", pictures, "libx264", crf="32")
    yield write(folder / "half.avi", [picture[::2, ::2] for picture in pictures], "mpeg4", qscale="8")
    brighter = [np.clip(picture * 1.15 + 8, 0, 255).astype(np.uint8) for picture in pictures]
    yield write(folder / "brighter.mp4", brighter, "libx264", crf="26")
    yield write(folder / "slower.mp4", pictures[::2], "libx264", crf="26")


def bits(one: npt.NDArray[np.uint64], other: npt.NDArray[np.uint64]) -> float:
    return float(np.bitwise_count(one ^ other).sum()) / FRAMES


def test_copies_are_near_and_others_are_not(shared_data: Path, tmp_path: Path) -> None:
    files = [
        shared_data / "clips" / "v_SoccerJuggling_g23_c01.avi",
        shared_data / "clips" / "v_SoccerJuggling_g24_c01.avi",
        shared_data / "clips" / "TrumanShow_wave_f_nm_np1_fr_med_26.avi",
    ]
    pictures = [read(file)[:48] for file in files]
    good = [
        write(tmp_path / f"{file.stem}.mp4", shown, "libx264", crf="10")
        for file, shown in zip(files, pictures, strict=True)
    ]
    hashes = [hash_video(file, 48) for file in good]
    for own, shown in zip(hashes, pictures, strict=True):
        for copy in copies(shown, tmp_path):
            assert bits(own, hash_video(copy, len(read(copy)))) <= NEAR, copy.name
    assert min(bits(hashes[0], hashes[1]), bits(hashes[0], hashes[2]), bits(hashes[1], hashes[2])) > 2 * NEAR


def test_the_hash_is_that_of_its_definition(video: Video, tmp_path: Path) -> None:
    """Two one-dimensional DCTs, of luma at the size of the hash, above the median of all but the first."""
    path = video(tmp_path / "a.mp4", frames=8, height=32, width=32)
    luma = read(path)[1].astype(np.float64) @ [
        0.299,
        0.587,
        0.114,
    ]  # 8 frames: quarters' centres are 1, 3, 5, 7
    low = dct(dct(luma, axis=0, norm="ortho"), axis=1, norm="ortho")[:8, :8].ravel()
    expected = (low > np.median(low[1:])).astype(np.uint8)
    found = np.unpackbits(hash_video(path, 8)[:1].view(np.uint8))
    assert (found != expected).sum() == 0
    with pytest.raises(DecodeError, match="no such file"):
        hash_video(tmp_path / "absent.mp4", 8)


def test_pairs_are_all_pairs_within_the_threshold() -> None:
    """More hashes than a block, one video's bits flipped at every distance about the threshold."""
    hashes = numpy_rng(0, "test").integers(0, 2**64, (700, FRAMES), dtype=np.uint64)
    for row, flipped in ((3, 0), (255, NEAR * FRAMES), (256, NEAR * FRAMES + 1), (699, 1)):
        mask = np.packbits(np.arange(64 * FRAMES) < flipped).view(np.uint64)
        hashes[row] = hashes[100] ^ mask
    found = sorted(near_pairs(hashes))
    near = {(3, 100): 0.0, (100, 255): 8.0, (3, 255): 8.0, (100, 699): 0.25, (3, 699): 0.25, (255, 699): 7.75}
    # 256 differs from 100 by 33 bits, and from 699 and 255 by one fewer and one bit: both of those are near.
    near |= {(256, 699): 8.0, (255, 256): 0.25}
    assert found == sorted((one, other, distance) for (one, other), distance in near.items())


@pytest.fixture
def copied(tmp_path: Path) -> tuple[Path, Manifest]:
    """40 built-in videos and a copy of a training video in the test split, in a group of its own."""
    path = synthetic.build(tmp_path, videos=40, size=32, frames=(6, 8))
    made = Manifest.read(path)
    rows = made.table.to_pylist()
    train = next(row for row in rows if row["split"] == "train")
    test = next(row for row in rows if row["split"] == "test")
    (made.root / test["path"]).write_bytes((made.root / train["path"]).read_bytes())
    test["num_frames"] = train["num_frames"]
    table = pa.Table.from_pylist(rows, schema=made.table.schema)
    manifest = Manifest(made.root, table, made.layout, made.cut)
    manifest.write(path)
    return path, manifest


def test_a_copy_across_splits_is_found_and_noted(copied: tuple[Path, Manifest]) -> None:
    path, manifest = copied
    assert noted(path, manifest.digest) is None
    done: list[int] = []
    (pair,) = find(manifest, path, done.append)
    assert (sorted(pair.splits), pair.bits) == (["test", "train"], 0.0)
    assert done == list(range(1, 41))
    assert noted(path, manifest.digest) == [pair]
    assert noted(path, "another") is None


def test_hashes_are_kept_until_a_file_changes(
    copied: tuple[Path, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, manifest = copied
    first = find(manifest, path)
    hashed: list[str] = []
    real = duplicates.hash_video

    def counting(file: str | Path, num_frames: int) -> npt.NDArray[np.uint64]:
        hashed.append(str(file))
        return real(file, num_frames)

    monkeypatch.setattr(duplicates, "hash_video", counting)
    assert find(manifest, path) == first
    assert hashed == []
    changed = manifest.root / strings(manifest.table, "path")[5]
    changed.write_bytes(changed.read_bytes() + bytes(8))
    assert find(manifest, path) == first
    assert hashed == [str(changed)]


def test_a_video_that_does_not_decode_and_a_folder_that_cannot_be_written(
    copied: tuple[Path, Manifest], tmp_path: Path
) -> None:
    path, manifest = copied
    for name in strings(manifest.table, "path")[:3]:
        (manifest.root / name).write_text("not a video")
    (tmp_path / "file").touch()
    nowhere = tmp_path / "file" / "m.parquet"  # a file where its folder should be
    assert len(find(manifest, path)) <= 1
    assert find(manifest, nowhere) == find(manifest, path)
    path.with_name("manifest.hashes.parquet").write_bytes(b"damaged")
    path.with_name("manifest.duplicates.json").write_text('{"digest"')
    assert noted(path, manifest.digest) is None
    assert find(manifest, path) == noted(path, manifest.digest)

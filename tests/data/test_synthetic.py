"""The built-in data set: what it is made of, and the truths that a study must find in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from actrec.data.clips import clip_indices
from actrec.data.decode import available, decode
from actrec.data.manifest import Manifest
from actrec.data.motions import MOTIONS, render, scene
from actrec.data.probe import probe
from actrec.data.synthetic import IMBALANCE, build, long_tail
from actrec.errors import DataError
from actrec.seeding import numpy_rng
from actrec.spec import ClipSpec

Floats = npt.NDArray[np.float64]
SMALL = 60


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The set as every study uses it."""
    return Manifest.read(build(tmp_path_factory.mktemp("default")))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("small"), videos=SMALL)


def rows(manifest: Manifest, split: str | None = None) -> list[dict[str, Any]]:
    return [row for row in manifest.table.to_pylist() if split in (None, row["split"])]


def content(manifest: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (manifest.parent / "videos").iterdir()}


def test_splits_and_class_sizes(manifest: Manifest) -> None:
    assert manifest.class_names == tuple(MOTIONS)
    assert len(rows(manifest)) == 400
    sizes = {
        split: [sum(row["label"] == label for row in rows(manifest, split)) for label in range(10)]
        for split in ("train", "val", "test")
    }
    assert sizes["val"] == [6] * 10
    assert sizes["test"] == [12] * 10
    assert sizes["train"] == long_tail(220, 10)


def test_a_long_tail_worked_out_by_hand() -> None:
    # Over three classes the sizes go as 1 : 5^-½ : 5^-1 = 1 : 0.4472 : 0.2, which sum to 1.6472. Of 103, one
    # is each class's own; 100 are cut at 60.71 and 87.86, rounded to 61 and 88.
    assert IMBALANCE == 5
    assert long_tail(103, 3) == [1 + 61, 1 + 27, 1 + 12]


@pytest.mark.parametrize("total", [20, 37, 220, 1000])
def test_a_long_tail_is_exact_and_falls(total: int) -> None:
    sizes = long_tail(total, 10)
    assert sum(sizes) == total
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) >= 1


def test_groups_lie_within_one_split_and_hold_several_classes(manifest: Manifest) -> None:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows(manifest):
        groups.setdefault(row["group"], []).append(row)
    for members in groups.values():
        assert len({row["split"] for row in members}) == 1
        assert len({row["class_name"] for row in members}) >= 5


def test_files_are_what_the_manifest_says(manifest: Manifest) -> None:
    codecs = {}
    for row in rows(manifest)[::7]:
        path = manifest.root / row["path"]
        found = probe(path)
        assert (found.num_frames, found.fps) == (row["num_frames"], row["fps"])
        assert (found.width, found.height, found.seconds) == (row["width"], row["height"], row["seconds"])
        with av.open(str(path)) as container:
            codecs[path.suffix] = container.streams.video[0].codec_context.name
    assert codecs == {".mp4": "h264", ".avi": "mpeg4"}


def test_every_decoder_reads_them_alike(manifest: Manifest) -> None:
    for row in rows(manifest)[::40]:
        indices = np.arange(row["num_frames"])[None]
        path, size = manifest.root / row["path"], (row["height"], row["width"])
        first, *others = (decode(path, indices, size, decoder=name) for name in available())
        assert first.shape == (1, row["num_frames"], *size, 3)
        for other in others:
            assert np.abs(first.astype(int) - other).max() <= 2


def test_the_same_bytes_again_and_others_with_another_seed(small: Path, tmp_path: Path) -> None:
    again, other = build(tmp_path / "again", videos=SMALL), build(tmp_path, videos=SMALL, seed=1)
    assert content(again) == content(small)
    assert Manifest.read(again).digest == Manifest.read(small).digest
    assert Manifest.read(other).digest != Manifest.read(small).digest
    assert not set(content(other).values()) & set(content(small).values())


def test_a_second_call_makes_nothing(small: Path) -> None:
    root = small.parent.parent
    files = [root, *root.rglob("*")]
    before = {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}
    assert len(before) == SMALL + 4  # the root, the set's folder, its videos' folder, the manifest
    assert build(root, videos=SMALL) == small
    assert {
        file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in [root, *root.rglob("*")]
    } == before


def test_the_cache_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTREC_CACHE", str(tmp_path))
    assert build(videos=40).is_relative_to(tmp_path)


def test_a_killed_build_leaves_nothing_that_counts(small: Path, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from actrec.data import synthetic\n"
        "encode = synthetic._encode\n"
        "def dying(path, pictures):\n"
        "    if len(list(path.parent.iterdir())) == 30: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    encode(path, pictures)\n"
        "synthetic._encode = dying\n"
        f"synthetic.build(Path(sys.argv[1]), videos={SMALL})\n"
    )
    died = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=120)
    assert died.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".synthetic*/videos/*"))) == 30
    assert not list(tmp_path.glob("synthetic*"))
    (left,) = tmp_path.glob(".synthetic*")
    assert content(build(tmp_path, videos=SMALL)) == content(small)
    assert left.exists(), "it could be that of a build that still runs"
    os.utime(left, (0, 0))
    build(tmp_path, videos=40)
    assert not left.exists()


def test_two_at_once_end_with_one_set(tmp_path: Path, small: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: build(tmp_path, videos=SMALL), range(2))
    assert first == second
    assert content(first) == content(small)
    assert list(tmp_path.iterdir()) == [first.parent]


def test_a_folder_without_its_manifest_is_an_error_that_names_it(tmp_path: Path) -> None:
    folder = build(tmp_path, videos=40).parent
    (folder / "manifest.parquet").unlink()
    with pytest.raises(DataError, match=folder.name):
        build(tmp_path, videos=40)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be made"):
        build(tmp_path / "file", videos=40)


@pytest.mark.parametrize("wrong", [{"videos": 39}, {"size": 41}, {"size": 8}, {"frames": (9, 8)}])
def test_wrong_values(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"{next(iter(wrong))}="):
        build(tmp_path, **wrong)
    assert not os.listdir(tmp_path)


# The truths.


def bright(frames: npt.NDArray[np.uint8]) -> Floats:
    """(T, H, W): how far each pixel is above the middle between the background and the brightest."""
    grey: Floats = frames.mean(-1)
    background, brightest = np.median(grey, (1, 2), keepdims=True), grey.max((1, 2), keepdims=True)
    above: Floats = np.maximum(grey - (background + brightest) / 2, 0)
    return above


def centroids(weight: Floats) -> Floats:
    """(T, 2): x and y, in pixels."""
    total = weight.sum((1, 2))
    down, across = np.indices(weight.shape[1:])
    return np.stack([(weight * axis).sum((1, 2)) / total for axis in (across, down)], 1)


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_motion_is_what_its_name_says(motion: str) -> None:
    disc = np.hypot(*(np.indices((8, 8)) - 3.5)) < 3
    for seed in range(20):
        rng = numpy_rng(seed, motion)
        frames = render(scene(disc.astype(float), 64, rng), motion, 24, 64, rng)
        weight = bright(frames)
        where = centroids(weight)
        moved = where[-1] - where[0]
        swept = where - where.mean(0)
        area = (swept[:-1, 0] * swept[1:, 1] - swept[:-1, 1] * swept[1:, 0]).sum() / 2
        grown = weight[-4:].sum() / weight[:4].sum()
        spread = where.std(0)
        # y points down, so turning clockwise sweeps a positive area: right (1, 0), then down (0, 1).
        assert {
            "right": moved[0] > 8,
            "left": moved[0] < -8,
            "down": moved[1] > 8,
            "up": moved[1] < -8,
            "clockwise": area > 50,
            "counter_clockwise": area < -50,
            "approach": grown > 1.3,
            "recede": grown < 1 / 1.3,
            "bounce": spread[1] > 3 * spread[0] and abs(moved[1]) < 24,
            "shake": spread[0] > 3 * spread[1] and abs(moved[0]) < 24,
        }[motion]


def test_displacement_tells_left_from_right_in_the_files(manifest: Manifest) -> None:
    for row in rows(manifest, "test"):
        if row["class_name"] in ("left", "right"):
            indices = np.array([[0, row["num_frames"] - 1]])
            frames = decode(manifest.root / row["path"], indices, (40, 40))[0]
            first, last = centroids(bright(frames))[:, 0]
            assert (last > first) == (row["class_name"] == "right"), row["video_id"]


def test_the_middle_frame_says_nothing(manifest: Manifest) -> None:
    spec = ClipSpec(sampling="middle")

    def frames(split: str) -> tuple[Floats, npt.NDArray[np.int64]]:
        chosen = rows(manifest, split)
        pixels = [
            decode(manifest.root / row["path"], clip_indices(row["num_frames"], spec), (16, 16))
            for row in chosen
        ]
        return np.stack(pixels).reshape(len(chosen), -1) / 255.0, np.array([row["label"] for row in chosen])

    train, test = frames("train"), frames("test")
    # Chance is 0.10 ± 0.027 (one standard deviation, 120 videos).
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    for model in (linear, make_pipeline(StandardScaler(), NearestCentroid())):
        assert model.fit(*train).score(*test) <= 0.2

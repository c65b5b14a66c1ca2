from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actrec.data.build import build_manifest, list_videos
from actrec.data.checks import SCHEMA
from actrec.data.manifest import Manifest
from actrec.data.probe import Probe
from actrec.errors import ManifestError, SpecError
from actrec.spec import DataSpec

GOOD = Probe(num_frames=10, fps=5.0, width=4, height=3, seconds=2.0)


def columns(classes: int = 2, each: int = 10) -> dict[str, list[Any]]:
    """``each`` videos a class: the first is val, the second test, the third unreadable, all others train."""
    rows = [(label, number) for label in range(classes) for number in range(each)]
    split = {0: "val", 1: "test"}
    broken = [number == 2 for _, number in rows]
    return {
        "video_id": [f"class {label}/{number}" for label, number in rows],
        "path": [f"class {label}/{number}.avi" for label, number in rows],
        "label": [label for label, _ in rows],
        "class_name": [f"class {label}" for label, _ in rows],
        "group": [f"{number}" for _, number in rows],
        "split": [split.get(number, "train") for _, number in rows],
        "num_frames": [0 if bad else 10 for bad in broken],
        "fps": [0.0 if bad else 5.0 for bad in broken],
        "width": [0 if bad else 4 for bad in broken],
        "height": [0 if bad else 3 for bad in broken],
        "seconds": [0.0 if bad else 2.0 for bad in broken],
        "status": ["unreadable" if bad else "ok" for bad in broken],
        "reason": ["empty file" if bad else "" for bad in broken],
    }


def manifest(
    root: Path, changes: Mapping[str, list[Any]] | None = None, cut: tuple[str, ...] = ("val", "test")
) -> Manifest:
    return Manifest.from_columns(root, {**columns(), **(changes or {})}, layout="folder", cut=cut)


def changed(name: str, row: int, value: Any) -> dict[str, list[Any]]:
    """One column with one value of it replaced."""
    values = columns()[name]
    values[row] = value
    return {name: values}


class TestFile:
    def test_round_trip(self, tmp_path: Path) -> None:
        written = manifest(tmp_path / "videos", cut=("val",))
        written.write(tmp_path / "new folder" / "m.parquet")
        read = Manifest.read(tmp_path / "new folder" / "m.parquet")
        assert read.table.equals(written.table)
        assert (read.root, read.layout, read.cut) == (written.root, "folder", ("val",))
        assert read.table.schema.names == SCHEMA.names
        assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["m.parquet"]

    @pytest.mark.parametrize("place", ["m.parquet", "videos/m.parquet", "videos/deep/er/m.parquet"])
    def test_moves_with_its_videos(self, tmp_path: Path, place: str) -> None:
        manifest(tmp_path / "here" / "videos").write(tmp_path / "here" / place)
        shutil.move(tmp_path / "here", tmp_path / "there")
        assert Manifest.read(tmp_path / "there" / place).root.resolve() == tmp_path / "there" / "videos"

    def test_moves_alone(self, tmp_path: Path) -> None:
        manifest(tmp_path / "videos").write(tmp_path / "manifests" / "m.parquet")
        (tmp_path / "manifests").rename(tmp_path / "deeper")
        assert Manifest.read(tmp_path / "deeper" / "m.parquet").root == tmp_path / "videos"

    def test_absent_and_not_parquet(self, tmp_path: Path) -> None:
        with pytest.raises(ManifestError, match=r"absent\.parquet: no such file; `actrec data build`"):
            Manifest.read(tmp_path / "absent.parquet")
        for name, content in {"empty": b"", "text": b"not parquet" * 9}.items():
            (tmp_path / f"{name}.parquet").write_bytes(content)
            with pytest.raises(ManifestError, match=rf"{name}\.parquet: not a Parquet file"):
                Manifest.read(tmp_path / f"{name}.parquet")
        with pytest.raises(ManifestError, match="not a Parquet file"):
            Manifest.read(tmp_path)

    @pytest.mark.parametrize("part", ["header", "footer"])
    def test_cut_short(self, tmp_path: Path, part: str) -> None:
        path = tmp_path / "m.parquet"
        manifest(tmp_path).write(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if part == "footer" else whole[len(whole) // 2 :])
        with pytest.raises(ManifestError, match="not a Parquet file"):
            Manifest.read(path)

    @pytest.mark.parametrize(
        ("about", "why"),
        [
            (None, "metadata names no root"),
            ("{", "metadata names no root"),
            ({"version": 2}, "not of version 1"),
            ({"version": 1, "root": 3, "layout": "folder", "cut": []}, "metadata is damaged"),
            ({"version": 1, "root": ".", "layout": "folder", "cut": ["train"]}, "metadata is damaged"),
        ],
    )
    def test_metadata(self, tmp_path: Path, about: Any, why: str) -> None:
        text = about if isinstance(about, str) else json.dumps(about)
        metadata = None if about is None else {"actrec": text}
        pq.write_table(manifest(tmp_path).table.replace_schema_metadata(metadata), tmp_path / "m.parquet")
        with pytest.raises(ManifestError, match=rf"m\.parquet: .*{why}"):
            Manifest.read(tmp_path / "m.parquet")

    def test_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ManifestError, match=r"file/m\.parquet: cannot be written: \w+"):
            manifest(tmp_path).write(tmp_path / "file" / "m.parquet")

    def test_a_failed_write_leaves_the_old_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        manifest(tmp_path).write(tmp_path / "m.parquet")
        before = (tmp_path / "m.parquet").read_bytes()

        def full(*args: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(ManifestError, match="No space left on device"):
            manifest(tmp_path, cut=()).write(tmp_path / "m.parquet")
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("m.parquet", before)]

    def test_what_other_programs_write_is_read(self, tmp_path: Path) -> None:
        # pandas writes large strings and its own metadata; an added column is of no matter.
        good = manifest(tmp_path)
        good.write(tmp_path / "m.parquet")
        metadata = pq.read_schema(tmp_path / "m.parquet").metadata
        frame = good.table.to_pandas().assign(label=lambda one: one["label"].astype("int32"), note="x")
        pq.write_table(pa.Table.from_pandas(frame).replace_schema_metadata(metadata), tmp_path / "m.parquet")
        assert Manifest.read(tmp_path / "m.parquet").digest == good.digest


class TestRules:
    @pytest.mark.parametrize(
        ("name", "row", "value", "why"),
        [
            ("video_id", 4, "class 0/3", r"video_id 'class 0/3' is in rows \[3, 4\]"),
            (
                "split",
                5,
                "trian",
                r"row 5: unknown split 'trian'; did you mean 'train'\? \(valid: train, val",
            ),
            ("status", 5, "bad", r"row 5: unknown status 'bad' \(valid: ok, unreadable\)"),
            ("label", 0, 2, r"class_name 'class 0' belongs to \[0, 2\]"),
            ("class_name", 0, "other", r"label 0 belongs to \['class 0', 'other'\]"),
            ("num_frames", 3, 0, "column 'num_frames', row 3: is 0; a readable video has 1 to 1,000,000,000"),
            ("num_frames", 3, 2**62, "column 'num_frames', row 3: is 4611686018427387904"),
            ("fps", 3, float("nan"), "column 'fps', row 3: is nan"),
            ("seconds", 3, -1.0, "column 'seconds', row 3: is -1.0"),
            ("group", 3, None, "column 'group', row 3: has no value"),
        ],
    )
    def test_values(self, tmp_path: Path, name: str, row: int, value: Any, why: str) -> None:
        with pytest.raises(ManifestError, match=why):
            manifest(tmp_path, changed(name, row, value))

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("../secret.avi", "must be that of a file within the root"),
            ("class 0/../../secret.avi", "must be that of a file within the root"),
            ("..\\secret.avi", "must be that of a file within the root"),
            ("", "must be that of a file within the root"),
            (".", "must be that of a file within the root"),
            ("/etc/passwd", "must be relative to the root"),
            ("C:\\secret.avi", "must be relative to the root"),
            ("\\\\host\\share\\a.avi", "must be relative to the root"),
            ("a\0.avi", "must be relative to the root"),
        ],
    )
    def test_paths_stay_within_the_root(self, tmp_path: Path, path: str, why: str) -> None:
        with pytest.raises(ManifestError, match=rf"row 7: path .* {why}"):
            manifest(tmp_path, changed("path", 7, path))

    def test_links_stay_within_the_root(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        (root / "class 0").mkdir(parents=True)
        (tmp_path / "secret.avi").touch()
        (root / "class 0" / "1.avi").touch()
        (root / "class 0" / "0.avi").symlink_to(root / "class 0" / "1.avi")
        manifest(root)  # a link to a neighbour is good
        (root / "class 0" / "3.avi").symlink_to(tmp_path / "secret.avi")
        with pytest.raises(
            ManifestError, match=r"row 3: path 'class 0/3\.avi' leaves the root .* by a link to"
        ):
            manifest(root)
        (root / "class 0" / "3.avi").unlink()
        (root / "class 1").symlink_to(tmp_path)
        with pytest.raises(ManifestError, match=r"row 10: path 'class 1/0\.avi' leaves the root"):
            manifest(root)

    def test_a_root_that_is_itself_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        assert manifest(tmp_path / "link").root == tmp_path / "link"

    def test_labels_have_no_gaps(self, tmp_path: Path) -> None:
        with pytest.raises(ManifestError, match="label 2: 2 classes must be numbered 0 to 1"):
            manifest(tmp_path, {"label": [0] * 10 + [2] * 10})
        with pytest.raises(ManifestError, match="label -1: 2 classes must be numbered 0 to 1"):
            manifest(tmp_path, {"label": [-1] * 10 + [0] * 10})

    def test_every_class_has_a_readable_training_video(self, tmp_path: Path) -> None:
        with pytest.raises(ManifestError, match=r"classes without a readable training video: class 1$"):
            manifest(tmp_path, {"split": ["train"] * 10 + ["test"] * 10})
        ones = {name: [1] * 20 for name in ("num_frames", "width", "height")}
        with pytest.raises(ManifestError, match=r"classes without a readable training video: class 1$"):
            manifest(tmp_path, {**ones, "status": ["ok"] * 10 + ["unreadable"] * 10})

    def test_columns(self, tmp_path: Path) -> None:
        table = manifest(tmp_path).table
        with pytest.raises(ManifestError, match=r"has no column 'group' \(it must have: video_id, path"):
            Manifest(tmp_path, table.drop_columns(["group"]), "folder", ())
        for column, words in {"label": "integers", "fps": "numbers", "reason": "strings"}.items():
            kind = pa.string() if column != "reason" else pa.int64()
            wrong = table.set_column(
                table.schema.get_field_index(column), column, pa.array([None] * len(table), kind)
            )
            with pytest.raises(ManifestError, match=f"column '{column}' holds {kind}; it must hold {words}"):
                Manifest(tmp_path, wrong, "folder", ())

    def test_no_videos(self, tmp_path: Path) -> None:
        with pytest.raises(ManifestError, match="holds no videos"):
            Manifest(tmp_path, SCHEMA.empty_table(), "folder", ())


class TestDigest:
    def test_neither_place_nor_order_matter(self, tmp_path: Path) -> None:
        one = manifest(tmp_path)
        other = Manifest(
            tmp_path / "b", one.table.take(np.random.default_rng(0).permutation(20)), "ucf101", ()
        )
        assert len(one.digest) == 16
        assert other.digest == one.digest

    @pytest.mark.parametrize(
        ("name", "value", "matters"),
        [
            ("video_id", "x", True),
            ("path", "x.avi", True),
            ("group", "x", True),
            ("split", "test", True),
            ("num_frames", 11, True),
            ("status", "unreadable", True),
            ("fps", 6.0, False),
            ("reason", "x", False),
        ],
    )
    def test_content_matters(self, tmp_path: Path, name: str, value: Any, matters: bool) -> None:
        assert (manifest(tmp_path, changed(name, 5, value)).digest != manifest(tmp_path).digest) is matters


class TestSelect:
    def test_everything(self, tmp_path: Path) -> None:
        one = manifest(tmp_path)
        assert one.select(DataSpec(digest=one.digest)).table.equals(one.table)

    def test_classes_are_renumbered(self, tmp_path: Path) -> None:
        part = manifest(tmp_path).select(DataSpec(classes=("class 1",)))
        assert part.class_names == ("class 1",)
        assert part.table["label"].to_pylist() == [0] * 10

    def test_classes_keep_the_manifests_order(self, tmp_path: Path) -> None:
        part = manifest(tmp_path).select(DataSpec(classes=("class 1", "class 0")))
        assert part.class_names == ("class 0", "class 1")

    def test_unknown_class(self, tmp_path: Path) -> None:
        with pytest.raises(
            SpecError, match=r"data\.classes: unknown class 'clas 1'.*valid: class 0, class 1"
        ):
            manifest(tmp_path).select(DataSpec(classes=("clas 1",)))

    def test_other_content(self, tmp_path: Path) -> None:
        with pytest.raises(ManifestError, match=r"has digest \w{16}, the specification asks for 0123"):
            manifest(tmp_path).select(DataSpec(digest="0123"))

    def test_cap(self, tmp_path: Path) -> None:
        one = manifest(tmp_path)
        two, three = (one.select(DataSpec(per_class=cap)) for cap in (2, 3))
        assert len(two.column("video_id", "train")) == 4
        assert len(two.column("video_id", "test")) == 2
        assert set(two.column("video_id", "train")) < set(three.column("video_id", "train"))
        assert len(two.counts().undecodable) == 2
        shuffled = Manifest(tmp_path, one.table.take(np.arange(20)[::-1]), "folder", one.cut)
        assert shuffled.select(DataSpec(per_class=2)).digest == two.digest


class TestCounts:
    def test_numbers(self, tmp_path: Path) -> None:
        counts = manifest(tmp_path).counts()
        each = {"train": 8, "val": 1, "test": 1, "unused": 0}
        assert counts.videos == {split: {"class 0": n, "class 1": n} for split, n in each.items()}
        assert [(one.path, one.reason) for one in counts.undecodable] == [
            ("class 0/2.avi", "empty file"),
            ("class 1/2.avi", "empty file"),
        ]
        assert (counts.groups, counts.straddling, counts.leaks) == (10, {}, ())
        assert counts.absent == {"train": (), "val": (), "test": ()}

    def test_classes_without_test_videos(self, tmp_path: Path) -> None:
        split = columns()["split"]
        split[1] = "unused"
        assert manifest(tmp_path, {"split": split}).counts().absent["test"] == ("class 0",)

    @pytest.mark.parametrize(
        ("layout", "cut", "leaks"),
        [
            ("ucf101", (), ()),
            ("ucf101", ("val",), ("train and val",)),
            ("ucf101", ("val", "test"), ("train and val", "t and t")),
            ("folder", (), ("train and val", "t and t")),
            ("folder", ("val",), ("train and val", "t and t")),
        ],
    )
    def test_whose_fault_a_straddling_group_is(
        self, tmp_path: Path, layout: str, cut: tuple[str, ...], leaks: tuple[str, ...]
    ) -> None:
        group = columns()["group"]
        group[0] = group[4] = "train and val"
        group[1] = group[5] = "t and t"
        made = manifest(tmp_path, {"group": group}, cut)
        counts = Manifest(made.root, made.table, layout, cut).counts()
        assert counts.straddling == {"t and t": ("train", "test"), "train and val": ("train", "val")}
        assert sorted(counts.leaks) == sorted(leaks)

    def test_unused_videos_do_not_straddle(self, tmp_path: Path) -> None:
        split, group = columns()["split"], columns()["group"]
        split[4], group[4] = "unused", group[0]
        assert manifest(tmp_path, {"split": split, "group": group}).counts().straddling == {}


class TestBuild:
    def test_rows(self, tmp_path: Path) -> None:
        names = ["<script>/a b.avi", "<script>/c.avi", "Händeschütteln/x.mp4", "Händeschütteln/ролик.mp4"]
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        listing = list_videos(tmp_path, "folder", group_regex=r"(.*)/")
        built = build_manifest(tmp_path, "folder", listing, [GOOD, "empty file", GOOD, GOOD])
        assert built.class_names == ("<script>", "Händeschütteln")
        assert built.table["path"].to_pylist() == names
        assert built.table["status"].to_pylist() == ["ok", "unreadable", "ok", "ok"]
        assert built.table["reason"].to_pylist() == ["", "empty file", "", ""]
        assert built.table["num_frames"].to_pylist() == [10, 0, 10, 10]
        assert built.table["split"].to_pylist() == ["train"] * 4  # one group a class
        assert (built.layout, built.cut, built.split_source) == ("folder", ("val", "test"), "cut")

    def test_a_listed_video_that_the_disk_lacks(self, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "a.avi").touch()
        (tmp_path / "train.txt").write_text("run/a.avi\nrun/gone.avi")
        (tmp_path / "test.txt").write_text("run/lost.avi")
        listing = list_videos(tmp_path, "folder", splits=tmp_path)
        built = build_manifest(tmp_path, "folder", listing, [GOOD])
        assert built.table["reason"].to_pylist() == ["", "missing file", "missing file"]
        assert (built.cut, built.split_source) == (("val",), "listed")

    def test_a_class_that_cannot_be_trained(self, tmp_path: Path) -> None:
        for name in ("run/a.avi", "wave/a.avi"):
            (tmp_path / name).parent.mkdir()
            (tmp_path / name).touch()
        listing = list_videos(tmp_path, "folder")
        with pytest.raises(ManifestError, match="without a readable training video: wave"):
            build_manifest(tmp_path, "folder", listing, [GOOD, "empty file"])

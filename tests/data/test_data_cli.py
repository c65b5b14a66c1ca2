from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from actrec.cli_data import add_parser
from actrec.data.manifest import Manifest
from actrec.printing import printable

Video = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


def parse(*words: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="actrec")
    add_parser(parser.add_subparsers(required=True))
    return parser.parse_args(["data", *map(str, words)])


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command: exit status, stdout, stderr."""

    def command(*words: str | Path) -> tuple[int, str, str]:
        arguments = parse(*words)
        capfd.readouterr()
        status: int = arguments.run(arguments)
        return (status, *capfd.readouterr())

    return command


@pytest.fixture
def folder(tmp_path: Path, video: Video, broken_videos: dict[str, tuple[Path, str]]) -> Path:
    """Two classes of two videos for each of three people; and one file of every broken kind."""
    root = tmp_path / "my videos"
    for name in ("<script>", "Händeschütteln"):
        for person in ("anna", "björn", "chiara"):
            for take in (1, 2):
                video(root / name / f"{person} {take}.avi", frames=take, height=16, width=16)
    for name, (path, _) in broken_videos.items():
        (root / "<script>" / f"anna {name}{path.suffix}").write_bytes(path.read_bytes())
    return root


@pytest.fixture
def built(run: Run, folder: Path, tmp_path: Path, ray_session: None) -> tuple[Path, str]:
    """A manifest of the folder, and what was printed as it was built."""
    path = tmp_path / "m.parquet"
    status, out, err = run(
        "build", "--layout", "folder", "--root", folder, "--group-regex", "/([^ ]+) ", "--out", path
    )
    assert (status, err) == (0, "")
    return path, out


def test_build(built: tuple[Path, str], broken_videos: dict[str, tuple[Path, str]]) -> None:
    path, out = built
    manifest = Manifest.read(path)
    counts = manifest.counts()
    assert len(manifest.table) == 12 + len(broken_videos)
    assert len(counts.undecodable) == len(broken_videos)
    assert counts.straddling == {}
    assert counts.groups == 3
    assert f"{len(broken_videos)} videos do not decode:" in out
    assert "  <script>/anna empty.avi: empty file\n" in out
    assert manifest.digest in out


def test_check_good(run: Run, built: tuple[Path, str]) -> None:
    status, out, err = run("check", built[0])
    assert (status, err) == (0, "")
    assert f"good (digest {Manifest.read(built[0]).digest})" in out


def test_check_files_that_changed(run: Run, built: tuple[Path, str], folder: Path, video: Video) -> None:
    (folder / "<script>" / "anna 1.avi").unlink()
    (folder / "<script>" / "anna 2.avi").write_bytes(b"")
    video(folder / "Händeschütteln" / "anna 1.avi", frames=3, height=16, width=16)
    video(folder / "<script>" / "anna empty.avi", frames=3, height=16, width=16)
    status, out, _ = run("check", built[0])
    assert status == 1
    assert "4 problems:" in out
    assert "<script>/anna 1.avi: no longer readable: missing file" in out
    assert "<script>/anna 2.avi: no longer readable: empty file" in out
    assert "Händeschütteln/anna 1.avi: another file now (num_frames 1 → 3)" in out
    assert "<script>/anna empty.avi: readable now (was: empty file)" in out


def test_check_a_leak(run: Run, built: tuple[Path, str]) -> None:
    manifest = Manifest.read(built[0])
    table = manifest.table
    groups = pa.array(["anna"] * len(table))
    table = table.set_column(table.schema.get_field_index("group"), "group", groups)
    Manifest(manifest.root, table, manifest.layout, manifest.cut).write(built[0])
    status, out, _ = run("check", built[0])
    assert status == 1
    assert "group anna is on two sides of a split" in out
    Manifest(manifest.root, table, "ucf101", ()).write(built[0])
    status, out, _ = run("check", built[0])
    assert status == 0
    assert "1 of 1 groups straddle splits, as the official lists have them" in out


def test_check_a_copy_on_two_sides(run: Run, built: tuple[Path, str], folder: Path, video: Video) -> None:
    """A cut of ours leaks if it parts a copy from its original; what official lists do is shown."""
    manifest = Manifest.read(built[0])
    rows = manifest.table.to_pylist()
    one, other = (next(row for row in rows if row["split"] == split) for split in ("train", "test"))
    video(folder / one["path"], frames=2, height=16, width=16)
    shutil.copy(folder / one["path"], folder / other["path"])
    for row in (one, other):
        row |= {"num_frames": 2, "status": "ok", "reason": "", "width": 16, "height": 16, "fps": 25.0}
    table = pa.Table.from_pylist(rows, schema=manifest.table.schema)
    Manifest(manifest.root, table, manifest.layout, manifest.cut).write(built[0])
    status, out, _ = run("check", built[0])
    assert status == 1
    assert re.search(r"near-duplicates on two sides of a split: .*: 0 of 64 bits apart", out)
    assert sorted(path.name for path in built[0].parent.glob("m.*")) == [
        "m.duplicates.json",
        "m.hashes.parquet",
        "m.parquet",
    ]
    Manifest(manifest.root, table, "hmdb51", ()).write(built[0])
    status, out, _ = run("check", built[0])
    assert status == 0
    assert re.search(r"\d near-duplicates on two sides, as the official lists have them:", out)
    status, out, _ = run("check", "--quick", built[0])
    assert status == 0
    assert "files and near-duplicates: not checked (--quick)" in out


def test_a_random_validation_is_caught(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTREC_CACHE", str(tmp_path))
    leaking, sound = tmp_path / "leaking.parquet", tmp_path / "sound.parquet"
    assert run("synthetic", "--takes", "10", "--val", "random", "--out", leaking)[0] == 0
    status, out, _ = run("check", "--quick", leaking)
    assert status == 1
    assert "is on two sides of a split" in out
    tested = [set(Manifest.read(leaking).column("group", split)) for split in ("train", "val", "test")]
    assert tested[0] & tested[1]
    assert not tested[2] & (tested[0] | tested[1]), "the test is honest"
    assert run("synthetic", "--takes", "10", "--out", sound)[0] == 0
    assert run("check", "--quick", sound)[0] == 0


@pytest.mark.parametrize("val", [(), ("Händeschütteln/chiara 2.avi",)])
@pytest.mark.usefixtures("ray_session")
def test_lists_that_somebody_made_are_not_official(
    run: Run, folder: Path, tmp_path: Path, val: tuple[str, ...]
) -> None:
    """Groups that they put on two sides are leaks, with a list for validation and without."""
    first, second = (
        [path.relative_to(folder).as_posix() for path in folder.glob(f"*/* {take}.avi")] for take in (1, 2)
    )
    lists = {"train": first, "test": [name for name in second if name not in val]}
    for part, listed in (lists | ({"val": val} if val else {})).items():
        (tmp_path / f"{part}.txt").write_text("\n".join(listed), encoding="utf-8")
    groups = ("--group-regex", r"/(\w+) ", "--out", tmp_path / "m.parquet")
    status, _, err = run("build", "--layout", "folder", "--root", folder, "--splits", tmp_path, *groups)
    assert (status, err) == (0, "")
    assert Manifest.read(tmp_path / "m.parquet").split_source == "listed"
    status, out, _ = run("check", "--quick", tmp_path / "m.parquet")
    assert status == 1
    assert "group anna is on two sides of a split" in out
    assert "official" not in out


def test_blocks_and_a_random_validation_are_built(
    run: Run, folder: Path, tmp_path: Path, ray_session: None
) -> None:
    blocks = tmp_path / "blocks.csv"
    built = tmp_path / "m.parquet"
    regex, cut = ("--group-regex", "/([^ ]+) "), ("--blocks", blocks, "--val", "random")
    words = ("build", "--layout", "folder", "--root", folder, *regex, *cut, "--out", built)
    blocks.write_text("group,block\nanna,north\nbjörn,north\nchiara,south\n", encoding="utf-8")
    status, out, _ = run(*words)
    assert status == 0
    assert "groups: 3 in 2 blocks" in out
    rows = Manifest.read(built).table.to_pylist()
    assert {(row["group"], row["block"]) for row in rows} == {
        ("anna", "north"),
        ("björn", "north"),
        ("chiara", "south"),
    }
    for content, why in {
        "group,block\nanna,north\n": "blocks.csv: unknown group 'björn'",
        "group,block\nanna,north\nanna,south\n": "row 2 names the group 'anna' again",
        "group;block\nanna;north\n": "row 1 must have a group and a block",
    }.items():
        blocks.write_text(content, encoding="utf-8")
        status, _, err = run(*words)
        assert status == 2
        assert why in err


def test_a_link_out_of_the_root_is_refused_before_anything_is_decoded(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.avi").write_bytes(b"secret")
    (folder / "<script>" / "link.avi").symlink_to(tmp_path / "secret.avi")
    monkeypatch.setattr("actrec.cli_data._probe", None)  # it would be called, and fail, were it reached
    status, _, err = run("build", "--layout", "folder", "--root", folder, "--out", tmp_path / "m.parquet")
    assert status == 2
    assert "leaves the root" in err


def test_check_without_the_root(run: Run, built: tuple[Path, str], folder: Path) -> None:
    folder.rename(folder.with_name("gone"))
    status, out, _ = run("check", built[0])
    assert status == 1
    assert "my videos: the root is not there" in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("check", "absent.parquet"), "absent.parquet: no such file"),
        (("build", "--layout", "folder", "--root", "absent", "--out", "m.parquet"), "absent: not a folder"),
        (("build", "--layout", "ucf101", "--root", ".", "--out", "m.parquet"), "official split lists"),
    ],
)
def test_errors_are_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert why in err
    assert err.count("\n") == 1
    assert err.startswith("actrec data: error: ")


def test_a_class_without_training_videos(run: Run, tmp_path: Path, video: Video, ray_session: None) -> None:
    video(tmp_path / "root" / "run" / "a.avi")
    (tmp_path / "root" / "wave").mkdir()
    (tmp_path / "root" / "wave" / "a.avi").touch()
    status, _, err = run(
        "build", "--layout", "folder", "--root", tmp_path / "root", "--out", tmp_path / "m.parquet"
    )
    assert status == 2
    assert "classes without a readable training video: wave" in err
    assert not (tmp_path / "m.parquet").exists()


def test_official_layouts(run: Run, tmp_path: Path, shared_data: Path, ray_session: None) -> None:
    """Real clips under the data sets' own names; the lists name a few more, which are not there."""
    clips, lists, root = shared_data / "clips", tmp_path / "lists", tmp_path / "root"
    lists.mkdir()
    for group, part in {"g23": "train", "g24": "test"}.items():
        name = f"SoccerJuggling/v_SoccerJuggling_{group}_c01.avi"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clips / Path(name).name, root / name)
        (lists / f"{part}list01.txt").write_text(f"{name}\nSoccerJuggling/v_SoccerJuggling_{group}_c02.avi\n")
    (lists / "classInd.txt").write_text("1 SoccerJuggling\n")
    status, out, _ = run(
        "build", "--layout", "ucf101", "--root", root, "--splits", lists, "--out", tmp_path / "ucf.parquet"
    )
    assert status == 0
    assert "2 videos do not decode:" in out
    assert "v_SoccerJuggling_g24_c02.avi: missing file" in out
    assert "1 classes have no readable val video" in out
    manifest = Manifest.read(tmp_path / "ucf.parquet")
    assert (manifest.split_source, manifest.cut) == ("official", ("val",))
    assert manifest.column("num_frames", "train").tolist() == [240]
    assert manifest.column("num_frames", "test").tolist() == [251]


def test_probing_keeps_the_order(tmp_path: Path, video: Video, ray_session: None) -> None:
    from actrec.data.stream import probe_videos  # here, so that collecting tests loads no Ray

    names = [f"{number}.avi" for number in range(40)]
    for number, name in enumerate(names[:-1]):
        video(tmp_path / name, frames=number + 1, height=16, width=16)
    done: list[int] = []
    found = probe_videos(tmp_path, names, done.append)
    assert [one if isinstance(one, str) else one.num_frames for one in found] == [
        *range(1, 40),
        "missing file",
    ]
    assert done == list(range(1, 41))
    assert probe_videos(tmp_path, []) == []


def test_names_do_not_steer_the_terminal() -> None:
    assert printable("a\x1b[31mb\nc ü ролик") == "a\\x1b[31mb\\nc ü ролик"


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for command, text in {"build": "--group-regex '_(\\d+)_\\d+\\.avi$'", "check": "exit status:"}.items():
        with pytest.raises(SystemExit, match="0"):
            parse(command, "--help")
        assert text in capsys.readouterr().out


def test_help_comes_without_ray() -> None:
    script = "import sys, actrec.cli_data; sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)

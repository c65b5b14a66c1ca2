"""``actrec cache``: what it lists, finds damaged and deletes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from actrec import cli
from actrec.data import clipset, sets, shards
from actrec.data.sets import Hold
from actrec.data.storage import MISSING
from actrec.data.video_clips import Video
from actrec.spec import ClipSpec
from actrec.training import featureset


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set of clips, used in 1970, and one of features, used since."""
    monkeypatch.setenv("ACTREC_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    clips, features = tmp_path / "clips" / "aa", tmp_path / "features" / "bb"
    clipset.begin(clips, ClipSpec(num_frames=4, height=16, width=20), {"manifest": "0123456789"})
    featureset.begin(features, stages=1, count=2, about={"model": "small"})
    for folder in (clips, features):
        for number in range(2):
            shards.write(folder, number, np.zeros((3, 1000), np.uint8), [{"clips": 3, "reason": ""}])
        Hold(folder).release()
    video = Video("one", "one.avi", 0, "anna", "train", 8, 25.0, MISSING)
    clipset.finish(clips, [(video,), (video,)])
    os.utime(clips / sets.HELD, (0, 0))
    return tmp_path


@pytest.mark.usefixtures("root")
def test_sets_are_listed_with_what_they_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache"]) == 0
    header, first, second, total = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["set", "what", "size"]
    assert first.startswith("clips/aa")
    assert "4 × 16 × 20, uniform, manifest 01234567" in first
    assert "kB" in first
    assert "19" in first.split()[-2]  # 1970, or 1969 west of Greenwich
    assert second.startswith("features/bb")
    assert "2 sets" in total


def test_a_set_in_use_is_said_to_be(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hold = Hold(root / "features" / "bb")
    cli.main(["cache"])
    hold.release()
    assert "in use" in capsys.readouterr().out


def test_check_names_the_shard_that_is_damaged(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "check"]) == 0
    path = root / "clips" / "aa" / "shard-00001.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert cli.main(["cache", "check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.rsplit(": ", 1)[-1] for line in lines] == ["whole", "whole", "shard-00001.npy", "whole"]


@pytest.mark.parametrize("name", ["shard-00000.json", "shard-00001.npy"])
def test_check_misses_what_is_gone(root: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (root / "clips" / "aa" / name).unlink()
    assert cli.main(["cache", "check"]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(f"DAMAGED: {name.replace('json', 'npy')}")
    assert second.endswith("whole")


def test_check_tells_sets_that_are_not_complete(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "clips" / "aa" / "index.parquet").unlink()
    (root / "features" / "bb" / "shard-00001.json").unlink()
    assert cli.main(["cache", "check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["not complete" in line for line in lines] == [True, True]


def test_check_finds_every_wrong_byte(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, files in {"clips/aa": 3, "features/bb": 1}.items():
        paths = [*(root / name).glob("*.json"), *(root / name).glob("*.parquet")]
        assert len(paths) == files + 2
        for path in paths:
            whole = path.read_bytes()
            for at in range(0, len(whole), max(1, len(whole) // 8)):
                path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
                assert cli.main(["cache", "check"]) == 1, (path, at)
            path.write_bytes(whole)
    capsys.readouterr()
    assert cli.main(["cache", "check"]) == 0


def test_check_does_not_call_a_set_of_an_earlier_version_damaged(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "clips" / "aa" / "meta.json").write_text('{"format": 2}')
    assert cli.main(["cache", "check"]) == 0
    assert "clips/aa" in (line := capsys.readouterr().out.splitlines()[0])
    assert line.endswith("of an earlier version, not used any more")


def test_prune_deletes_what_was_used_longest_ago(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "prune", "--budget", "7kB"]) == 0
    assert not (root / "clips" / "aa").exists()
    assert (root / "features" / "bb").exists()
    assert "deleted clips/aa" in capsys.readouterr().out
    assert cli.main(["cache", "prune", "--budget", "lots"]) == 2
    assert "--budget='lots': must be an amount such as 200GB" in capsys.readouterr().err

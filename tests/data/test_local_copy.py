"""Copies of sets on a node's own disk: made once, checked, and only where they are of use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from actrec.data import local_copy, sets, shards
from actrec.data.local_copy import LOCAL, is_remote, local_root, nearest

OPEN = """\
import sys, pathlib, shutil
from actrec.data.local_copy import nearest
copied = []
real = shutil.copyfile
shutil.copyfile = lambda *paths: copied.append(paths) or real(*paths)
found = nearest(pathlib.Path(sys.argv[1]))
print(found, len(copied), flush=True)
sys.stdin.read()  # the set stays in use until all have opened it
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of three shards and one other file."""
    made = tmp_path / "shared" / "clips" / "key"
    for number in range(3):
        shards.write(made, number, np.full((4, 5), number, np.uint8), [{"clips": 4}])
    (made / "meta.json").write_text("{}")
    sets.Hold(made).release()
    return made


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the copy goes."""
    monkeypatch.setenv(LOCAL, str(tmp_path / "local"))
    return tmp_path / "local" / "clips" / "key"


def opened(folder: Path) -> tuple[str, int]:
    """What one more process of this node finds: the folder it reads from, and how many files it copied."""
    done = subprocess.run([sys.executable, "-c", OPEN, folder], input=b"", capture_output=True, check=True)
    found, copied = done.stdout.decode().split()
    return found, int(copied)


def test_processes_that_open_a_set_at_once_copy_it_once(folder: Path, copy: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(folder)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    lines = [process.stdout.readline().split() for process in processes if process.stdout]
    assert sets.in_use(copy)
    for process in processes:
        process.communicate("")
        assert process.returncode == 0
    assert [line[0] for line in lines] == [str(copy)] * 2
    assert sorted(int(line[1]) for line in lines) == [0, 7]  # three arrays, their entries, and the other file
    assert shards.damaged(copy, range(3)) == []
    assert (copy / "meta.json").read_text() == "{}"


def test_a_copy_is_checked_and_only_what_is_damaged_is_copied_again(folder: Path, copy: Path) -> None:
    assert opened(folder) == (str(copy), 7)
    assert opened(folder) == (str(copy), 1)  # the small files are always fetched
    array = shards.array_path(copy, 1)
    array.write_bytes(array.read_bytes()[:-1] + b"\7")
    assert opened(folder) == (str(copy), 3)
    assert shards.damaged(copy, range(3)) == []


def test_a_shard_that_was_written_anew_is_copied_anew(folder: Path, copy: Path) -> None:
    assert opened(folder) == (str(copy), 7)
    shards.write(folder, 1, np.full((4, 5), 9, np.uint8), [{"clips": 4}])  # the copy is whole, and of the old
    assert opened(folder) == (str(copy), 3)
    assert shards.array_path(copy, 1).read_bytes() == shards.array_path(folder, 1).read_bytes()


def test_a_copy_that_does_not_fit_or_cannot_be_made_is_done_without(
    folder: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as changed:
        changed.setenv(sets.BUDGET, "100B")
        assert opened(folder) == (str(folder), 0)
    copy.parent.parent.mkdir(exist_ok=True)
    copy.parent.rename(copy.parent.parent / "elsewhere")
    copy.parent.write_text("in the way")
    assert opened(folder) == (str(folder), 0)


FAIL = """\
import itertools, sys, pathlib, shutil
from actrec.data.local_copy import nearest
real, copies = shutil.copyfile, itertools.count()
def failing(*paths):
    if next(copies) >= 3:
        raise OSError(116, "Stale file handle")
    return real(*paths)
shutil.copyfile = failing
print(nearest(pathlib.Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_a_copy_that_broke_off_does_not_spoil_the_node(folder: Path, copy: Path) -> None:
    command = [sys.executable, "-c", FAIL, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as failed:
        assert failed.stdout is not None
        assert failed.stdout.readline().strip() == str(folder)
        assert copy.is_dir(), "it had begun"
        found, copied = opened(folder)  # while the process that failed goes on
        assert (found, copied > 0) == (str(copy), True)
        assert shards.damaged(copy, range(3)) == []
        failed.communicate("")


def test_a_copy_in_use_that_lacks_a_shard_is_not_read(folder: Path, copy: Path) -> None:
    assert opened(folder) == (str(copy), 7)
    hold = sets.Hold(copy)
    assert opened(folder) == (str(copy), 0), "its users have checked it"
    shards.entries_path(copy, 1).unlink()
    assert opened(folder) == (str(folder), 0)
    hold.release()
    assert opened(folder) == (str(copy), 3)


def test_an_older_copy_goes_when_a_new_one_needs_its_room(
    folder: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = folder.parent / "other"
    shards.write(other, 0, np.zeros((400, 5), np.uint8), [])
    monkeypatch.setenv(sets.BUDGET, "2500B")  # the other's array is 2128 bytes long, the first's 3 × 148
    assert opened(folder) == (str(copy), 7)
    assert opened(other) == (str(copy.parent / "other"), 2)
    assert [found.name for found in sets.cached_sets(copy.parent.parent)] == ["clips/other"]


def test_a_set_on_a_disk_of_this_node_is_read_where_it_is(
    folder: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOCAL, "off")
    assert nearest(folder) == folder
    monkeypatch.delenv(LOCAL)
    assert local_root(folder) is None
    assert not copy.exists()


def test_a_set_on_the_network_is_copied_to_the_folder_for_temporary_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LOCAL, raising=False)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    # No test machine has a network file system: its type is stood in for.
    types = {folder: "nfs4", temporary: "ext4"}
    monkeypatch.setattr(local_copy, "_fstype", types.__getitem__)
    assert local_root(folder) == temporary / f"actrec-{os.getuid()}"
    types[temporary] = "tmpfs"  # memory, not a disk
    assert local_root(folder) is None


@pytest.mark.parametrize(
    ("fstype", "remote"),
    [
        ("nfs4", True),
        ("cifs", True),
        ("smb3", True),
        ("lustre", True),
        ("fuse.sshfs", True),
        ("fuse.s3fs", True),
        ("fuse.gcsfuse", True),
        ("ceph", True),
        ("beegfs", True),
        ("gpfs", True),
        ("9p", True),
        ("efs", True),
        ("ext4", False),
        ("xfs", False),
        ("overlay", False),
        ("fuse.fuse-overlayfs", False),
        ("fuseblk", False),
        ("tmpfs", False),
    ],
)
def test_file_systems_of_the_network_are_known_by_their_type(fstype: str, remote: bool) -> None:
    assert is_remote(fstype) == remote

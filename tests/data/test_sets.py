"""Which sets of a cache go, and which stay."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actrec.data import sets
from actrec.data.sets import (
    Hold,
    cached_sets,
    evict,
    make_room,
    parse_size,
    prune,
    reserve,
    room,
    size_text,
)
from actrec.errors import DataError

KEYS = ("clips/a", "features/b", "clips/c", "clips/d")  # in order of their use


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four sets of 1000 bytes, and a budget of 5000."""
    for used, key in enumerate(KEYS):
        folder = tmp_path / key
        folder.mkdir(parents=True)
        (folder / "shard-00000.npy").write_bytes(bytes(1000))
        Hold(folder).release()
        os.utime(folder / sets.HELD, (used, used))
    monkeypatch.setenv(sets.BUDGET, "5kB")
    return tmp_path


def names(root: Path) -> list[str]:
    return [found.name for found in cached_sets(root)]


def test_the_sets_that_were_used_longest_ago_go_first(root: Path) -> None:
    assert names(root) == list(KEYS)
    assert room(root) == 1000
    said: list[str] = []
    assert make_room(root, 1000, said.append)
    assert (names(root), said) == (list(KEYS), [])
    assert make_room(root, 2500, said.append)  # 1500 more than there is: two sets
    assert names(root) == ["clips/c", "clips/d"]
    (line,) = said
    assert "2 set(s) of 2 kB" in line


def test_using_a_set_makes_it_the_last_to_go(root: Path) -> None:
    Hold(root / "clips/a").release()
    assert names(root) == ["features/b", "clips/c", "clips/d", "clips/a"]


def test_a_set_that_is_held_is_not_evicted(root: Path) -> None:
    hold = Hold(root / "clips/a")
    os.utime(root / "clips/a" / sets.HELD, (0, 0))
    assert not evict(root / "clips/a")
    assert make_room(root, 2500)
    assert names(root) == ["clips/a", "clips/d"]
    assert [found.name for found in prune(root, 0)] == ["clips/d"]
    hold.release()
    assert [found.name for found in prune(root, 0)] == ["clips/a"]


def test_a_set_is_free_again_when_the_process_that_held_it_is_killed(root: Path) -> None:
    code = "import sys, pathlib; from actrec.data.sets import Hold\n"
    code += "hold = Hold(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(root / "clips/a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert sets.in_use(root / "clips/a")
        holder.kill()
        holder.wait()
    assert evict(root / "clips/a")


def test_who_looks_whether_a_set_is_held_is_not_taken_for_a_user(root: Path) -> None:
    def look(_: int) -> bool:
        return any(sets.in_use(root / "clips/a") for _ in range(100))

    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(look, range(8)))


def test_nobody_waits_for_another_study_where_there_are_no_locks(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(lock: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", none)
    with sets.filling(root / "clips/a", pytest.fail):
        pass


def test_nothing_goes_if_it_would_not_be_enough(root: Path) -> None:
    assert sets.room_after_eviction(root) == 5000
    assert sets.room_after_eviction(root, keep=frozenset({root / "clips/c"})) == 4000
    assert not make_room(root, 5001)
    assert names(root) == list(KEYS)


def test_what_was_reserved_is_not_reserved_again(root: Path) -> None:
    first = reserve(root, {root / "clips/new": 3000})  # of 5000, 4000 are taken by sets that nobody holds
    assert first is not None
    assert names(root) == ["clips/c", "clips/d", "clips/new"]
    assert room(root) == 0
    assert sets.room_after_eviction(root) == 2000
    assert reserve(root, {root / "clips/other": 2500}) is None
    assert not sets.in_use(root / "clips/other")
    same = reserve(root, {root / "clips/new": 3000})  # who fills the same set needs nothing more
    assert same is not None
    (root / "clips/new/shard-00000.npy").write_bytes(bytes(2000))  # what is written is not counted twice
    assert room(root) == 0
    first[0].reserve(0)  # it is complete, and smaller than was thought
    assert room(root) == 1000
    for hold in (*first, *same):
        hold.release()
    assert room(root) == 1000


def test_what_a_killed_study_reserved_is_free_again(root: Path) -> None:
    def left_of(size: int) -> int:
        holds = reserve(root, {root / "clips/new": size})
        assert holds
        left = room(root)
        holds[0].release()  # as the end of its process does
        return left

    assert left_of(3000) == 0
    assert left_of(2500) == 500
    assert left_of(0) == 3000  # complete: it takes what it takes


def test_studies_that_reserve_at_once_do_not_get_the_same_room(root: Path) -> None:
    prune(root, 0)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda number: reserve(root, {root / f"clips/{number}": 2000}), range(8)))
    assert sum(holds is not None for holds in got) == 2
    for holds in got:
        for hold in holds or ():
            hold.release()


def test_a_folder_that_nobody_ever_held_is_no_set_and_stays(root: Path) -> None:
    videos = root / "clips" / "holiday"  # somebody's own, where ACTREC_CACHE was set to a folder in use
    videos.mkdir()
    (videos / "beach.mp4").write_bytes(bytes(1000))
    assert names(root) == list(KEYS)
    assert not sets.in_use(videos)
    assert not evict(videos)
    assert len(prune(root, 0)) == len(KEYS)
    assert (videos / "beach.mp4").exists()


def test_holding_a_set_that_was_evicted_makes_a_new_one(root: Path) -> None:
    Hold(root / "clips/a").release()
    assert evict(root / "clips/a")
    hold = Hold(root / "clips/a")
    assert sets.in_use(root / "clips/a")
    assert not (root / "clips/a" / "shard-00000.npy").exists()
    hold.release()


def test_without_a_budget_a_tenth_of_the_disk_stays_free(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sets.BUDGET)
    disk = shutil.disk_usage(root)
    # Others write to this disk meanwhile: to a gigabyte.
    assert room(root) == pytest.approx(max(0, disk.free - disk.total / 10), abs=1e9)
    assert room(root / "not" / "made" / "yet") == pytest.approx(room(root), abs=1e9)


def test_amounts_are_read_and_written_as_people_do(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    for text, size in {"200GB": 200e9, "1.5 TB": 1.5e12, "500m": 5e8, "12": 12, "0kB": 0}.items():
        assert parse_size(text, "--budget") == size
    for text in ("", "much", "-1GB", "GB", "1PB", "1,5GB"):
        with pytest.raises(DataError, match=r"--budget='.*': must be an amount such as 200GB"):
            parse_size(text, "--budget")
    assert [size_text(size) for size in (0, 999, 1000, 2.5e9, 1.2e15)] == [
        "0 B",
        "999 B",
        "1 kB",
        "2.5 GB",
        "1.2e+03 TB",
    ]
    monkeypatch.setenv(sets.BUDGET, "much")
    with pytest.raises(DataError, match="ACTREC_CACHE_BUDGET='much'"):
        room(root)


def test_a_cache_that_cannot_be_written_is_an_error_that_names_it(root: Path) -> None:
    (root / "file").write_text("in the way")
    with (
        pytest.raises(DataError, match=r"^cannot write the cache .*file/a: "),
        sets.filling(root / "file" / "a"),
    ):
        pass
    with pytest.raises(DataError, match=r"^cannot write the cache .*file/a: "):
        Hold(root / "file" / "a")

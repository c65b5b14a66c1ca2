"""Rows on disk: any shape and dtype, and no wrong byte unnoticed."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from actrec import files
from actrec.data import shards
from actrec.data.shard_array import ShardArray
from actrec.errors import DataError, EngineError
from actrec.seeding import numpy_rng


def filled(folder: Path, lengths: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> shards.Array:
    """Writes shards of these lengths with rows of (3, 5); returns all rows."""
    rows = numpy_rng(0, "rows").normal(size=(sum(lengths), 3, 5)).astype(dtype)
    for number, part in enumerate(np.split(rows, np.cumsum(lengths)[:-1])):
        shards.write(folder, number, part, [{"row": row} for row in range(len(part))])
    return rows


def flip_byte(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint8])
def test_what_is_gathered_is_what_was_written(tmp_path: Path, dtype: npt.DTypeLike) -> None:
    rows = filled(tmp_path, (4, 0, 2, 5), dtype)
    opened = ShardArray.open(tmp_path, 4)
    assert (len(opened), opened.dtype, opened.row_shape) == (11, np.dtype(dtype), (3, 5))
    wanted = np.array([10, 0, 3, 4, 4, 5, 6, 0])
    got = opened.gather(wanted)
    np.testing.assert_array_equal(got, rows[wanted])
    assert got.dtype == dtype
    got[:] = 0  # its own memory: what is on disk stays
    np.testing.assert_array_equal(opened.gather(wanted), rows[wanted])
    assert opened.gather(np.empty(0, np.int64)).shape == (0, 3, 5)
    assert shards.read_entries(tmp_path, 2) == [{"row": 0}, {"row": 1}]


def test_a_wrong_byte_anywhere_is_noticed_in_exactly_its_shard(tmp_path: Path) -> None:
    filled(tmp_path, (4, 2, 5))
    assert shards.damaged(tmp_path, range(3)) == []
    path = shards.array_path(tmp_path, 1)
    size, whole = path.stat().st_size, path.read_bytes()
    for at in (size - 2 * 3 * 5 * 4, size - 1):  # its first byte of data, and its last
        flip_byte(path, at)
        assert shards.is_sound(tmp_path, 1, 2, np.float32, (3, 5)), "its length and header are right"
        assert shards.damaged(tmp_path, range(3)) == [1]
        path.write_bytes(whole)
    shards.entries_path(tmp_path, 2).unlink()
    shards.array_path(tmp_path, 0).unlink()
    assert shards.damaged(tmp_path, range(4)) == [0, 2, 3]


def test_a_wrong_bit_in_a_header_or_in_the_entries_is_noticed(tmp_path: Path) -> None:
    filled(tmp_path, (4,))
    array, entries = shards.array_path(tmp_path, 0), shards.entries_path(tmp_path, 0)
    whole = array.read_bytes()
    array.write_bytes(whole.replace(b"<f4", b">f4", 1))  # one bit, and other numbers
    assert shards.damaged(tmp_path, [0]) == [0]
    array.write_bytes(whole)
    entries.write_text(entries.read_text().replace('"row": 3', '"row": 2'))
    assert shards.damaged(tmp_path, [0]) == [0]
    with pytest.raises(ValueError, match=r"shard-00000.json: is not what was written"):
        shards.read_entries(tmp_path, 0)


def test_a_shard_of_another_length_dtype_or_shape_is_not_the_one_that_was_asked_for(tmp_path: Path) -> None:
    filled(tmp_path, (4, 2))
    assert shards.is_sound(tmp_path, 0, 4, np.float32, (3, 5))
    assert not shards.is_sound(tmp_path, 0, 5, np.float32, (3, 5))
    assert not shards.is_sound(tmp_path, 0, 4, np.float16, (3, 5))
    assert not shards.is_sound(tmp_path, 0, 4, np.float32, (15,))
    assert not shards.is_sound(tmp_path, 2, 4, np.float32, (3, 5))
    shards.write(tmp_path, 1, np.zeros((2, 15), np.float32), [])
    with pytest.raises(ValueError, match=r"shard-00001.npy: has float32 rows of shape \(15,\), not float32"):
        ShardArray.open(tmp_path, 2)


def test_what_is_brought_to_the_disk_is_there_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []

    def noted(path: Path) -> None:
        files.sync(path)
        synced.append(path)

    monkeypatch.setattr(shards, "sync", noted)
    filled(tmp_path, (4, 2))
    assert synced == [], "whoever writes does not wait"
    with shards.syncing() as sync:
        sync(tmp_path, 0)
        sync(tmp_path, 1)
    assert synced[-1] == tmp_path, "its names last"
    assert sorted(synced[:-1]) == sorted(tmp_path.iterdir())


def test_a_shard_that_this_node_sees_late_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, (4, 2))
    unseen = dict.fromkeys((shards.array_path(tmp_path, 1), shards.entries_path(tmp_path, 1)), 2)

    def late(path: Path) -> None:  # no test machine has a network file system
        if unseen.get(path, 0):
            unseen[path] -= 1
            raise FileNotFoundError(2, "No such file or directory")
        files.sync(path)

    monkeypatch.setattr(shards, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(shards, "sync", late)
    with shards.syncing() as sync:
        for number in range(2):
            sync(tmp_path, number)
    assert set(unseen.values()) == {0}
    assert shards.damaged(tmp_path, range(2)) == []


@pytest.mark.timeout(30)  # it would wait a minute
def test_an_error_does_not_wait_for_a_shard_that_is_not_seen(tmp_path: Path) -> None:
    filled(tmp_path, (4,))
    shards.array_path(tmp_path, 0).unlink()

    def bring() -> None:
        with shards.syncing() as sync:
            sync(tmp_path, 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring()


def test_what_is_not_listed_is_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, (4, 2))
    asked: list[int] = []

    def whole(folder: Path, number: int) -> bool:
        asked.append(number)
        return True

    monkeypatch.setattr(shards, "is_whole", whole)
    assert shards.damaged(tmp_path, range(5)) == [2, 3, 4]
    assert sorted(asked) == [0, 1]


def test_a_shard_that_cannot_be_brought_to_the_disk_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_PAUSES", (0.0,))
    filled(tmp_path, (4, 2, 3))
    shards.array_path(tmp_path, 1).unlink()

    def bring() -> None:
        with shards.syncing() as sync:
            for number in range(3):
                sync(tmp_path, number)

    with pytest.raises(DataError, match=r"^cannot write the cache .*: No such file"):
        bring()
    assert shards.numbers(tmp_path) == [0, 2]


def test_a_failing_disk_ends_the_work_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_PAUSES", (0.0,))
    filled(tmp_path, (4, 2))
    shards.array_path(tmp_path, 0).unlink()
    asked: list[int] = []

    def work() -> None:
        with shards.syncing() as sync:
            for _ in range(100_000):  # all of them, if it were told at the end only
                sync(tmp_path, 0)
                asked.append(0)

    with pytest.raises(DataError, match=r"^cannot write the cache "):
        work()
    assert len(asked) < 100_000


def test_an_interrupt_does_not_wait_for_shards_whose_turn_has_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, (1,))
    tried: list[Path] = []
    disk = threading.Event()  # which hangs until the pool has been told to stop

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            disk.set()
            super().shutdown(wait)

    def slow(path: Path) -> None:
        tried.append(path)
        disk.wait()

    monkeypatch.setattr(shards, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(shards, "sync", slow)

    def work() -> None:
        with shards.syncing() as sync:
            for _ in range(100):
                sync(tmp_path, 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert len(tried) < 100


OPEN = """\
import pathlib, resource, sys
from actrec.data import shards
from actrec.data.shard_array import ShardArray
from actrec.errors import EngineError
resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(sys.argv[2])))
folder = pathlib.Path(sys.argv[1])
try:
    print(len(ShardArray.open(folder, 100)))
except EngineError as error:
    print(error)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    filled(tmp_path, (1,) * 100)

    def opened(most: int) -> tuple[str, str]:
        command = [sys.executable, "-c", OPEN, str(tmp_path), str(most)]
        first, second = subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        return first, second

    rows, limits = opened(1000)
    assert rows == "100"
    assert limits != "(64, 1000)"
    assert limits.endswith(", 1000)")
    error, limits = opened(64)
    assert "too many files are open" in error
    assert "raise the limit of open files" in error
    assert limits == "(64, 64)"


def test_a_shard_is_not_damaged_where_too_many_files_are_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, (2,))

    def none_left(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(np, "load", none_left)
    with pytest.raises(EngineError, match=r"cannot open .*shard-00000.npy: too many files are open"):
        shards.damaged(tmp_path, [0])
    with pytest.raises(EngineError, match="too many files are open"):
        shards.is_sound(tmp_path, 0, 2, np.float32, (3, 5))


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"^cannot write the cache .*file: "):
        filled(tmp_path / "file", (1,))

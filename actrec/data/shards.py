"""Rows of one shape and dtype on disk: numbered ``.npy`` shards, each with a checksum.

::

    <folder>/shard-00000.npy      (n, *row_shape) of any dtype
    <folder>/shard-00000.json     {"entries": [...], "array": CRC-32 of it, "crc32": of this note}

What the entries say is the writer's affair; decoded clips have one a video, and as many rows as those have
clips. Both files are written aside and renamed, the array first: a shard is there once its JSON is. Two
writers of one shard write the same, so whoever is last wins nothing. CRC-32 runs at several GB/s, faster than
most disks. Writers do not wait for the disk: whoever has a set written brings its shards there meanwhile,
with :func:`syncing`. What a power cut takes before that fails its checksum and is made again.
"""

from __future__ import annotations

import errno
import os
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from actrec.data.sealed import seal, unseal
from actrec.errors import DataError, EngineError
from actrec.files import reason, replacing, sync

_THREADS = 8  # checksums release the GIL, and disks like several readers
_PIECE = 1 << 20  # bytes a write: the page cache takes small pieces much faster than large ones
# Seconds between looks for a shard that another node wrote, a minute in all: a client of network storage may
# hold a name that it once looked for in vain to be absent for that long.
_PAUSES = (0.1, 0.4, 1.5, 4.0, 8.0, 16.0, 30.0)
# NumPy parses a header as a Python literal, and in CPython 3.11 two threads that do so at once can raise
# SystemError: they count the depth of what they parse together (python/cpython#106905).
_PARSING = threading.Lock()

Array = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]


def write(folder: Path, number: int, array: Array, entries: Sequence[Mapping[str, Any]]) -> None:
    """Writes one shard, over an earlier one of its number. Does not wait for the disk.

    Args:
        array: (n, *row_shape), n ≥ 0, of a plain dtype (no objects).
        entries: what the rows are, ready for JSON.

    Raises:
        DataError: if it cannot be written (a full disk, a read-only folder); there is no half shard then.
    """
    array = np.ascontiguousarray(array)
    note = {"entries": list(entries), "array": _crc32(array)}
    with writing(folder):
        with replacing(array_path(folder, number), durable=False) as aside, aside.open("wb") as file:
            _save(file, array)
        put(entries_path(folder, number), seal(note), durable=False)


@contextmanager
def syncing() -> Iterator[Callable[[Path, int], None]]:
    """Brings shards to the disk while others are made; at its end, all are there.

    Gives a function of a shard's folder and number, which does not wait. Whoever wrote the shard, on whatever
    node: network storage has what was written once the file is closed there. A node that sees it later than
    that waits up to a minute for it. Where an error ends it, shards whose turn has not come are left to the
    system.

    Raises:
        DataError: from that function or at the end, if a shard cannot be brought there; it counts as missing
            then.
    """
    folders: set[Path] = set()
    begun: deque[Future[None]] = deque()
    pool = ThreadPoolExecutor(_THREADS)
    ended = threading.Event()

    def begin(folder: Path, number: int) -> None:
        while begun and begun[0].done():
            begun.popleft().result()
        folders.add(folder)
        begun.append(pool.submit(_sync, folder, number, ended))

    try:
        yield begin
        for one in begun:
            one.result()
    finally:
        ended.set()
        pool.shutdown(cancel_futures=True)
    for folder in folders:
        with writing(folder):
            sync(folder)  # the names


def _sync(folder: Path, number: int, ended: threading.Event) -> None:
    with writing(folder):
        try:
            _sync_once_visible(array_path(folder, number), ended)
            _sync_once_visible(entries_path(folder, number), ended)
        except OSError:  # what memory still has of it may be whole
            entries_path(folder, number).unlink(missing_ok=True)
            raise


def _sync_once_visible(path: Path, ended: threading.Event) -> None:
    """Syncs a file that its writer says is there; does not wait for it any longer once the work has ended."""
    for pause in _PAUSES:
        with suppress(FileNotFoundError):
            return sync(path)
        os.listdir(path.parent)  # makes a client of network storage ask again
        if ended.wait(pause):
            break
    return sync(path)


def read_entries(folder: Path, number: int) -> list[dict[str, Any]]:
    """What a shard's writer said of its rows.

    Raises:
        ValueError: if they cannot be read; names the file.
        EngineError: as :func:`load`.
    """
    entries: list[dict[str, Any]] = _note(folder, number)["entries"]
    return entries


def is_sound(folder: Path, number: int, rows: int, dtype: npt.DTypeLike, row_shape: Sequence[int]) -> bool:
    """Whether a shard is there and of this length, dtype and shape; reads its header only."""
    try:
        _note(folder, number)
        stored = load(folder, number)
    except ValueError:
        return False
    return stored.dtype == np.dtype(dtype) and stored.shape == (rows, *row_shape)


def is_whole(folder: Path, number: int) -> bool:
    """Whether a shard's bytes are those that were written: reads all of them."""
    try:
        return bool(_note(folder, number)["array"] == _crc32(load(folder, number)))
    except ValueError:
        return False


def numbers(folder: Path) -> list[int]:
    """The numbers of the shards that were written to a folder, in ascending order.

    From the list of its names. On network storage that is the way to ask what is there: a name that was
    opened in vain may count as absent for a while after another node has made it.
    """
    return sorted(int(path.stem.removeprefix("shard-")) for path in folder.glob("shard-*.json"))


def damaged(folder: Path, wanted: Sequence[int]) -> list[int]:
    """Which of these shards are missing or not whole. Reads everything, in threads; what is read stays in
    the page cache for those who come next."""
    there = set(numbers(folder))
    with ThreadPoolExecutor(_THREADS) as pool:
        whole = pool.map(lambda number: number in there and is_whole(folder, number), wanted)
        return [number for number, good in zip(wanted, whole, strict=True) if not good]


def stored(folder: Path) -> int:
    """Bytes that the shards in a folder take."""
    return sum(path.stat().st_size for path in folder.glob("shard-*.npy"))


def forget(folder: Path, numbers: Iterable[int]) -> None:
    """Makes shards count as missing, whatever is there of them.

    Raises:
        DataError: if the folder cannot be written.
    """
    with writing(folder):
        for number in numbers:
            entries_path(folder, number).unlink(missing_ok=True)


def load(folder: Path, number: int) -> Array:
    """A shard's rows as a memory map; reads its header.

    Raises:
        ValueError: if it is missing, or too short for its header; names the file.
        EngineError: if this process has too many files open: a map keeps one.
    """
    path = array_path(folder, number)
    try:
        with _PARSING:
            array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error) from error
    return array


def array_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.npy"


def entries_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.json"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Makes an ``OSError`` a DataError that names the cache folder."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot write the cache {folder}: {reason(error)}") from error


def put(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Writes a small file aside and renames it."""
    with replacing(path, durable=durable) as aside:
        aside.write_bytes(content)


def _save(file: BinaryIO, array: Array) -> None:
    """As ``np.save``, which writes an array at one go; Linux spends eight times as long on that."""
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    content = _bytes(array)
    for first in range(0, len(content), _PIECE):
        file.write(content[first : first + _PIECE])


def _crc32(array: Array) -> int:
    """Of the bytes, and of what the header says of them."""
    return zlib.crc32(_bytes(array), zlib.crc32(f"{array.dtype.str} {array.shape}".encode()))


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")


def _note(folder: Path, number: int) -> dict[str, Any]:
    path = entries_path(folder, number)
    try:
        return unseal(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ValueError | EngineError:
    """What to raise where a file of a shard cannot be read. Too many open files are no fault of the shard,
    which must not be made anew for them."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return EngineError(
            f"cannot open {path}: too many files are open, and a set in use takes one a shard; "
            "raise the limit of open files (ulimit -n, LimitNOFILE) and start again"
        )
    return ValueError(f"{path.name}: {reason(error)}")

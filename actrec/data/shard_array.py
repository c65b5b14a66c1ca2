"""The shards of a folder as one array of rows, memory-mapped."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from mmap import ALLOCATIONGRANULARITY, MADV_WILLNEED, PAGESIZE, mmap
from pathlib import Path
from typing import Any, Self

import numpy as np

from actrec.data.shards import Array, Int64, array_path, load

_SPARE = 256  # files that a process may open besides: libraries, sockets, videos


@dataclass(frozen=True)
class ShardArray:
    """Shards as one array of rows, read from disk as they are asked for.

    Attributes:
        arrays: at least one, each (n, *row_shape); memory maps where they were opened from a folder.
    """

    arrays: tuple[Array, ...]

    @classmethod
    def open(cls, folder: Path, count: int) -> Self:
        """Opens the shards 0 … count − 1 of a folder, count ≥ 1; reads their headers.

        Each stays an open file; this process's limit of those is raised where it is too low.

        Raises:
            ValueError: if one is missing or cut short, or they differ in dtype or shape; names the file.
            EngineError: if the limit of open files cannot be raised so far.
        """
        _allow_files(count)
        arrays = tuple(load(folder, number) for number in range(count))
        dtype, row_shape = arrays[0].dtype, arrays[0].shape[1:]
        for number, array in enumerate(arrays):
            if array.dtype != dtype or array.shape[1:] != row_shape:
                raise ValueError(
                    f"{array_path(folder, number).name}: has {array.dtype} rows of shape {array.shape[1:]}, "
                    f"not {dtype} of {row_shape}"
                )
        return cls(arrays)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.arrays[0].dtype

    @property
    def row_shape(self) -> tuple[int, ...]:
        return self.arrays[0].shape[1:]

    @cached_property
    def starts(self) -> Int64:
        """The row that each shard begins with, and the number of rows at its end."""
        return np.cumsum([0, *map(len, self.arrays)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def gather(self, rows: Int64) -> Array:
        """The rows of the given numbers, in that order: (len(rows), *row_shape), in memory of its own."""
        shard = np.searchsorted(self.starts, rows, side="right") - 1
        places = list(zip(shard.tolist(), (rows - self.starts[shard]).tolist(), strict=True))
        for number, row in places:  # all are asked for before the first is waited for
            _read_ahead(self.arrays[number], row)
        out = np.empty((len(rows), *self.row_shape), self.dtype)
        for position, (number, row) in enumerate(places):
            out[position] = self.arrays[number][row]
        return out


def _allow_files(count: int) -> None:
    """Raises the soft limit of open files towards the hard one, so that ``count`` more can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(os.listdir("/dev/fd")) + count + _SPARE
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if resource.RLIM_INFINITY != soft < most:
        with suppress(OSError, ValueError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _read_ahead(array: Array, row: int) -> None:
    """Starts reading a row of a memory map from disk, and does not wait: twice the rate of page faults."""
    memory: Any = array.base  # its type says that it is an array
    if isinstance(array, np.memmap) and isinstance(memory, mmap) and array.strides[0]:
        start = array.offset % ALLOCATIONGRANULARITY + row * array.strides[0]
        page = start - start % PAGESIZE
        memory.madvise(MADV_WILLNEED, page, start + array.strides[0] - page)

"""What a frozen prefix makes of a clip set, on disk: float32 rows, in the clips' order.

::

    <folder>/meta.json            what this is, written first
    <folder>/shard-00000.npy      float32 (n, …); see actrec.data.shards
    <folder>/shard-00000.json     its entries: {"pixels": …}, the fingerprint's sum of each clip's pixels
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from actrec.data import shards
from actrec.data.sealed import seal, unseal
from actrec.data.shard_array import ShardArray
from actrec.data.shards import Int64
from actrec.data.storage import discard_stale
from actrec.errors import DataError
from actrec.files import ASIDE, reason

FORMAT = 2
_META = "meta.json"
_SHARD_BYTES = 64 * 2**20
_SHARD_ROWS = 32

Float32 = npt.NDArray[np.float32]


def cut_into_shards(rows: int, row_shape: Sequence[int]) -> list[range]:
    """Consecutive runs of rows, at most about 64 MB each, and several for every device to work on."""
    step = max(1, min(_SHARD_ROWS, _SHARD_BYTES // (4 * prod(row_shape))))
    return [range(first, min(rows, first + step)) for first in range(0, rows, step)]


def begin(folder: Path, *, stages: int, count: int, about: dict[str, Any]) -> None:
    """Makes the folder of a feature set and notes what it will hold; shards of something else go missing.

    Args:
        stages: how many of the model's stages made the features.
        count: of shards.
        about: what else they depend on.

    Raises:
        DataError: if it cannot be written.
    """
    meta = {"format": FORMAT, "stages": stages, "shards": count, **about}
    with shards.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        discard_stale(folder, f"{ASIDE}*")
        content, path = seal(meta), folder / _META
        if not path.exists() or path.read_bytes() != content:
            shards.forget(folder, shards.numbers(folder))
            shards.put(path, content)


def write(folder: Path, number: int, features: Float32, sums: Int64) -> None:
    """Writes one shard: features (n, …), and the sum of each clip's pixels, (n,).

    Raises:
        DataError: if it cannot be written.
    """
    shards.write(folder, number, features, [{"pixels": value} for value in sums.tolist()])


def is_complete(folder: Path) -> bool:
    """Whether a set has all its shards. Whether they are whole, :func:`damaged` tells."""
    try:
        return bool(unseal((folder / _META).read_bytes())["shards"] == len(shards.numbers(folder)))
    except (OSError, ValueError):
        return False


def damaged(folder: Path) -> list[str]:
    """Which files of a set are not what was written, by name; reads every byte."""
    found = []
    try:
        unseal((folder / _META).read_bytes())
    except (OSError, ValueError):
        found.append(_META)
    wrong = shards.damaged(folder, shards.numbers(folder))
    return found + [shards.array_path(folder, number).name for number in wrong]


@dataclass(frozen=True)
class FeatureSet:
    """A complete feature set, opened for reading.

    Attributes:
        folder: where it lies; its name is the key.
        stages: how many of the model's stages made the features.
        shards: float32 (n, …), a row a clip.
        sums: int64 (n,), of each clip's pixels; see :func:`actrec.training.fingerprint.pixel_sums`.
    """

    folder: Path
    stages: int
    shards: ShardArray
    sums: Int64

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens a set whose shards are all there.

        Raises:
            DataError: if one is missing or cut short, or the format is another; says which folder to delete.
        """
        try:
            meta = unseal((folder / _META).read_bytes())
            if meta["format"] != FORMAT:
                raise ValueError(f"{_META}: has format {meta['format']}, not {FORMAT}")
            count = meta["shards"]
            opened = ShardArray.open(folder, count)
            entries = [entry for number in range(count) for entry in shards.read_entries(folder, number)]
            sums = np.array([entry["pixels"] for entry in entries], np.int64)
            if opened.dtype != np.float32 or len(opened) != len(sums):
                raise ValueError(f"{len(opened)} rows of {opened.dtype} with {len(sums)} entries")
            return cls(folder, meta["stages"], opened, sums)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"the features in {folder} are not complete or are damaged ({reason(error)}); "
                "delete that folder, and they are computed again"
            ) from error

    def gather(self, rows: Int64) -> Float32:
        """The features of the clips at the given rows, in that order: float32 (B, …)."""
        return self.shards.gather(rows)

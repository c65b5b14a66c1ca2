"""The table ``videos`` → how long, how large and how fast the videos are, and which share a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actrec.data.checks import SPLITS, strings
from actrec.results import parquet
from actrec.results.schema import TABLES


@dataclass(frozen=True, slots=True)
class Box:
    """A box plot of n values: quartiles, and the least and greatest value within 1.5 times the interquartile
    range of the box (Tukey, "Exploratory Data Analysis", 1977); and the least and greatest of all."""

    name: str
    n: int
    low: float
    q1: float
    median: float
    q3: float
    high: float
    least: float
    greatest: float

    @classmethod
    def of(cls, name: str, values: NDArray[np.float64]) -> Box:
        """Of at least one value."""
        q1, median, q3 = map(float, np.quantile(values, [0.25, 0.5, 0.75]))
        reach = 1.5 * (q3 - q1)
        inside = values[(values >= q1 - reach) & (values <= q3 + reach)]
        low, high, least, greatest = map(float, (inside.min(), inside.max(), values.min(), values.max()))
        return cls(name, len(values), low, q1, median, q3, high, least, greatest)


def constant(boxes: Sequence[Box]) -> float | None:
    """The value that all videos have; None where they differ, or there are none."""
    found = {end for box in boxes for end in (box.least, box.greatest)}
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Videos:
    """The manifest's videos.

    Attributes:
        seconds: their duration by class; of the readable videos that are used.
        sides, rates: the shorter side in pixels, and the frames a second, by split; of the same.
        groups: how many groups there are in train, val and test together.
        trained: the groups that a training video is of.
        blocks: video id → block; empty where there is but one.
    """

    seconds: tuple[Box, ...]
    sides: tuple[Box, ...]
    rates: tuple[Box, ...]
    groups: int
    trained: frozenset[str]
    blocks: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """Test top-1 of an arm on ``n_seen`` videos whose group was trained on and on the ``n_new`` others."""

    arm: str
    n_seen: int
    n_new: int
    seen: float
    new: float


@dataclass(frozen=True, slots=True)
class BlockScore:
    """Top-1 of an arm on the ``n`` test videos of a block, a value for each of its finished seeds."""

    arm: str
    block: str
    n: int
    top1: tuple[float, ...]


def read_videos(folder: Path) -> Videos | None:
    """None where the study has no such table.

    Raises:
        LedgerError: if it cannot be read.
    """
    path = folder / "videos.parquet"
    if not path.exists():
        return None
    table = pa.concat_tables([TABLES["videos"].empty_table(), *parquet.scan(path, "videos")])
    used = table.filter((pc.field("status") == "ok") & (pc.field("split") != "unused"))
    sides = np.minimum(_numbers(used, "width"), _numbers(used, "height"))
    trained = used.filter(pc.field("split") == "train")["group"]
    blocks = dict(zip(strings(used, "video_id"), strings(used, "block"), strict=True))
    return Videos(
        seconds=_boxes(used, "class_name", _numbers(used, "seconds")),
        sides=_boxes(used, "split", sides),
        rates=_boxes(used, "split", _numbers(used, "fps")),
        groups=len(pc.unique(used["group"])),
        trained=frozenset(map(str, trained.to_pylist())),
        blocks=blocks if len(set(blocks.values())) > 1 else {},
    )


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name].to_numpy(), np.float64)


def _boxes(table: pa.Table, by: str, values: NDArray[np.float64]) -> tuple[Box, ...]:
    """A box for each value of a column: splits in their order, else in that of the table."""
    names = np.asarray(table[by].to_pylist(), object)
    known: Mapping[str, None] = dict.fromkeys(names.tolist())
    order = [split for split in SPLITS if split in known] if by == "split" else list(known)
    found = {name: values[(names == name) & np.isfinite(values)] for name in order}
    return tuple(Box.of(name, own) for name, own in found.items() if len(own))

"""A manifest in numbers, for reports and for the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from actrec.data.checks import SPLITS
from actrec.data.layouts import OFFICIAL

USED = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A video that does not open, and why."""

    video_id: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What a manifest holds.

    Attributes:
        videos: split → class → videos, unreadable ones included; every split and class is there.
        undecodable: the unreadable videos.
        groups: number of groups in train, val and test together.
        straddling: group → the splits that it is in, for groups in more than one of those.
        leaks: those of the straddling groups that no official list put on two sides; always a fault.
        absent: split → classes without a readable video in it.
    """

    videos: Mapping[str, Mapping[str, int]]
    undecodable: tuple[Undecodable, ...]
    groups: int
    straddling: Mapping[str, tuple[str, ...]]
    leaks: tuple[str, ...]
    absent: Mapping[str, tuple[str, ...]]


def count(table: pa.Table, class_names: Sequence[str], answerable: frozenset[str]) -> Counts:
    """Count a manifest's table, of which ``answerable`` are the splits of :func:`not_official`."""
    videos = {split: dict.fromkeys(class_names, 0) for split in SPLITS}
    readable = {split: set[str]() for split in USED}
    undecodable, splits_of = [], dict[str, set[str]]()
    for row in table.to_pylist():
        videos[row["split"]][row["class_name"]] += 1
        if row["status"] != "ok":
            undecodable.append(Undecodable(row["video_id"], row["path"], row["reason"]))
        elif row["split"] in USED:
            readable[row["split"]].add(row["class_name"])
        if row["split"] in USED:
            splits_of.setdefault(row["group"], set()).add(row["split"])
    straddling = {
        group: tuple(split for split in USED if split in splits)
        for group, splits in sorted(splits_of.items())
        if len(splits) > 1
    }
    return Counts(
        videos=videos,
        undecodable=tuple(undecodable),
        groups=len(splits_of),
        straddling=straddling,
        leaks=tuple(group for group, splits in straddling.items() if len(answerable & set(splits)) > 1),
        absent={
            split: tuple(name for name in class_names if name not in present)
            for split, present in readable.items()
        },
    )


def not_official(layout: str, cut: tuple[str, ...]) -> frozenset[str]:
    """The splits that are not parted from each other by official lists: a group in two of them is a fault.

    Validation is cut from train. So with official train and test, a cut of ours parts train from val only.
    Lists that somebody made for a folder answer for nothing: there it is all splits.

    Args:
        layout, cut: those of a :class:`~actrec.data.manifest.Manifest`.
    """
    if layout not in OFFICIAL:
        return frozenset(USED)
    return {(): frozenset[str](), ("val",): frozenset({"train", "val"})}.get(cut, frozenset(USED))

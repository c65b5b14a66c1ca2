"""HMDB51 (Kuehne et al., 2011): ``<class>_test_split<K>.txt``, where 1 is train, 2 test and 0 neither."""

from __future__ import annotations

import re
from pathlib import Path

from actrec.data.layouts.base import Entry, Listing, Split, locate, official, read_lines, refuse_twice
from actrec.errors import LayoutError

TAGS: dict[str, Split] = {"0": "unused", "1": "train", "2": "test"}


def read(root: Path, *, splits: Path | None, split: int | None, group_regex: str | None) -> Listing:
    """List HMDB51 as its official split ``split`` (1, 2 or 3; default 1) has it.

    The group is the source film: the file's name up to the first ``_<class>_``. Where a film's title itself
    holds that text, the first one gives the coarser group, which can only join what may be one recording.
    A film may hold several classes. In split 1, 134 of 1,350 films are both in train and in test; the lists
    are followed all the same.
    """
    folder = official("hmdb51", splits, group_regex)
    number = 1 if split is None else split
    classes = _classes(folder, number)
    named: list[tuple[str, str, Split]] = []
    for class_name in classes:
        path = folder / f"{class_name}_test_split{number}.txt"
        for line in read_lines(path):
            name, _, tag = line.rpartition(" ")
            if tag not in TAGS:
                raise LayoutError(f"{path}: {line!r} must end in 0 (unused), 1 (train) or 2 (test)")
            if f"_{class_name}_" not in name:
                raise LayoutError(f"{path}: {line!r}: the name does not hold _{class_name}_")
            named.append((class_name, name.strip(), TAGS[tag]))
    names = [f"{class_name}/{name}" for class_name, name, _ in named]
    refuse_twice(folder, names)
    where, notes = locate(root, names)
    entries = tuple(
        Entry(
            video_id=video_id,
            path=where.get(video_id, video_id),
            class_name=class_name,
            group=name.partition(f"_{class_name}_")[0],
            split=part,
            present=video_id in where,
        )
        for video_id, (class_name, name, part) in zip(names, named, strict=True)
    )
    return Listing(classes, entries, notes)


def _classes(folder: Path, number: int) -> tuple[str, ...]:
    found: dict[int, set[str]] = {}
    for path in folder.iterdir():
        if match := re.fullmatch(r"(.+)_test_split(\d+)\.txt", path.name):
            found.setdefault(int(match[2]), set()).add(match[1])
    if number not in found:
        there = ", ".join(map(str, sorted(found))) or "none"
        raise LayoutError(f"{folder}: no <class>_test_split{number}.txt (split numbers there: {there})")
    lacking = sorted(set().union(*found.values()) - found[number])
    if lacking:
        raise LayoutError(f"{folder}: no {lacking[0]}_test_split{number}.txt, but other splits have it")
    return tuple(sorted(found[number]))

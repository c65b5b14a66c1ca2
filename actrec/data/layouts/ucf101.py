"""UCF101 (Soomro et al., 2012): ``classInd.txt``, ``trainlist0K.txt``, ``testlist0K.txt``."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from actrec.data.layouts.base import Entry, Listing, Split, locate, official, read_lines, refuse_twice
from actrec.errors import LayoutError
from actrec.fields import unknown

GROUP = re.compile(r"_(g\d+)_c\d+$")


def read(root: Path, *, splits: Path | None, split: int | None, group_regex: str | None) -> Listing:
    """List UCF101 as its official split ``split`` (1, 2 or 3; default 1) has it.

    Labels follow ``classInd.txt``. Clips with the same ``g01`` within one class were cut from one recording;
    group numbers start anew in each class, so the group is ``<class>_g01``.
    """
    folder = official("ucf101", splits, group_regex)
    classes = _classes(folder / "classInd.txt")
    named: list[tuple[str, Split]] = []
    parts: tuple[Split, ...] = ("train", "test")
    for part in parts:
        path = folder / f"{part}list{1 if split is None else split:02d}.txt"
        for line in read_lines(path):
            name = line.split()[0]
            class_name = PurePosixPath(name).parts[0]
            if class_name not in classes:
                raise LayoutError(f"{path}: {line!r}: {unknown('class', class_name, classes)}")
            if not GROUP.search(PurePosixPath(name).stem):
                raise LayoutError(f"{path}: {line!r}: the name does not end in _g<group>_c<clip>")
            named.append((name, part))
    names = [name for name, _ in named]
    refuse_twice(folder, names)
    where, notes = locate(root, names)
    entries = tuple(
        Entry(
            video_id=name,
            path=where.get(name, name),
            class_name=PurePosixPath(name).parts[0],
            group=_group(name),
            split=part,
            present=name in where,
        )
        for name, part in named
    )
    return Listing(classes, entries, notes)


def _group(name: str) -> str:
    path = PurePosixPath(name)
    match = GROUP.search(path.stem)
    assert match  # checked as the lists were read
    return f"{path.parts[0]}_{match[1]}"


def _classes(path: Path) -> tuple[str, ...]:
    classes = []
    for number, line in enumerate(read_lines(path), start=1):
        index, _, name = line.partition(" ")
        if index != str(number) or not name:
            raise LayoutError(f"{path}: line {number} is {line!r}; it must be '{number} <class>'")
        classes.append(name)
    return tuple(classes)

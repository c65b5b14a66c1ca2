"""Any data set kept as ``root/<class>/<files>``."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from actrec.data.layouts.base import Entry, Listing, Split, read_lines, refuse_twice, video_files
from actrec.errors import LayoutError


def read(root: Path, *, splits: Path | None, split: int | None, group_regex: str | None) -> Listing:
    """List ``root/<class>/**/<file>``; classes are the folders' names in alphabetical order.

    ``group_regex`` is searched in each path within the root; its one capture group, or the one named
    ``group``, is the video's group. Without it every video is a group of its own.

    ``splits`` is a folder with ``train.txt``, ``test.txt`` and, if validation is not to be cut from train,
    ``val.txt``; each line is a path within the root. With ``split`` K they are ``train<K>.txt`` and so on.
    Videos in no list are kept as ``unused``.
    """
    videos, others = video_files(root)
    inside = [path for path in videos if "/" in path]
    if not inside:
        hint = " (they must be in one folder for each class)" if videos else ""
        raise LayoutError(f"{root}: no video in any <class>/ folder{hint}")
    notes = []
    if others:
        notes.append(f"{len(others)} files have no video's suffix and were passed over, e.g. {others[0]}")
    if len(inside) < len(videos):
        notes.append(f"{len(videos) - len(inside)} videos are in no class folder and were passed over")
    lists = None if splits is None else _lists(splits, split)
    listed = lists or {}
    paths = sorted({*inside, *listed})
    present = set(inside)
    pattern = None if group_regex is None else _compile(group_regex)
    entries = tuple(
        Entry(
            video_id=path,
            path=path,
            class_name=PurePosixPath(path).parts[0],
            group=_group(path, pattern),
            split=None if lists is None else listed.get(path, "unused"),
            present=path in present,
        )
        for path in paths
    )
    # A class of which no list names a video is not part of the task that the lists define.
    classes = sorted({entry.class_name for entry in entries if entry.split != "unused"})
    dropped = sorted({entry.class_name for entry in entries} - set(classes))
    if dropped:
        notes.append(f"no list names a video of these classes, which were left out: {', '.join(dropped)}")
    kept = tuple(entry for entry in entries if entry.class_name in set(classes))
    return Listing(tuple(classes), kept, tuple(notes))


def _lists(folder: Path, number: int | None) -> dict[str, Split]:
    """Path within the root → split, from the folder's lists."""
    suffix = "" if number is None else str(number)
    names: list[tuple[str, Split]] = []
    for part in ("train", "val", "test"):
        path = folder / f"{part}{suffix}.txt"
        if part == "val" and not path.exists():
            continue
        for line in read_lines(path):
            name = PurePosixPath(line)
            if name.is_absolute() or ".." in name.parts or len(name.parts) < 2:
                raise LayoutError(f"{path}: {line!r} is not a path <class>/<file> within the root")
            names.append((name.as_posix(), part))
    refuse_twice(folder, [name for name, _ in names])
    return dict(names)


def _compile(regex: str) -> re.Pattern[str]:
    """The group regex, which must capture one thing."""
    try:
        pattern = re.compile(regex)
    except re.error as error:
        raise LayoutError(f"group regex {regex!r}: {error}") from None
    if "group" not in pattern.groupindex and pattern.groups != 1:
        raise LayoutError(
            f"group regex {regex!r}: has {pattern.groups} capture groups; "
            "it must have exactly one, or one named 'group'"
        )
    return pattern


def _group(path: str, pattern: re.Pattern[str] | None) -> str:
    if pattern is None:
        return path
    match = pattern.search(path)
    group = match["group" if "group" in pattern.groupindex else 1] if match else None
    if not group:
        raise LayoutError(f"group regex {pattern.pattern!r}: finds no group in {path!r}")
    return group

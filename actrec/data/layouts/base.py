"""What every data-set layout shares: its result, and how it looks at a disk and at split lists."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from actrec.errors import LayoutError

Split = Literal["train", "val", "test", "unused"]

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".ogv", ".ts", ".webm", ".wmv",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Entry:
    """One video, as names alone tell; no file has been opened.

    Attributes:
        video_id: the name that the split lists give it, or its path within the root.
        path: POSIX path within the root.
        class_name: its class.
        group: videos that share people, scene or source film share a group.
        split: as the lists give it; None where there are no lists.
        present: False for a video that a list names and the disk lacks.
    """

    video_id: str
    path: str
    class_name: str
    group: str
    split: Split | None = None
    present: bool = True


@dataclass(frozen=True, slots=True)
class Listing:
    """All videos of a data set.

    Attributes:
        classes: class names in the order of their labels.
        entries: one for each video.
        notes: what a user should know, one sentence each (files passed over and the like).
    """

    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


class Layout(Protocol):
    """Turns a folder, and split lists where there are any, into a :class:`Listing`."""

    def __call__(
        self, root: Path, *, splits: Path | None, split: int | None, group_regex: str | None
    ) -> Listing:
        """List the videos below ``root``.

        Raises:
            LayoutError: if a file or folder that the layout needs is absent or malformed; it names the file.
        """
        ...


def video_files(root: Path) -> tuple[list[str], list[str]]:
    """Sorted POSIX paths below ``root``: those with a video's suffix, then all others; hidden ones left out.

    Raises:
        LayoutError: if ``root`` is no folder, a folder below it is a link, or a name is not valid Unicode.
    """
    if not root.is_dir():
        raise LayoutError(f"{root}: not a folder")
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if os.path.islink(os.path.join(folder, name)):
                raise LayoutError(f"{os.path.join(folder, name)}: links to folders are not followed")
        within = Path(folder).relative_to(root)
        found += [(within / name).as_posix() for name in files if not name.startswith(".")]
    for path in found:
        if path != path.encode(errors="replace").decode():
            raise LayoutError(f"{root}: the name of {path!a} is not valid Unicode; rename the file")
    found.sort()
    videos = [path for path in found if PurePosixPath(path).suffix.lower() in VIDEO_SUFFIXES]
    return videos, sorted(set(found) - set(videos))


def locate(root: Path, names: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Where official lists' videos lie: name → path within ``root``, and notes.

    A video is found by its exact path, else by its name, whatever its folder, case and suffix: UCF101's
    lists and archives write both HandstandPushups and HandStandPushups, and many copies are re-encoded.

    Raises:
        LayoutError: if none is found, or if two files could be the same video.
    """
    videos, _ = video_files(root)
    exact, by_stem = set(videos), defaultdict(list)
    for path in videos:
        by_stem[_stem(path)].append(path)
    where: dict[str, str] = {}
    for name in names:
        candidates = [name] if name in exact else by_stem[_stem(name)]
        if len(candidates) > 1:
            raise LayoutError(f"{root}: {name} could be any of: {', '.join(candidates)}")
        if candidates:
            where[name] = candidates[0]
    if not where:
        raise LayoutError(f"{root}: none of the {len(names)} videos that the lists name is in this folder")
    unlisted = len(exact - set(where.values()))
    return where, (f"{unlisted} video files are in no list and were passed over",) if unlisted else ()


def _stem(path: str) -> str:
    return unicodedata.normalize("NFC", PurePosixPath(path).stem).casefold()


def read_lines(path: Path) -> list[str]:
    """The lines of a split list that are not blank, stripped.

    Raises:
        LayoutError: if the file cannot be read; names the files of the same kind that are there.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        near = sorted(other.name for other in path.parent.glob(f"*{path.suffix}"))[:12]
        raise LayoutError(f"{path}: no such file (in that folder: {', '.join(near) or 'none'})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError(f"{path}: {error}") from None
    return [line for line in lines if line]


def official(name: str, splits: Path | None, group_regex: str | None) -> Path:
    """The folder of a data set's official lists, after checking that it was asked for as it must be."""
    if group_regex is not None:
        raise LayoutError(f"the groups of {name} are known; a group regex is for the layout 'folder'")
    if splits is None:
        raise LayoutError(f"the layout {name!r} needs the folder of its official split lists")
    if not splits.is_dir():
        raise LayoutError(f"{splits}: not a folder")
    return splits


def refuse_twice(where: Path, names: Sequence[str]) -> None:
    """Raise if lists name a video more than once."""
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise LayoutError(f"{where}: the lists name {twice[0]} more than once")

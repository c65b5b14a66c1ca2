"""Files that are wholly there or not at all: written aside, synced, then renamed. All raise ``OSError``."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ASIDE = ".aside-"  # what a killed writer leaves begins so, and no reader looks at it


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Gives a path beside ``path`` to write a file or a folder to, and renames it to ``path`` at the end.

    A name of its own for each writer: process ids repeat over the nodes of a cluster. Unless ``durable``, it
    does not wait for the disk: for what is of no use once the machine is down, or is synced later.

    Raises:
        OSError: if writing fails. Nothing is left behind then.
    """
    aside = path.parent / f"{ASIDE}{path.name}-{uuid.uuid4().hex[:8]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        if durable:
            sync(aside)
        os.replace(aside, path)
        if durable:
            sync(path.parent)
    finally:
        discard(aside)


def write(path: Path, content: bytes) -> None:
    """Writes a file, and waits until it is on the disk."""
    path.write_bytes(content)
    sync(path)


def sync(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(path: Path) -> None:
    """Removes a file or folder that is ours and half-written; does nothing where there is none."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def reason(error: Exception) -> str:
    """Why, in one line: the system's words where it has some."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__

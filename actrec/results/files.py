"""Files that are wholly there or not at all: written aside, synced, then renamed."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from actrec.errors import LedgerError

ASIDE = ".aside-"  # what a killed writer leaves begins so, and no reader looks at it


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside ``path`` to write to, and renames it to ``path`` at the end.

    Raises:
        LedgerError: if writing fails; names the folder and the reason. Nothing is left behind then.
    """
    aside = path.parent / f"{ASIDE}{path.name}-{uuid.uuid4().hex[:8]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        sync(aside)
        os.replace(aside, path)
        sync(path.parent)
    except OSError as error:
        raise LedgerError(f"cannot write results to {path.parent}: {reason(error)}") from error
    finally:
        discard(aside)


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as JSON, atomically. Raises LedgerError as :func:`replacing` does."""
    with replacing(path) as aside:
        aside.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def move(source: Path, target: Path) -> None:
    """Renames, making the target's folder where it is missing. Raises LedgerError where it cannot."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)
        sync(source.parent)
        sync(target.parent)
    except OSError as error:
        raise LedgerError(f"cannot move {source} to {target}: {reason(error)}") from error


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


def reason(error: OSError) -> str:
    """Why, in one line: the system's words where it has some."""
    return error.strerror or " ".join(str(error).split())

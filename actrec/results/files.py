"""Writing into a study's folder: as :mod:`actrec.files` does it, with errors that name the folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actrec import files
from actrec.errors import LedgerError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """:func:`actrec.files.replacing`.

    Raises:
        LedgerError: if writing fails; names the folder and the reason. Nothing is left behind then.
    """
    try:
        with files.replacing(path) as aside:
            yield aside
    except OSError as error:
        raise LedgerError(f"cannot write results to {path.parent}: {files.reason(error)}") from error


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as JSON, atomically. Raises LedgerError as :func:`replacing` does."""
    with replacing(path) as aside:
        aside.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def move(source: Path, target: Path) -> None:
    """Renames, making the target's folder where it is missing. Raises LedgerError where it cannot."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)
        files.sync(source.parent)
        files.sync(target.parent)
    except OSError as error:
        raise LedgerError(f"cannot move {source} to {target}: {files.reason(error)}") from error

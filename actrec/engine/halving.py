"""Batch sizes that were halved because memory was short, told through the file system.

The word is a folder, ``<checkpoints of the trial>/batch-<size>``, which every worker of a group sees and
which outlives them all. The checkpoints of that size go into it.
"""

from __future__ import annotations

from pathlib import Path

_PREFIX = "batch-"


def halve(place: Path, size: int) -> bool:
    """Leaves word that the trial of these checkpoints is to be begun anew with half of ``size``.

    Returns:
        Whether that was possible: of 1 there is no half, and a full disk takes no word.
    """
    if size < 2:
        return False
    try:
        place_of(place, size // 2).mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return True


def current(place: Path, size: int) -> int:
    """The batch size that a trial has come down to, from the ``size`` that was asked for."""
    return min([size, *(int(path.name.removeprefix(_PREFIX)) for path in place.glob(f"{_PREFIX}*"))])


def place_of(place: Path, size: int) -> Path:
    """Where checkpoints of that reduced size go."""
    return place / f"{_PREFIX}{size}"

"""``study.json`` → plain values. What it lacks is left out of the page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from actrec.data.counts import Undecodable
from actrec.errors import LedgerError
from actrec.report.values import Data, Launch

T = TypeVar("T")
Row = Mapping[str, Any]


def read_study(folder: Path) -> Row:
    """What ``study.json`` holds; nothing where there is none.

    Raises:
        LedgerError: if it cannot be read.
    """
    path = folder / "study.json"
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LedgerError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise LedgerError(f"{path} must hold a JSON object, not {type(found).__name__}")
    return found


def at(values: Row, path: str, kind: type[T], default: Any) -> Any:
    """The value at a dotted path of nested mappings, or ``default`` where it is missing or not a ``kind``."""
    value: Any = values
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, kind) else default


def flat(values: Row, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted path → value."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def word(value: object) -> str:
    """A value as text, nothing as no text."""
    return "" if value is None else str(value)


def finite(value: float | None) -> float | None:
    """A number; None for one that is missing, NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None


def launches(study: Row) -> tuple[Launch, ...]:
    """The launches on the data of the plan: one folder may hold trials on other data too."""
    digest = at(study, "manifest.digest", str, None)
    entries = at(study, "launches", list, [])
    return tuple(_launch(entry) for entry in entries if entry.get("manifest", digest) == digest)


def _launch(values: Row) -> Launch:
    seconds = at(values, "seconds", object, None)
    return Launch(
        at(values, "started", str, ""),
        at(values, "command", str, ""),
        float(seconds) if isinstance(seconds, int | float) else None,
        *(at(values, key, int, 0) for key in ("videos", "clip_keys", "decoded", "reused")),
    )


def data(study: Row) -> Data:
    """The manifest in numbers."""
    counts = {
        str(split): {str(name): int(n) for name, n in found.items()}
        if isinstance(found, Mapping)
        else {"": int(found)}
        for split, found in at(study, "manifest.counts", dict, {}).items()
    }
    counts = {split: classes for split, classes in counts.items() if any(classes.values())}
    undecodable = at(study, "manifest.undecodable", list, None)
    return Data(
        counts=counts,
        undecodable=None
        if undecodable is None
        else tuple(
            Undecodable(word(row.get("video_id")), word(row.get("path")), word(row.get("reason")))
            for row in undecodable
        ),
        straddling_groups=at(study, "manifest.straddling_groups", int, None),
        near_duplicates=at(study, "manifest.near_duplicates", int, None),
        split_source=at(study, "manifest.split_source", str, None),
    )

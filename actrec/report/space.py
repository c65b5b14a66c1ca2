"""A search's space as ``study.json`` has it → dimensions; a trial's settings → its place in them."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from actrec.report.record import Row
from actrec.report.values import Dimension
from actrec.spec import PRESETS


def read_space(space: Mapping[str, Row]) -> tuple[Dimension, ...]:
    """The dimensions, in their order: each after the one that it depends on."""
    shared = Counter(path.rpartition(".")[2] for path in space)
    return tuple(
        _dimension(path, entry, path if shared[last := path.rpartition(".")[2]] > 1 else last)
        for path, entry in space.items()
    )


def _dimension(path: str, entry: Row, label: str) -> Dimension:
    when = entry.get("when")
    condition = None if when is None else (when["path"], tuple(when["values"]))
    if "choices" in entry:
        return Dimension(path, label, choices=tuple(entry["choices"]), when=condition)
    return Dimension(
        path,
        label,
        low=entry["low"],
        high=entry["high"],
        step=entry.get("step"),
        whole=entry["kind"] == "int",
        log=bool(entry.get("log")),
        when=condition,
    )


def params(space: Sequence[Dimension], settings: Row) -> dict[str, Any]:
    """A trial's nested settings in the dimensions that exist for it; nothing without settings."""
    found: dict[str, Any] = {}
    for dimension in space if settings else ():
        if dimension.when is None or _holds(*dimension.when, found):
            found[dimension.path] = _level(dimension, settings)
    return found


def _holds(path: str, values: Sequence[Any], found: Mapping[str, Any]) -> bool:
    """Whether a dimension exists and has one of ``values``; True is not 1 here."""
    return path in found and any(
        isinstance(found[path], bool) == isinstance(value, bool) and found[path] == value for value in values
    )


def _level(dimension: Dimension, settings: Row) -> Any:
    """A value; of a whole part the name of the preset that it is."""
    value: Any = settings
    for key in dimension.path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping):
        return value
    presets = PRESETS.get(dimension.path, {})
    same = (name for name in dimension.choices if name in presets and _plain(presets[name]) == value)
    return next(same, "another")


def _plain(preset: Any) -> Any:
    """As JSON has it."""
    return json.loads(json.dumps(dataclasses.asdict(preset)))

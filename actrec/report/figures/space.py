"""Axes of a search's dimensions."""

from __future__ import annotations

import math
from typing import Any

from actrec.report import words
from actrec.report.figures import style
from actrec.report.values import Dimension, Tried

PAD = 0.06  # of an axis' width, on both sides
JITTER = 0.5  # of the distance of two categories: how far points of one are spread, so that each is seen


def axis(dimension: Dimension) -> dict[str, Any]:
    """The axis of a dimension: as it is searched, categories side by side."""
    if dimension.choices:
        labels = [style.text(str(choice)) for choice in dimension.choices]
        return {
            "range": [-0.6, len(labels) - 0.4],
            "tickvals": list(range(len(labels))),
            "ticktext": labels,
            "showgrid": False,
            "zeroline": False,
        }
    ends = (dimension.low, dimension.high)
    low, high = map(math.log10, ends) if dimension.log else ends
    pad = PAD * (high - low)
    shape: dict[str, Any] = {"range": [low - pad, high + pad], "zeroline": False, "nticks": 5, "tickangle": 0}
    if dimension.whole and not dimension.log:
        shape |= {"tick0": low, "dtick": max(1, math.ceil((high - low) / 5))}
    if dimension.log:
        powers = [10.0**k for k in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]
        ticks = powers if len(powers) > 1 else sorted({*ends, *powers})
        shape |= {"type": "log", "tickvals": ticks, "ticktext": [words.setting(tick) for tick in ticks]}
    return shape


def place(dimension: Dimension, one: Tried) -> float | None:
    """Where a trial is on that axis; None where the dimension does not exist for it, or is not recorded."""
    if dimension.path not in one.params:
        return None
    value = one.params[dimension.path]
    if not dimension.choices:
        return float(value)
    alike = (
        k
        for k, choice in enumerate(dimension.choices)
        if choice == value and isinstance(choice, bool) == isinstance(value, bool)
    )
    at = next(alike, None)
    # By its number, so that points lie apart, and the same at every time.
    return None if at is None else at + JITTER * ((one.number * 0.618034) % 1 - 0.5)


def hover(one: Tried) -> str:
    """A trial's number and what it set, line by line."""
    settings = [f"{path} = {words.setting(value)}" for path, value in one.params.items()]
    return "<br>".join(style.text(line) for line in (one.name, *settings))

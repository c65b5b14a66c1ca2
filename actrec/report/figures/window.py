"""The part of an axis that is shown: one arm far from all others must not squeeze them into a corner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Span = tuple[float, float]

FAR = 2.0  # how many times further from the reference than the next arm an outlier is
MARGIN = 0.06  # of the width, on both sides


@dataclass(frozen=True, slots=True)
class Window:
    """The ends of an axis."""

    low: float
    high: float

    def side(self, x: float) -> int:
        """-1 left of the window, 1 right of it, 0 inside."""
        return (x > self.high) - (x < self.low)

    def clip(self, x: float) -> float:
        """``x``, or the end of the window that it is beyond."""
        return min(max(x, self.low), self.high)

    def arrow(self, x: float, label: str, colour: str) -> dict[str, Any]:
        """A marker at the edge that points at ``x`` outside, with its value as text."""
        left = self.side(x) < 0
        pad = MARGIN / 2 * (self.high - self.low)
        return {
            "x": [self.low + pad if left else self.high - pad],
            "mode": "markers+text",
            "marker": {"color": colour, "symbol": "triangle-left" if left else "triangle-right", "size": 12},
            "text": [label],
            "textposition": "middle right" if left else "middle left",
            "cliponaxis": False,
        }

    def axis(self, *, signed: bool = False) -> dict[str, Any]:
        """The range, and round ticks in it."""
        step = _step((self.high - self.low) / 5)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        ticks = [round(k * step, 10) for k in range(first, last + 1)]
        names = [f"{tick:+g}" if signed and tick else f"{tick:g}" for tick in ticks]
        return {
            "range": [self.low, self.high],
            "tickvals": ticks,
            "ticktext": [name.replace("-", "−") for name in names],
            "tickangle": 0,
        }


def window(spans: Sequence[Span], reference: float) -> Window:
    """What shows ``reference`` and all ``spans`` but outliers: a quarter of the spans at most, each of which
    reaches more than ``FAR`` times as far from the reference as any that is shown."""
    reaches = sorted((max(abs(low - reference), abs(high - reference)) for low, high in spans), reverse=True)
    cuts = [k for k in range(1, len(spans) // 4 + 1) if reaches[k - 1] > FAR * reaches[k] > 0]
    limit = reaches[max(cuts, default=0)] if reaches else 0.0
    shown = [x for span in spans for x in span if abs(x - reference) <= limit]
    low, high = min([*shown, reference]), max([*shown, reference])
    pad = MARGIN * (high - low) or 1.0
    return Window(low - pad, high + pad)


def _step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))

"""Accuracy against cost, with the arms that no other beats."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from actrec.report.costs import ArmCost
from actrec.report.figures import style
from actrec.report.values import BASELINE

GLYPH, LINE = 0.016, 0.05  # of a label, as shares of the figure's usual width and height
WIDE = 10.0  # from the cheapest to the dearest arm; beyond it the axis is logarithmic


def accuracy_against_cost(costs: Sequence[ArmCost], front: Sequence[ArmCost], device: str) -> go.Figure:
    """A point for each arm: seconds a trial across, mean test top-1 up; a step line along the front.

    Args:
        costs: of arms with an accuracy.
        front: those of them that no other beats, the cheapest first.
        device: names the axis' seconds.
    """
    seconds = [cost.each for cost in costs]
    low, high = min(seconds, default=0.0), max(seconds, default=0.0)
    wide = low > 0 and high > WIDE * low
    fig = style.figure(
        height=420,
        xaxis={"title": {"text": f"{device} seconds a trial"}, "zeroline": False}
        | ({"type": "log"} if wide else {"rangemode": "tozero"}),
        yaxis={"title": {"text": "test top-1, %", "standoff": 4}, "zeroline": False},
    )
    fig.add_scatter(
        x=[cost.each for cost in front],
        y=[_percent(cost) for cost in front],
        name="front",
        mode="lines",
        line={"color": style.GREY, "width": 1.5, "dash": "dot", "shape": "hv"},
        hoverinfo="skip",
    )
    named = [cost for cost in costs if cost.arm.name == BASELINE] + [
        cost for cost in reversed(front) if cost.arm.name != BASELINE
    ]
    labels = _labels(costs, named, wide=wide)
    fig.add_scatter(
        x=seconds,
        y=[_percent(cost) for cost in costs],
        name="arms",
        mode="markers+text",
        marker={
            "color": [style.BLUE if cost.arm.name == BASELINE else style.ORANGE for cost in costs],
            "size": 9,
        },
        text=[style.text(cost.arm.name) if cost.arm.name in labels else "" for cost in costs],
        textposition=[labels.get(cost.arm.name, "top right") for cost in costs],
        cliponaxis=False,
        customdata=[style.text(cost.arm.name) for cost in costs],
        hovertemplate="%{customdata}: %{y:.1f} %, %{x:.3g} s<extra></extra>",
    )
    return fig


def _labels(costs: Sequence[ArmCost], named: Sequence[ArmCost], *, wide: bool) -> dict[str, str]:
    """Where the labels of ``named`` go, the first of them first: arm → text position. One that would lie on
    another's or leave the figure at every corner of its point has none; hovering tells the name."""
    across = [math.log(cost.each) if wide else cost.each for cost in costs]
    up = [_percent(cost) for cost in costs]
    left, right = min(across) if wide else 0.0, max(across)
    low, high = min(up), max(up)
    placed: list[tuple[float, float, float, float]] = []
    found: dict[str, str] = {}
    for cost in named:
        x = ((math.log(cost.each) if wide else cost.each) - left) / ((right - left) or 1.0)
        y = (_percent(cost) - low) / ((high - low) or 1.0)
        width = GLYPH * len(cost.arm.name)
        for corner in ("top left", "top right", "bottom left", "bottom right"):
            start = x - width if "left" in corner else x
            base = y if "top" in corner else y - LINE
            box = (start, start + width, base, base + LINE)
            inside = start >= 0 and start + width <= 1
            if inside and not any(_overlap(box, other) for other in placed):
                placed.append(box)
                found[cost.arm.name] = corner
                break
    return found


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _percent(cost: ArmCost) -> float:
    return 100 * (cost.accuracy or 0.0)

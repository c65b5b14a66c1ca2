"""Accuracy against cost, with the arms that no other beats."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from actrec.report.costs import ArmCost
from actrec.report.figures import style
from actrec.report.values import BASELINE

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
    middle = math.sqrt(low * high) if wide else high / 2
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
    named = {BASELINE, *(cost.arm.name for cost in front)}
    fig.add_scatter(
        x=seconds,
        y=[_percent(cost) for cost in costs],
        name="arms",
        mode="markers+text",
        marker={
            "color": [style.BLUE if cost.arm.name == BASELINE else style.ORANGE for cost in costs],
            "size": 9,
        },
        text=[style.text(cost.arm.name) if cost.arm.name in named else "" for cost in costs],
        textposition=["top left" if cost.each > middle else "top right" for cost in costs],
        cliponaxis=False,
        customdata=[style.text(cost.arm.name) for cost in costs],
        hovertemplate="%{customdata}: %{y:.1f} %, %{x:.3g} s<extra></extra>",
    )
    return fig


def _percent(cost: ArmCost) -> float:
    return 100 * (cost.accuracy or 0.0)

"""Population based training, generation by generation: who went on, and who was replaced by whose copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from actrec.report import words
from actrec.report.figures import style
from actrec.report.figures.search import upright
from actrec.report.values import Search, Tried

MOST_TICKS = 12
# Lines, the last on top: a member that goes on as it was, a copy, the way to the best.
LINES: dict[str, dict[str, Any]] = {
    "goes on": {"color": style.rgba(style.GREY, 0.7), "width": 1.2},
    "copy": {"color": style.ORANGE, "width": 1.8, "dash": "dash"},
    "way to the best": {"color": style.BLUE, "width": 3},
}


def lineage(search: Search, tried: Sequence[Tried], way: Sequence[Tried]) -> go.Figure:
    """Validation top-1 by generation, with a line from each trial to those that go on from it. Copies are
    orange triangles at the ends of dashed lines, failed trials crosses at the bottom.

    Args:
        tried: the trials that are drawn.
        way: the best of the last generation, after all that it came by.
    """
    by_number = {one.number: one for one in tried}
    generations = sorted({search.generation(one) for one in tried})
    first, last = generations[0], generations[-1]
    step = -(-len(generations) // MOST_TICKS)
    xaxis = {
        "title": {"text": "generation"},
        "range": [first - 0.3, last + 0.3],
        "tickvals": generations[::step],
        "zeroline": False,
        "showgrid": False,
    }
    fig, seen = upright(search, xaxis, 400)
    height = {one.number: seen.clip(100 * one.value) for one in tried if one.value is not None}
    pairs: dict[str, list[tuple[int, int]]] = {name: [] for name in LINES}
    for one in tried:
        if one.parent is not None and {one.number, one.parent} <= height.keys():
            pairs["copy" if one.copied else "goes on"].append((one.parent, one.number))
    on_way = [one.number for one in way if one.number in height]
    pairs["way to the best"] = list(pairwise(on_way))
    points = {number: (search.generation(by_number[number]), value) for number, value in height.items()}
    for name, line in LINES.items():
        x, y = _segments(points, pairs[name])
        fig.add_scatter(
            x=x,
            y=y,
            name=name,
            mode="lines",
            line=line,
            hoverinfo="skip",
        )
    for name, marker, copies in (
        ("member", {"color": style.GREY, "symbol": "circle", "size": 7}, False),
        ("copied", {"color": style.ORANGE, "symbol": "triangle-up", "size": 10}, True),
    ):
        shown = [one for one in tried if one.number in height and one.copied == copies]
        fig.add_scatter(
            x=[search.generation(one) for one in shown],
            y=[height[one.number] for one in shown],
            name=name,
            mode="markers",
            marker=marker,
            cliponaxis=False,
            customdata=[f"{told(one, by_number)}<br>val {100 * (one.value or 0.0):.1f} %" for one in shown],
            hovertemplate="%{customdata}<extra></extra>",
        )
    failed = [one for one in tried if one.trial.status == "failed"]
    fig.add_scatter(
        x=[search.generation(one) for one in failed],
        y=[seen.low] * len(failed),
        name="failed",
        mode="markers",
        marker={"color": style.VERMILLION, "symbol": "x", "size": 8},
        cliponaxis=False,
        customdata=[f"{told(one, by_number)}<br>{style.text(one.trial.error[:120])}" for one in failed],
        hovertemplate="%{customdata}<extra></extra>",
    )
    return fig


def _segments(
    points: Mapping[int, tuple[int, float]], pairs: Sequence[tuple[int, int]]
) -> tuple[list[int | None], list[float | None]]:
    """x and y of a line between the points of each pair, with a gap after it."""
    x: list[int | None] = []
    y: list[float | None] = []
    for one, other in pairs:
        x += [points[one][0], points[other][0], None]
        y += [points[one][1], points[other][1], None]
    return x, y


def told(one: Tried, by_number: Mapping[int, Tried]) -> str:
    """A trial's number, what it goes on from, and its values; of those that a copy changed, the old too."""
    source = by_number.get(one.parent) if one.parent is not None else None
    name = one.name
    if one.parent is not None:
        name += f", a copy of #{one.parent}" if one.copied else f", goes on from #{one.parent}"
    old = source.params if source else one.params
    lines = [
        f"{path} = {words.setting(value)}"
        + (f", was {words.setting(old[path])}" if path in old and old[path] != value else "")
        for path, value in one.params.items()
    ]
    return "<br>".join(style.text(line) for line in (name, *lines))

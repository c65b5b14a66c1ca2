"""The trials of a search: their history, what they set, what they cost. All values are on validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.figures.space import axis, hover, place
from actrec.report.figures.window import Window, window
from actrec.report.values import Dimension, Importances, Search, Tried

# How a trial looks: ran to its end, stopped early, is to be confirmed, is the base.
PLAIN, PRUNED, CHOSEN, BASE = "complete", "pruned", "candidate", "default"
MARKERS: dict[str, dict[str, Any]] = {
    PLAIN: {"color": style.rgba(style.GREY, 0.85), "size": 7},
    PRUNED: {"color": style.GREY, "size": 7, "symbol": "circle-open"},
    CHOSEN: {"color": style.ORANGE, "size": 10, "symbol": "star"},
    BASE: {"color": style.BLUE, "size": 9, "symbol": "diamond"},
}
COLOURS = "Cividis"  # told apart with every common colour vision


def history(search: Search, tried: Sequence[Tried]) -> go.Figure:
    """Validation top-1 by number, and the best so far; what a candidate came to with fresh seeds is a purple
    bar below or above it. Failed trials are crosses at the bottom.

    Args:
        tried: the trials that are drawn.
    """
    last = max((one.number for one in search.tried), default=0)
    pad = 0.02 * (last + 1)
    xaxis = {"title": {"text": "trial"}, "zeroline": False, "range": [-pad, last + pad]}
    fig, seen = upright(search, xaxis, 360)
    best: list[tuple[int, float]] = []
    for one in search.complete:
        if not best or (one.value or 0.0) > best[-1][1]:
            best.append((one.number, one.value or 0.0))
    steps = [*best, (last, best[-1][1])] if best else []
    fig.add_scatter(
        x=[number for number, _ in steps],
        y=[100 * value for _, value in steps],
        name="best so far",
        mode="lines",
        line={"color": style.GREY, "width": 1.5, "dash": "dot", "shape": "hv"},
        hoverinfo="skip",
    )
    _dots(fig, search, tried, lambda one: float(one.number), seen)
    again = [one for one in search.confirmed if one.mean is not None and one.searched is not None]
    fig.add_scatter(
        x=[x for one in again for x in (one.number, one.number, None)],
        y=[y for one in again for y in (100 * (one.searched or 0.0), 100 * (one.mean or 0.0), None)],
        name="to its confirmation",
        mode="lines",
        line={"color": style.PURPLE, "width": 2},
        hoverinfo="skip",
    )
    fig.add_scatter(
        x=[one.number for one in again],
        y=[100 * (one.mean or 0.0) for one in again],
        name="confirmed",
        mode="markers",
        marker={"color": style.PURPLE, "symbol": "line-ew-open", "size": 14, "line": {"width": 3}},
        customdata=[style.text(one.name) for one in again],
        hovertemplate="%{customdata} with fresh seeds: %{y:.1f} %<extra></extra>",
    )
    failed = [one for one in tried if one.trial.status == "failed"]
    fig.add_scatter(
        x=[one.number for one in failed],
        y=[seen.low] * len(failed),
        name="failed",
        mode="markers",
        marker={"color": style.VERMILLION, "symbol": "x", "size": 8},
        cliponaxis=False,
        customdata=[style.text(f"{one.name}: {one.trial.error}"[:120]) for one in failed],
        hovertemplate="%{customdata}<extra></extra>",
    )
    return fig


def slices(search: Search, tried: Sequence[Tried], dimension: Dimension) -> go.Figure:
    """Validation top-1 against one dimension, of the trials that it exists for."""
    fig, seen = upright(search, axis(dimension), 190, title="")
    _dots(fig, search, tried, lambda one: place(dimension, one), seen, whole=False)
    return fig


def pair(tried: Sequence[Tried], first: Dimension, second: Dimension) -> go.Figure:
    """Two dimensions, the trials that ran to their end coloured by validation top-1."""
    shown = [one for one in tried if one.is_complete and {first.path, second.path} <= one.params.keys()]
    fig = style.figure(
        height=360,
        xaxis={"title": {"text": style.text(first.path)}} | axis(first),
        yaxis={"title": {"text": style.text(second.path), "standoff": 4}} | axis(second),
    )
    fig.add_scatter(
        x=[place(first, one) for one in shown],
        y=[place(second, one) for one in shown],
        name="trials",
        mode="markers",
        marker={
            "color": [100 * (one.value or 0.0) for one in shown],
            "colorscale": COLOURS,
            "size": 12,
            "line": {"width": 1, "color": style.GREY},
            "colorbar": {"title": {"text": "val, %"}, "thickness": 10, "outlinewidth": 0},
        },
        customdata=[hover(one) for one in shown],
        hovertemplate="%{customdata}<br>%{marker.color:.1f} %<extra></extra>",
    )
    return fig


def importances(found: Sequence[Importances], space: Sequence[Dimension]) -> go.Figure:
    """A bar for every dimension and method, the most important on top."""
    mean = {d.path: sum(one.shares.get(d.path, 0.0) for one in found) for d in space}
    ordered = sorted(space, key=lambda dimension: -mean[dimension.path])
    fig = style.figure(
        height=90 + 34 * len(ordered),
        xaxis={"title": {"text": "share of the importance, %"}, "rangemode": "tozero"},
        yaxis=style.rows([style.text(dimension.path) for dimension in ordered]),
        barmode="group",
        bargap=0.3,
        showlegend=True,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    )
    for one, colour in zip(found, (style.BLUE, style.ORANGE), strict=False):
        rows = [(row, 100 * one.shares[d.path]) for row, d in enumerate(ordered) if d.path in one.shares]
        fig.add_bar(
            x=[share for _, share in rows],
            y=[row for row, _ in rows],
            name=one.method,
            orientation="h",
            marker={"color": colour},
            hovertemplate=f"{one.method}: %{{x:.1f}} %<extra></extra>",
        )
    return fig


def pareto(search: Search, tried: Sequence[Tried], objective: int, title: str) -> go.Figure:
    """Validation top-1 against another objective; the line joins the trials that no other beats.

    Args:
        objective: the place of the other one among the objectives.
        title: of its axis.
    """
    values = [one.values[objective] for one in search.complete]
    known = [value for value in values if value is not None and value > 0]
    wide = bool(known) and max(known) > 10 * min(known) and len(known) == len(values)
    shape = {"type": "log"} if wide else {"rangemode": "tozero"}
    fig, seen = upright(search, {"title": {"text": title}, "zeroline": False} | shape, 400)
    front = [one for one in search.tried if one.number in search.front]
    of_front = sorted((one.values[objective] or 0.0, one.value or 0.0, one.number) for one in front)
    fig.add_scatter(
        x=[cost for cost, _, _ in of_front],
        y=[100 * value for _, value, _ in of_front],
        name="front",
        mode="lines+text",
        text=[f"#{number}" for _, _, number in of_front],
        textposition="top center",
        cliponaxis=False,
        line={"color": style.GREY, "width": 1.5, "dash": "dot", "shape": "hv"},
        hoverinfo="skip",
    )
    _dots(fig, search, tried, lambda one: one.values[objective], seen)
    return fig


def upright(
    search: Search, xaxis: dict[str, Any], height: int, title: str = "top-1, val, %"
) -> tuple[go.Figure, Window]:
    """A figure with validation top-1 going up, as far as trials that ran to their end come: those that were
    pruned early must not squeeze them into a corner."""
    ran = [100 * (one.value or 0.0) for one in search.complete]
    ran += [100 * one.mean for one in search.confirmed if one.mean is not None]
    all_ = ran or [100 * one.value for one in search.tried if one.value is not None]
    seen = window([(value, value) for value in all_], max(all_, default=0.0))
    yaxis = {"title": {"text": title, "standoff": 4}, "zeroline": False, "range": [seen.low, seen.high]}
    return style.figure(height=height, xaxis=xaxis, yaxis=yaxis, hovermode="closest"), seen


def _dots(
    fig: go.Figure,
    search: Search,
    tried: Sequence[Tried],
    across: Callable[[Tried], float | None],
    seen: Window,
    *,
    whole: bool = True,
) -> None:
    """A dot for every trial that has a value and a place, a trace for each kind; a triangle at the edge of
    what is seen for a trial beyond it. ``whole``: its settings are shown on hover."""
    candidates = {one.number for one in search.confirmed}
    for kind, marker in MARKERS.items():
        shown = [
            (x, one)
            for one in tried
            if one.value is not None and _kind(one, candidates) == kind and (x := across(one)) is not None
        ]
        fig.add_scatter(
            x=[x for x, _ in shown],
            y=[seen.clip(100 * (one.value or 0.0)) for _, one in shown],
            name=kind,
            mode="markers",
            marker=marker | {"symbol": [_symbol(one, marker, seen) for _, one in shown]},
            cliponaxis=False,
            customdata=[
                f"{hover(one) if whole else style.text(one.name)}<br>val {100 * (one.value or 0.0):.1f} %"
                for _, one in shown
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )


def _symbol(one: Tried, marker: dict[str, Any], seen: Window) -> str:
    below = seen.side(100 * (one.value or 0.0)) < 0
    return "triangle-down-open" if below else str(marker.get("symbol", "circle"))


def _kind(one: Tried, candidates: set[int]) -> str:
    if one.number == 0:
        return BASE
    if one.number in candidates:
        return CHOSEN
    return PRUNED if one.trial.status == "pruned" else PLAIN

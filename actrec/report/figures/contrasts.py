"""Main effects of a factorial study, and the heat map of its two-way interactions."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.values import Contrast
from actrec.report.words import Unit

FAINT = 0.05  # of the metric; the full colour is no smaller an interaction
CELL = 44  # pixels of a row of the heat map


def main_effects(found: Sequence[Contrast], unit: Unit, *, higher: bool) -> go.Figure:
    """A dot and an interval for each main effect; the dotted line is no effect.

    Args:
        higher: whether more of the metric is better.
    """
    rows = [contrast for contrast in found if contrast.kind == "main"]
    fig = style.figure(
        height=80 + 33 * max(len(rows), 1),
        xaxis={"title": {"text": f"{unit.name}, on test"}, "zeroline": False},
        yaxis=style.rows([style.arm_label(c.factor, c.level, c.level) for c in rows]),
    )
    for row, contrast in enumerate(rows):
        if contrast.difference is None:
            continue
        x = unit.scale * contrast.difference
        mark = style.mark(_verdict(contrast, higher=higher))
        known = contrast.low is not None and contrast.high is not None
        fig.add_scatter(
            x=[x],
            y=[row],
            name=style.text(f"{contrast.factor}={contrast.level}"),
            mode="markers",
            marker={"color": mark.colour, "symbol": mark.symbol, "size": 13},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [unit.scale * (contrast.high or 0.0) - x],
                "arrayminus": [x - unit.scale * (contrast.low or 0.0)],
                "color": mark.colour,
                "thickness": 4,
                "width": 0,
                "visible": known,
            },
            customdata=[[f"{unit.signed(contrast.difference)} {unit.interval(contrast.low, contrast.high)}"]],
            hovertemplate=f"%{{customdata[0]}} {style.text(unit.name)}<extra></extra>",
        )
    fig.add_vline(x=0, line={"color": style.GREY, "width": 1.5, "dash": "dot"}, layer="below")
    return fig


def interactions(found: Sequence[Contrast], unit: Unit, *, higher: bool) -> go.Figure:
    """Levels by levels: how much greater the row's effect is where the column's level is on.

    A star marks what is told from no interaction. Cells of effects that are confounded are empty.
    """
    pairs = [contrast for contrast in found if contrast.kind == "interaction"]
    rows = list(dict.fromkeys((c.factor, c.level) for c in pairs))
    columns = list(dict.fromkeys((c.other_factor, c.other_level) for c in pairs))
    cells = {((c.factor, c.level), (c.other_factor, c.other_level)): c for c in pairs}
    sign = 1 if higher else -1
    z: list[list[float | None]] = []
    text: list[list[str]] = []
    for row in rows:
        own = [cells.get((row, column)) for column in columns]
        z.append(
            [None if c is None or c.difference is None else sign * unit.scale * c.difference for c in own]
        )
        text.append([_label(c, unit) for c in own])
    # Not below FAINT: what is small is pale, whatever else there is.
    limit = max([unit.scale * FAINT, *(abs(value) for line in z for value in line if value is not None)])
    fig = style.figure(
        height=110 + CELL * max(len(rows), 1),
        xaxis={
            "tickvals": list(range(len(columns))),
            "ticktext": [style.arm_label(factor, level, level) for factor, level in columns],
            "ticks": "",
            "showgrid": False,
            "zeroline": False,
        },
        yaxis=style.rows([style.arm_label(factor, level, level) for factor, level in rows])
        | {"range": [len(rows) - 0.5, -0.5]},
    )
    fig.add_heatmap(
        z=z,
        zmin=-limit,
        zmax=limit,
        colorscale=style.DIVERGING,
        showscale=False,
        xgap=1,
        ygap=1,
        text=text,
        texttemplate="%{text}",
        hoverinfo="skip",
    )
    return fig


def _label(contrast: Contrast | None, unit: Unit) -> str:
    if contrast is None:
        return ""
    if contrast.difference is None:
        return "confounded" if contrast.confounded_with else "–"
    return unit.signed(contrast.difference) + (" *" if contrast.decided else "")


def _verdict(contrast: Contrast, *, higher: bool) -> str:
    if not contrast.decided or contrast.difference is None:
        return "inconclusive"
    return "helps" if (contrast.difference > 0) == higher else "hurts"

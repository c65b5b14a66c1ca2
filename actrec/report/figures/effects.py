"""The effect plot: every arm's difference from the baseline with its interval, over the placebo's."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.values import PLACEBO, Effect


def effects(found: Sequence[Effect], unit: str, scale: float) -> go.Figure:
    """A dot and an interval for each effect, the first on top; the zero line is the baseline.

    Args:
        found: effects on one metric.
        unit: of the axis, such as ``"points"``.
        scale: what turns a difference into that unit, such as 100.
    """
    fig = style.figure(
        height=80 + 33 * max(len(found), 1),
        xaxis={
            "title": {"text": f"{unit}, on test"},
            "zeroline": False,
        },
        yaxis=style.rows([style.arm_label(e.factor, e.level, e.arm) for e in found]),
    )
    for row, effect in enumerate(found):
        if effect.difference is None:
            continue
        low, high = _or(effect.low, effect.difference), _or(effect.high, effect.difference)
        if effect.arm == PLACEBO:
            fig.add_vrect(
                x0=scale * low,
                x1=scale * high,
                fillcolor=style.rgba(style.PURPLE, 0.18),
                line_width=0,
                layer="below",
            )
        mark = style.mark(effect.verdict)
        colour = style.PURPLE if effect.arm == PLACEBO else mark.colour
        fig.add_scatter(
            x=[scale * effect.difference],
            y=[row],
            name=style.text(effect.arm),
            mode="markers",
            marker={"color": colour, "symbol": mark.symbol, "size": 11},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [scale * (high - effect.difference)],
                "arrayminus": [scale * (effect.difference - low)],
                "color": colour,
                "thickness": 2,
                "width": 5,
            },
            customdata=[[style.text(effect.arm), scale * low, scale * high, style.text(effect.verdict)]],
            hovertemplate="%{customdata[0]}: %{x:+.2f} [%{customdata[1]:+.2f}, %{customdata[2]:+.2f}] "
            + style.text(unit)
            + "<br>%{customdata[3]}<extra></extra>",
        )
    fig.add_vline(x=0, line={"color": style.GREY, "width": 1.5, "dash": "dot"}, layer="below")
    return fig


def _or(value: float | None, default: float) -> float:
    return default if value is None else value

"""The effect plot: every arm's difference from the baseline with its interval, over the placebo's."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.figures.window import window
from actrec.report.values import PLACEBO, Effect
from actrec.report.words import Unit


def effects(found: Sequence[Effect], unit: Unit) -> go.Figure:
    """A dot and an interval for each effect, the first on top; the zero line is the baseline.

    An arm's own interval is thick; the thin line, where there is one, holds for all arms together. Dashed
    lines stand at the margin within which a difference does not matter. An effect far outside the others'
    range is an arrow at the edge, with its value. An effect without an interval (one seed, or an arm that
    took no effect) is a dot alone.

    Args:
        found: effects on one metric.
        unit: of the axis.
    """
    drawn = [(row, effect) for row, effect in enumerate(found) if effect.difference is not None]
    margin = max((unit.scale * effect.margin for _, effect in drawn if effect.margin), default=0.0)
    spans = [[(unit.scale * low, unit.scale * high) for low, high in _spans(effect)] for _, effect in drawn]
    shown = window([wide for wide, _ in spans] + [(-margin, margin)] * (margin > 0), 0.0)
    fig = style.figure(
        height=80 + 33 * max(len(found), 1),
        xaxis={"title": {"text": f"{unit.name}, on test"}, "zeroline": False} | shown.axis(signed=True),
        yaxis=style.rows([style.arm_label(e.factor, e.level, e.arm) for e in found]),
    )
    thin = [
        (row, unit.scale * effect.low_simultaneous, unit.scale * effect.high_simultaneous)
        for row, effect in drawn
        if effect.low_simultaneous is not None and effect.high_simultaneous is not None
        if not shown.side(unit.scale * (effect.difference or 0.0))
    ]
    if thin:
        fig.add_scatter(
            x=[x for _, *ends in thin for x in (*map(shown.clip, ends), None)],
            y=[y for row, *_ in thin for y in (row, row, None)],
            name="for all arms together",
            mode="lines",
            line={"color": style.GREY, "width": 1.5},
            hoverinfo="skip",
        )
    for (row, effect), (_, (low, high)) in zip(drawn, spans, strict=True):
        x = unit.scale * (effect.difference or 0.0)
        if effect.arm == PLACEBO and effect.low is not None:
            fig.add_vrect(
                x0=low, x1=high, fillcolor=style.rgba(style.PURPLE, 0.18), line_width=0, layer="below"
            )
        mark = style.mark(effect.verdict)
        colour = style.PURPLE if effect.arm == PLACEBO else mark.colour
        dot = {
            "x": [x],
            "mode": "markers",
            "marker": {"color": colour, "symbol": mark.symbol, "size": 11},
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [high - x],
                "arrayminus": [x - low],
                "color": colour,
                "thickness": 4 if effect.low_simultaneous is not None else 2,
                "width": 0 if effect.low_simultaneous is not None else 5,
                "visible": effect.low is not None,
            },
        }
        number = f"{unit.signed(effect.difference)} {unit.interval(effect.low, effect.high)}"
        fig.add_scatter(
            y=[row],
            name=style.text(effect.arm),
            customdata=[[style.text(effect.arm), number.removesuffix(" –"), style.text(effect.verdict)]],
            hovertemplate="%{customdata[0]}: %{customdata[1]} "
            + style.text(unit.name)
            + "<br>%{customdata[2]}<extra></extra>",
            **(shown.arrow(x, unit.signed(effect.difference), colour) if shown.side(x) else dot),
        )
    for x in (-margin, margin) if margin else ():
        fig.add_vline(x=x, line={"color": style.BLUE, "width": 1, "dash": "dash"}, layer="below")
    fig.add_vline(x=0, line={"color": style.GREY, "width": 1.5, "dash": "dot"}, layer="below")
    return fig


def _spans(effect: Effect) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ends of the widest interval and of the arm's own; the difference where there is none."""
    middle = effect.difference or 0.0
    low = middle if effect.low is None else effect.low
    high = middle if effect.high is None else effect.high
    widest = (
        low if effect.low_simultaneous is None else effect.low_simultaneous,
        high if effect.high_simultaneous is None else effect.high_simultaneous,
    )
    return widest, (low, high)

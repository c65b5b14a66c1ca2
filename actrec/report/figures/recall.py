"""Per-class recall: of two arms side by side, and as every arm's change from the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.figures.confusion import READABLE
from actrec.report.values import BASELINE, Arm, Effect, Outcome
from actrec.report.words import p_value, unit


def recall_by_class(baseline: Outcome, best: Outcome | None, class_names: Sequence[str]) -> go.Figure:
    """Recall of every class, a row each, the rarest on top: baseline and best arm, joined by a line."""
    support = baseline.confusion.sum(axis=1)
    order = np.argsort(support, kind="stable")
    # The baseline is a ring around the other's mark where they coincide.
    shown = [(baseline, style.BLUE, "circle-open", 15)]
    if best is not None:
        shown.append((best, style.ORANGE, "diamond", 9))
    labels = [
        f"{style.text(class_names[k])} {style.small(f'n={int(support[k]) // baseline.n_seeds}')}"
        for k in order
    ]
    fig = style.figure(
        height=110 + 26 * len(order),
        xaxis={"title": {"text": "test recall, %"}, "range": [-3, 103], "zeroline": False},
        yaxis=style.rows(labels),
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
    )
    if best is not None:
        ends = [[100 * baseline.recall[k], 100 * best.recall[k], None] for k in order]
        fig.add_scatter(
            x=[x for pair in ends for x in pair],
            y=[y for row in range(len(order)) for y in (row, row, None)],
            mode="lines",
            line={"color": style.GREY, "width": 2},
            hoverinfo="skip",
            showlegend=False,
        )
    for outcome, colour, symbol, size in shown:
        fig.add_scatter(
            x=[100 * outcome.recall[k] for k in order],
            y=list(range(len(order))),
            name=style.text(outcome.arm),
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": size, "line": {"width": 2.5, "color": colour}},
            cliponaxis=False,  # a mark at 100 % is whole
            customdata=[style.text(class_names[k]) for k in order],
            hovertemplate="%{customdata}: %{x:.1f} %",
        )
    return fig


def recall_change(
    outcomes: Sequence[Outcome],
    arms: Sequence[Arm],
    class_names: Sequence[str],
    effects: Mapping[tuple[str, int], Effect],
) -> go.Figure:
    """Recall less the baseline's in points, arms by classes. ``outcomes`` contain the baseline.

    ``effects`` are those on the recall of a class, by arm and class, as far as they were judged: hovering
    tells their intervals, and a star marks what is decided.
    """
    by_arm = {outcome.arm: outcome for outcome in outcomes}
    rows = [arm for arm in arms if arm.name in by_arm and arm.name != BASELINE]
    reference = by_arm[BASELINE].recall
    change = [(100 * (by_arm[arm.name].recall - reference)).round(1) for arm in rows]
    limit = max(10.0, float(np.nanmax(np.abs(change), initial=0.0)))
    names = [style.text(name) for name in class_names]
    readable = len(names) <= READABLE
    fig = style.figure(
        height=120 + 36 * max(len(rows), 1),
        xaxis=style.columns(names),
        yaxis=style.rows([style.arm_label(arm.factor, arm.level, arm.name) for arm in rows])
        | {"range": [len(rows) - 0.5, -0.5]},
    )
    fig.add_heatmap(
        z=[[None if np.isnan(cell) else float(cell) for cell in row] for row in change],
        zmin=-limit,
        zmax=limit,
        colorscale=style.DIVERGING,
        colorbar={"title": {"text": "points", "side": "top"}, "thickness": 10, "outlinewidth": 0},
        xgap=1,
        ygap=1,
        text=[
            [_label(cell, effects.get((arm.name, k)), readable=readable) for k, cell in enumerate(row)]
            for arm, row in zip(rows, change, strict=True)
        ],
        texttemplate="%{text}",
        customdata=[
            [
                [style.text(arm.name), name, _judged(effects.get((arm.name, k)))]
                for k, name in enumerate(names)
            ]
            for arm in rows
        ],
        hovertemplate="%{customdata[0]}, %{customdata[1]}: %{z:+.1f} points%{customdata[2]}<extra></extra>",
    )
    return fig


def _label(change: float, effect: Effect | None, *, readable: bool) -> str:
    """The change where there is room for it, with a star where it is decided."""
    star = "*" if effect is not None and effect.decided else ""
    if np.isnan(change) or not readable:
        return star
    return f"{style.signed(change)} {star}".strip()


def _judged(effect: Effect | None) -> str:
    """The interval and p of an effect, for a line of their own."""
    if effect is None or effect.p_adjusted is None:
        return ""
    points = unit(effect.metric)
    return f"<br>interval {points.interval(effect.low, effect.high)}, p adj. {p_value(effect.p_adjusted)}"

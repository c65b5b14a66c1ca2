"""Per-class recall: of two arms side by side, and as every arm's change from the baseline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.figures.confusion import READABLE
from actrec.report.values import BASELINE, Arm, Outcome


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


def recall_change(outcomes: Sequence[Outcome], arms: Sequence[Arm], class_names: Sequence[str]) -> go.Figure:
    """Recall less the baseline's in points, arms by classes. ``outcomes`` contain the baseline."""
    by_arm = {outcome.arm: outcome for outcome in outcomes}
    rows = [arm for arm in arms if arm.name in by_arm and arm.name != BASELINE]
    reference = by_arm[BASELINE].recall
    change = [(100 * (by_arm[arm.name].recall - reference)).round(1) for arm in rows]
    limit = max(10.0, float(np.nanmax(np.abs(change), initial=0.0)))
    names = [style.text(name) for name in class_names]
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
        text=[["" if np.isnan(cell) else style.signed(cell) for cell in row] for row in change],
        texttemplate="%{text}" if len(names) <= READABLE else None,
        customdata=[[[style.text(arm.name), name] for name in names] for arm in rows],
        hovertemplate="%{customdata[0]}, %{customdata[1]}: %{z:+.1f} points<extra></extra>",
    )
    return fig

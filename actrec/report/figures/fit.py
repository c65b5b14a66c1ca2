"""The fit plot: one metric of every arm on training, validation and test."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.values import Arm, Fit
from actrec.report.words import Unit

# split: colour, symbol, size
MARKS = {
    "train": (style.GREY, "circle-open", 9),
    "val": (style.ORANGE, "diamond", 9),
    "test": (style.BLUE, "circle", 9),
}


def fit(fits: Sequence[Fit], arms: Sequence[Arm], title: str, unit: Unit) -> go.Figure:
    """A row for each arm with a mark for each split, joined from validation to test: the optimism.

    Args:
        fits: of one metric.
        title: its name.
        unit: of the axis; shares are drawn as percent.
    """
    by_arm = {found.arm: found for found in fits}
    rows = [arm for arm in arms if arm.name in by_arm]
    values = {split: [_scaled(getattr(by_arm[arm.name], split), unit) for arm in rows] for split in MARKS}
    title = f"{title}, {'%' if unit.scale == 100 else unit.name}"
    fig = style.figure(
        height=110 + 33 * max(len(rows), 1),
        xaxis={"title": {"text": title}, "zeroline": False},
        yaxis=style.rows([style.arm_label(arm.factor, arm.level, arm.name) for arm in rows]),
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
    )
    ends = zip(values["val"], values["test"], strict=True)
    fig.add_scatter(
        x=[x for val, test in ends for x in (val, test, None)],
        y=[y for row in range(len(rows)) for y in (row, row, None)],
        mode="lines",
        line={"color": style.GREY, "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )
    for split, (colour, symbol, size) in MARKS.items():
        fig.add_scatter(
            x=values[split],
            y=list(range(len(rows))),
            name=split,
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": size, "line": {"width": 2, "color": colour}},
            customdata=[style.text(arm.name) for arm in rows],
            hovertemplate="%{customdata}: %{x:.4~g}",
        )
    return fig


def _scaled(value: float | None, unit: Unit) -> float | None:
    return None if value is None else unit.scale * value

"""The strip plot: one dot a trial, so that the spread over seeds is seen and not only summed up."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.figures.window import window
from actrec.report.values import BASELINE, Arm


def seeds(arms: Sequence[Arm]) -> go.Figure:
    """Test top-1 of every finished trial, a row for each arm, a tick at the arm's mean; the dotted line is
    the baseline's mean. An arm far outside the others' range is an arrow at the edge, with its mean."""
    dots = {
        row: [(trial.seed, 100 * trial.test_top1) for trial in arm.finished if trial.test_top1 is not None]
        for row, arm in enumerate(arms)
    }
    means = {row: sum(x for _, x in points) / len(points) for row, points in dots.items() if points}
    reference = next((means[row] for row in means if arms[row].name == BASELINE), None)
    spans = [(min(x for _, x in dots[row]), max(x for _, x in dots[row])) for row in means]
    shown = window(spans, next(iter(means.values()), 0.0) if reference is None else reference)
    fig = style.figure(
        height=80 + 33 * max(len(arms), 1),
        xaxis={"title": {"text": "test top-1, %"}, "zeroline": False} | shown.axis(),
        yaxis=style.rows([style.arm_label(arm.factor, arm.level, arm.name) for arm in arms]),
    )
    for row, mean in means.items():
        arm, points = arms[row], dots[row]
        colour = style.BLUE if arm.name == BASELINE else style.GREY
        if arm.name == BASELINE:
            fig.add_vline(x=mean, line={"color": colour, "width": 1.5, "dash": "dot"}, layer="below")
        if shown.side(mean):
            fig.add_scatter(
                y=[row],
                name=style.text(arm.name),
                hovertemplate=f"mean of {len(points)}: {mean:.1f} %<extra></extra>",
                **shown.arrow(mean, f"{mean:.1f} %", colour),
            )
            continue
        fig.add_scatter(
            x=[mean],
            y=[row],
            mode="markers",
            marker={"symbol": "line-ns-open", "size": 22, "color": colour, "line": {"width": 2.5}},
            hovertemplate="mean %{x:.1f} %<extra></extra>",
        )
        # Seeds keep their order within the row, so that a seed that is low everywhere can be followed.
        middle = (len(points) - 1) / 2
        fig.add_scatter(
            x=[x for _, x in points],
            y=[row + 0.4 * (index - middle) / len(points) for index in range(len(points))],
            name=style.text(arm.name),
            mode="markers",
            marker={"color": style.rgba(colour, 0.85), "size": 7},
            customdata=[seed for seed, _ in points],
            hovertemplate="seed %{customdata}: %{x:.1f} %<extra></extra>",
        )
    return fig

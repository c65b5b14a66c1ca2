"""The strip plot: one dot a trial, so that the spread over seeds is seen and not only summed up."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.values import BASELINE, Arm


def seeds(arms: Sequence[Arm]) -> go.Figure:
    """Test top-1 of every finished trial, a row for each arm, a tick at the arm's mean; the dotted line is
    the baseline's mean."""
    fig = style.figure(
        height=80 + 33 * max(len(arms), 1),
        xaxis={"title": {"text": "test top-1, %"}, "zeroline": False},
        yaxis=style.rows([style.arm_label(arm.factor, arm.level, arm.name) for arm in arms]),
    )
    for row, arm in enumerate(arms):
        points = [
            (trial.seed, 100 * trial.test_top1) for trial in arm.finished if trial.test_top1 is not None
        ]
        if not points:
            continue
        mean = sum(x for _, x in points) / len(points)
        colour = style.BLUE if arm.name == BASELINE else style.GREY
        if arm.name == BASELINE:
            fig.add_vline(x=mean, line={"color": colour, "width": 1.5, "dash": "dot"}, layer="below")
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

"""The confusion matrix of one arm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.values import Outcome

READABLE = 20  # classes; beyond it the numbers in the cells only blur


def confusion_matrix(outcome: Outcome, class_names: Sequence[str]) -> go.Figure:
    """True classes down, predicted ones across; a cell's colour and number are percent of the true class."""
    counts = outcome.confusion
    seen = counts.sum(axis=1, keepdims=True)
    percent = 100 * counts / np.maximum(seen, 1)
    names = [style.text(name) for name in class_names]
    positions = list(range(len(names)))
    fig = style.figure(
        height=int(110 + len(names) * min(34, max(13, 340 / len(names)))),
        xaxis={
            "title": {"text": "predicted", "standoff": 6},
            "tickvals": positions,
            "ticktext": names,
            "showgrid": False,
            "zeroline": False,
        },
        yaxis=style.rows(names)
        | {"range": [len(names) - 0.5, -0.5], "title": {"text": "true", "standoff": 4}},
    )
    fig.add_heatmap(
        z=percent.round(1).tolist(),
        x=positions,
        y=positions,
        zmin=0,
        zmax=100,
        # Transparent to blue: the page's own background is the zero. Not quite opaque, so that the theme's
        # text stays readable on a full cell.
        colorscale=[[0, style.rgba(style.BLUE, 0)], [1, style.rgba(style.BLUE, 0.75)]],
        showscale=False,
        xgap=1,
        ygap=1,
        text=[[f"{share:.0f}" if share >= 0.5 else "" for share in row] for row in percent],
        texttemplate="%{text}" if len(names) <= READABLE else None,
        customdata=[
            [[names[i], names[j], int(counts[i, j]), int(seen[i, 0])] for j in positions] for i in positions
        ],
        hovertemplate="%{customdata[0]} seen as %{customdata[1]}:<br>"
        "%{customdata[2]} of %{customdata[3]} (%{z} %)<extra></extra>",
    )
    return fig

"""The precision-recall curve of one class."""

from __future__ import annotations

import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.values import PrecisionRecall


def precision_recall(baseline: PrecisionRecall, best: PrecisionRecall | None) -> go.Figure:
    """The baseline's curve, dashed, and the best change's below it; the area under each is its average
    precision, since a step keeps the precision of its right end."""
    axis = {"range": [-0.02, 1.04], "tickvals": [0, 0.5, 1], "zeroline": False}
    fig = style.figure(
        height=150,
        xaxis=axis | {"title": {"text": "recall", "standoff": 4}, "showgrid": False},
        yaxis=axis | {"title": {"text": "precision", "standoff": 4}},
    )
    shown = [] if best is None else [(best, "best", style.ORANGE, "solid", 2.5)]
    for curve, name, colour, dash, width in [*shown, (baseline, "baseline", style.BLUE, "dash", 2)]:
        fig.add_scatter(
            x=[0.0, *curve.recall],
            y=[curve.precision[0], *curve.precision],
            name=name,
            mode="lines",
            line={"color": colour, "width": width, "dash": dash, "shape": "vh"},
            hovertemplate=f"{name}: precision %{{y:.2f}} at recall %{{x:.2f}}<extra></extra>",
        )
    return fig

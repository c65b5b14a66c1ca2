"""The confusion matrix of one arm, and the difference of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from actrec.report.figures import style
from actrec.report.values import Outcome

READABLE = 20  # classes; beyond it the numbers in the cells only blur


def confusion_matrix(outcome: Outcome, class_names: Sequence[str]) -> go.Figure:
    """True classes down, predicted ones across; a cell's colour and number are percent of the true class."""
    counts = outcome.confusion
    seen = counts.sum(axis=1)
    percent = _percent(outcome)
    fig, names = _matrix(class_names)
    fig.add_heatmap(
        z=percent.round(1).tolist(),
        zmin=0,
        zmax=100,
        # Transparent to blue: the page's own background is the zero. Not quite opaque, so that the theme's
        # text stays readable on a full cell.
        colorscale=[[0, style.rgba(style.BLUE, 0)], [1, style.rgba(style.BLUE, 0.75)]],
        text=[[f"{share:.0f}" if share >= 0.5 else "" for share in row] for row in percent],
        customdata=[
            [[true, guess, int(counts[i, j]), int(seen[i])] for j, guess in enumerate(names)]
            for i, true in enumerate(names)
        ],
        hovertemplate="%{customdata[0]} seen as %{customdata[1]}:<br>"
        "%{customdata[2]} of %{customdata[3]} (%{z} %)<extra></extra>",
        **_cells(names),
    )
    return fig


def confusion_difference(baseline: Outcome, arm: Outcome, class_names: Sequence[str]) -> go.Figure:
    """The arm's matrix less the baseline's, in points of the true class. More on the diagonal is better, and
    so is less beside it: the colours say better and worse, the numbers more and less."""
    change = _percent(arm) - _percent(baseline)
    better = np.where(np.eye(len(change), dtype=bool), change, -change)
    limit = max(10.0, float(np.abs(change).max(initial=0.0)))
    fig, names = _matrix(class_names)
    fig.add_heatmap(
        z=better.round(1).tolist(),
        zmin=-limit,
        zmax=limit,
        colorscale=style.DIVERGING,
        text=[["" if abs(cell) < 0.5 else style.signed(cell) for cell in row] for row in change],
        customdata=[
            [[true, guess, style.signed(change[i, j], 1)] for j, guess in enumerate(names)]
            for i, true in enumerate(names)
        ],
        hovertemplate="%{customdata[0]} seen as %{customdata[1]}: %{customdata[2]} points<extra></extra>",
        **_cells(names),
    )
    return fig


def _percent(outcome: Outcome) -> NDArray[np.float64]:
    counts = outcome.confusion
    return np.asarray(100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), np.float64)


def _matrix(class_names: Sequence[str]) -> tuple[go.Figure, list[str]]:
    """An empty matrix with a row and a column for each class, and the names as plotly shows them."""
    names = [style.text(name) for name in class_names]
    fig = style.figure(
        height=int(110 + len(names) * min(34, max(13, 340 / len(names)))),
        xaxis=style.columns(names) | {"title": {"text": "predicted", "standoff": 6}},
        yaxis=style.rows(names)
        | {"range": [len(names) - 0.5, -0.5], "title": {"text": "true", "standoff": 4}},
    )
    return fig, names


def _cells(names: Sequence[str]) -> dict[str, Any]:
    """What the cells of all matrices have in common."""
    positions = list(range(len(names)))
    return {
        "x": positions,
        "y": positions,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "textfont": {"size": 11},
        "texttemplate": "%{text}" if len(names) <= READABLE else None,
    }

"""Parallel coordinates: settings, then results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from actrec.report.figures import style


def parallel_coordinates(
    settings: Mapping[str, Sequence[Any]], results: Mapping[str, Sequence[float | None]]
) -> go.Figure:
    """A line for each arm; its colour is the last result.

    Args:
        settings: path → a value for each arm. Numbers have an axis of numbers where there are more than
            three of them, everything else a place for each value.
        results: title → a number for each arm; the lines of arms without one are left out there.
    """
    last = list(results.values())[-1]
    known = [value for value in last if value is not None]
    fig = style.figure(height=430, margin={"l": 70, "r": 50, "t": 60, "b": 24})
    fig.add_parcoords(
        dimensions=[
            *(_setting(path, values) for path, values in settings.items()),
            *(
                {"label": style.text(title), "values": [_number(value) for value in values]}
                for title, values in results.items()
            ),
        ],
        line={
            "color": [_number(value) for value in last],
            "colorscale": [[0, style.ORANGE], [0.5, style.GREY], [1, style.BLUE]],
            "cmin": min(known, default=0.0),
            "cmax": max(known, default=1.0),
        },
        labelangle=-12,
        unselected={"line": {"opacity": 0.05}},
    )
    return fig


def _setting(path: str, values: Sequence[Any]) -> dict[str, Any]:
    label = style.text(path)
    distinct = list(dict.fromkeys(values))
    if len(distinct) > 3 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in distinct):
        return {"label": label, "values": list(values)}
    # Numbers in their order, words as they come.
    numbers = sorted(value for value in distinct if isinstance(value, int | float))
    ordered = [*numbers, *(value for value in distinct if not isinstance(value, int | float))]
    return {
        "label": label,
        "values": [ordered.index(value) for value in values],
        "tickvals": list(range(len(ordered))),
        "ticktext": [style.text(str(value)) for value in ordered],
        "range": [-0.2, len(ordered) - 0.8],
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else value

"""Parallel coordinates: settings, then results. Drawn as lines: plotly's own need WebGL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from actrec.report.figures import style

TENTH = 0.1  # of the arms, at both ends of the last result, are coloured
FAN = 0.07  # how far the lines of one word are spread, as a share of the axis
TICKS = 5  # of an axis of numbers


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where each arm crosses an axis, float64 (A,) in [0, 1], NaN where it does not; and labelled heights."""

    at: NDArray[np.float64]
    ticks: Sequence[tuple[float, str]]


def parallel_coordinates(
    settings: Mapping[str, Sequence[Any]],
    results: Mapping[str, Sequence[float | None]],
    arms: Sequence[str],
) -> go.Figure:
    """A line for each of A arms. Those in the best tenth of the last result are blue, those in the worst
    orange.

    Args:
        settings: path → a value for each arm. More than three numbers have an axis to scale, everything else
            a place for each value, where lines fan out so that each is seen.
        results: title → a number for each arm, None for none.
        arms: their names.
    """
    last = np.array([np.nan if value is None else value for value in list(results.values())[-1]])
    rank = np.argsort(np.argsort(np.nan_to_num(last, nan=-np.inf), kind="stable")) / max(len(last) - 1, 1)
    axes = [_places(values, rank) if _words(values) else _scale(values) for values in settings.values()]
    axes += [_scale(values) for values in results.values()]
    fig = style.figure(
        height=430,
        margin={"l": 8, "r": 30, "t": 12, "b": 8},
        xaxis={
            "tickvals": list(range(len(axes))),
            "ticktext": [style.text(label) for label in (*settings, *results)],
            "range": [-0.25, len(axes) - 0.6],
            "showgrid": False,
            "zeroline": False,
            "side": "top",
        },
        yaxis={"visible": False, "range": [-0.06, 1.06]},
        hovermode="closest",
    )
    heights = np.array([axis.at for axis in axes])  # (axes, A)
    known = ~np.isnan(last)
    kinds = [
        ("arms", known & (rank > TENTH) & (rank < 1 - TENTH), style.rgba(style.GREY, 0.45), 1.0),
        ("worst tenth", known & (rank <= TENTH), style.ORANGE, 1.8),
        ("best tenth", known & (rank >= 1 - TENTH), style.BLUE, 2.2),
    ]
    for name, chosen, colour, width in kinds:
        lines = [(list(heights[:, arm]), style.text(arms[int(arm)])) for arm in np.flatnonzero(chosen)]
        fig.add_scatter(
            x=[x for _ in lines for x in (*range(len(axes)), None)],
            y=[None if y is None or np.isnan(y) else y for line, _ in lines for y in (*line, None)],
            customdata=[arm for _, arm in lines for _ in range(len(axes) + 1)],
            name=name,
            mode="lines",
            line={"color": colour, "width": width},
            hovertemplate="%{customdata}<extra></extra>",
        )
    for x, axis in enumerate(axes):
        fig.add_vline(x=x, line={"color": style.GREY, "width": 1}, layer="below")
        for y, label in axis.ticks:
            fig.add_annotation(x=x, y=y, text=style.text(label), xanchor="left", xshift=4, showarrow=False)
    return fig


def _words(values: Sequence[Any]) -> bool:
    distinct = set(values)
    return len(distinct) <= 3 or not all(isinstance(v, int | float) for v in distinct)


def _places(values: Sequence[Any], rank: NDArray[np.float64]) -> _Axis:
    """A height for each value, numbers in their order, words as they come."""
    distinct = list(dict.fromkeys(values))
    numbers = sorted(value for value in distinct if isinstance(value, int | float))
    ordered = [*numbers, *(value for value in distinct if not isinstance(value, int | float))]
    step = 1 / max(len(ordered) - 1, 1)
    at = np.array([ordered.index(value) for value in values]) * step + FAN * (rank - 0.5)
    return _Axis(at, [(i * step, str(value)) for i, value in enumerate(ordered)])


def _scale(values: Sequence[float | None]) -> _Axis:
    """From the least to the greatest number."""
    found = np.array([np.nan if value is None else float(value) for value in values])
    known = found[~np.isnan(found)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    width = (high - low) or 1.0
    ticks = np.linspace(low, high, TICKS) if high > low else [low]
    return _Axis((found - low) / width, [((tick - low) / width, f"{tick:.3g}") for tick in ticks])

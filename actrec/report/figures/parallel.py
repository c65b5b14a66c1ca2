"""Parallel coordinates: settings, then results. Drawn as lines: plotly's own need WebGL."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from actrec.report.figures import style

TENTH = 0.1  # of the arms, at both ends of the last result, are coloured
FAN = 0.07  # how far the lines of one word are spread, as a share of the axis
MOST_LEVEL = 6  # labels side by side
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
    *,
    kind: str = "arms",
    log: Collection[str] = (),
) -> go.Figure:
    """A line for each of A arms. Those in the best tenth of the last result are blue, those in the worst
    orange.

    Args:
        settings: path → a value for each arm, NaN where the arm has no such setting: its line then passes by.
            More than three numbers have an axis to scale, everything else a place for each value, where lines
            fan out so that each is seen.
        results: title → a number for each arm, None for none.
        arms: their names.
        kind: what they are called.
        log: paths whose numbers are spaced by their logarithm.
    """
    last = np.array([np.nan if value is None else value for value in list(results.values())[-1]])
    rank = np.argsort(np.argsort(np.nan_to_num(last, nan=-np.inf), kind="stable")) / max(len(last) - 1, 1)
    axes = [
        _places(values, rank) if _words(values) else _scale(values, log=path in log)
        for path, values in settings.items()
    ]
    axes += [_scale(values) for values in results.values()]
    fig = style.figure(
        height=430,
        margin={"l": 8, "r": 30, "t": 44, "b": 8},
        xaxis={
            "tickvals": list(range(len(axes))),
            "ticktext": _staggered([style.text(label) for label in (*settings, *results)]),
            "tickangle": 0,
            "range": [-0.25, len(axes) - 0.6],
            "showgrid": False,
            "zeroline": False,
            "side": "top",
            "automargin": False,
        },
        yaxis={"visible": False, "range": [-0.06, 1.06]},
        hovermode="closest",
    )
    heights = np.array([axis.at for axis in axes])  # (axes, A)
    known = ~np.isnan(last)
    kinds = [
        (kind, known & (rank > TENTH) & (rank < 1 - TENTH), style.rgba(style.GREY, 0.45), 1.0),
        ("worst tenth", known & (rank <= TENTH), style.ORANGE, 1.8),
        ("best tenth", known & (rank >= 1 - TENTH), style.BLUE, 2.2),
    ]
    for name, chosen, colour, width in kinds:
        points: list[tuple[int | None, float | None, str]] = []
        for arm in np.flatnonzero(chosen):
            own, label = heights[:, arm], style.text(arms[int(arm)])
            points += [(int(x), float(own[x]), label) for x in np.flatnonzero(~np.isnan(own))]
            points.append((None, None, label))
        fig.add_scatter(
            x=[x for x, _, _ in points],
            y=[y for _, y, _ in points],
            customdata=[label for _, _, label in points],
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


def _staggered(labels: list[str]) -> list[str]:
    """Where they are many, every other one a line higher."""
    if len(labels) <= MOST_LEVEL:
        return labels
    return [f"{label}<br> " if k % 2 else label for k, label in enumerate(labels)]


def _missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _words(values: Sequence[Any]) -> bool:
    distinct = {value for value in values if not _missing(value)}
    return len(distinct) <= 3 or not all(isinstance(v, int | float) for v in distinct)


def _places(values: Sequence[Any], rank: NDArray[np.float64]) -> _Axis:
    """A height for each value, numbers in their order, words as they come."""
    distinct = list(dict.fromkeys(value for value in values if not _missing(value)))
    numbers = sorted(value for value in distinct if isinstance(value, int | float))
    ordered = [*numbers, *(value for value in distinct if not isinstance(value, int | float))]
    step = 1 / max(len(ordered) - 1, 1)
    at = np.array([math.nan if _missing(value) else ordered.index(value) * step for value in values])
    at += FAN * (rank - 0.5)
    return _Axis(at, [(i * step, str(value)) for i, value in enumerate(ordered)])


def _scale(values: Sequence[float | None], *, log: bool = False) -> _Axis:
    """From the least to the greatest number; ``log``: of their logarithms."""
    found = np.array([np.nan if value is None else float(value) for value in values])
    found = np.log10(found) if log else found
    known = found[~np.isnan(found)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    width = (high - low) or 1.0
    ticks = np.linspace(low, high, TICKS) if high > low else [low]
    return _Axis(
        (found - low) / width, [((tick - low) / width, f"{10**tick if log else tick:.3g}") for tick in ticks]
    )

"""What the candidates of a search came to from stage to stage: the winner's curse, made visible."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.values import Confirmed

CONFIRMED = 1  # where the confirmation is among the places
PLACES = (
    "search<br>val, one seed",
    "confirmation<br>val, fresh seeds",
    "ablation<br>val, fresh again",
    "ablation<br>test",
)


def confirmation(found: Sequence[Confirmed]) -> go.Figure:
    """A line for each candidate and for the base, means of top-1; bars are the range over the confirmation's
    seeds. The winner is orange, the base blue."""
    columns = [[one.searched, one.mean, one.ablated, one.tested] for one in found]
    used = [k for k in range(len(PLACES)) if any(values[k] is not None for values in columns)]
    fig = style.figure(
        height=360,
        xaxis={
            "tickvals": list(range(len(used))),
            "ticktext": [PLACES[k] for k in used],
            "range": [-0.3, len(used) - 0.7],
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={"title": {"text": "top-1, %", "standoff": 4}, "zeroline": False},
        showlegend=True,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    )
    # The winner last, so that it is on top; side by side, so that no bar hides another.
    for place, (one, values) in enumerate(sorted(zip(found, columns, strict=True), key=lambda x: x[0].won)):
        known = [(x, k, 100 * value) for x, k in enumerate(used) if (value := values[k]) is not None]
        colour = style.ORANGE if one.won else style.GREY if one.number else style.BLUE
        shift = 0.04 * (place - (len(found) - 1) / 2)
        fig.add_scatter(
            x=[x + shift for x, _, _ in known],
            y=[y for _, _, y in known],
            name=style.text(one.name) + (", won" if one.won else ""),
            mode="lines+markers",
            line={"color": colour, "width": 2.5 if one.won or not one.number else 1.2},
            marker={"size": 8, "symbol": "circle" if one.number else "diamond"},
            error_y=_range(one, [k for _, k, _ in known], colour),
            hovertemplate=f"{style.text(one.name)}: %{{y:.1f}} %<extra></extra>",
        )
    return fig


def _range(one: Confirmed, places: Sequence[int], colour: str) -> dict[str, object]:
    """Bars from the least to the greatest value of the confirmation, nothing elsewhere."""
    mean, ends = one.mean or 0.0, (min(one.confirmed, default=0.0), max(one.confirmed, default=0.0))
    return {
        "type": "data",
        "symmetric": False,
        "array": [100 * (ends[1] - mean) if place == CONFIRMED else 0 for place in places],
        "arrayminus": [100 * (mean - ends[0]) if place == CONFIRMED else 0 for place in places],
        "color": colour,
        "thickness": 1.2,
        "width": 0,
    }

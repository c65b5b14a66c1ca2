"""The data itself: how many videos a class has, how long, large and fast they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.videos import Box

COLOURS = {"train": style.BLUE, "val": style.ORANGE, "test": style.GREEN}


def class_counts(counts: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> go.Figure:
    """A bar for each class, the largest on top, of its training, validation and test videos.

    Args:
        counts: split → class → videos.
        names: the classes.
    """
    total = {name: sum(classes.get(name, 0) for classes in counts.values()) for name in names}
    ordered = sorted(names, key=lambda name: -total[name])
    fig = style.figure(
        height=70 + 20 * len(ordered),
        barmode="stack",
        bargap=0.25,
        xaxis={"title": {"text": "videos"}, "rangemode": "tozero"},
        yaxis=style.rows([style.text(name) for name in ordered]),
    )
    fig.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    for split, classes in counts.items():
        fig.add_bar(
            y=list(range(len(ordered))),
            x=[classes.get(name, 0) for name in ordered],
            orientation="h",
            name=style.text(split),
            marker={"color": COLOURS.get(split, style.GREY)},
            customdata=[style.text(name) for name in ordered],
            hovertemplate="%{customdata}: %{x} in %{fullData.name}<extra></extra>",
        )
    return fig


def box_plots(boxes: Sequence[Box], title: str) -> go.Figure:
    """Box plots side by side in rows, drawn from their numbers; of the values beyond the whiskers the page
    has the least and the greatest alone, as rings."""
    fig = style.figure(
        height=max(120, 70 + 20 * len(boxes)),
        xaxis={"title": {"text": title}, "rangemode": "tozero"},
        yaxis=style.rows([f"{style.text(box.name)} ({box.n:,})" for box in boxes]),
    )
    fig.add_box(
        y=list(range(len(boxes))),
        q1=[box.q1 for box in boxes],
        median=[box.median for box in boxes],
        q3=[box.q3 for box in boxes],
        lowerfence=[box.low for box in boxes],
        upperfence=[box.high for box in boxes],
        orientation="h",
        line={"color": style.BLUE, "width": 1.5},
        fillcolor=style.rgba(style.BLUE, 0.2),
        hoverinfo="x",
    )
    beyond = [
        (row, end)
        for row, box in enumerate(boxes)
        for end, whisker in ((box.least, box.low), (box.greatest, box.high))
        if end != whisker
    ]
    fig.add_scatter(
        y=[row for row, _ in beyond],
        x=[end for _, end in beyond],
        mode="markers",
        marker={"color": style.BLUE, "symbol": "circle-open", "size": 6},
        hovertemplate="%{x:.4~g}<extra></extra>",
    )
    return fig

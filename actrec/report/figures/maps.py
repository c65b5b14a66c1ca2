"""Test videos on a plane, coloured by class."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.frames import Frame
from actrec.report.plane import Map

PICTURES = "pictures"  # tells the page's script that the first of a point's data is its picture
NAMED = 24  # classes that a legend can hold
FEW = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.VERMILLION, "#56b4e9")


def embedding_map(found: Map, class_names: Sequence[str], frames: Mapping[str, Frame]) -> go.Figure:
    """A trace for each class; a cross is a video that was taken for another class."""
    axis = {"visible": False, "range": [-1.08, 1.08]}
    fig = style.figure(
        height=460,
        xaxis=axis,
        yaxis=axis | {"scaleanchor": "x"},
        meta=PICTURES,
        hovermode="closest",
    )
    labels = np.asarray(found.labels)
    present = sorted(set(found.labels))
    for order, label in enumerate(present):
        rows = np.flatnonzero(labels == label).tolist()
        wrong = [found.predicted[row] != label for row in rows]
        fig.add_scatter(
            x=found.points[rows, 0].tolist(),
            y=found.points[rows, 1].tolist(),
            name=style.text(class_names[label]),
            mode="markers",
            marker={
                "color": colour(order, len(present)),
                "size": [10 if missed else 7 for missed in wrong],
                "symbol": ["x" if missed else "circle" for missed in wrong],
                "opacity": 0.85,
            },
            customdata=[_told(found, row, class_names, frames) for row in rows],
            hovertemplate="%{customdata[1]}<br>%{customdata[2]}<extra></extra>",
        )
    fig.update_layout(
        showlegend=len(present) <= NAMED, legend={"orientation": "h", "y": -0.02, "yanchor": "top"}
    )
    return fig


def colour(order: int, count: int) -> str:
    """The colour of one of ``count`` classes: of a few those of the page's palette, of more evenly spread."""
    if count <= len(FEW):
        return FEW[order]
    # Neighbours in the order of classes are far apart in hue and differ in lightness too.
    hue, light = (order * 0.381966) % 1.0, (0.42, 0.55, 0.66)[order % 3]
    channels = colorsys.hls_to_rgb(hue, light, 0.75)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


def _told(found: Map, row: int, class_names: Sequence[str], frames: Mapping[str, Frame]) -> list[str]:
    """A video's picture, its name, and what it is and was taken for."""
    video, label, predicted = found.video_ids[row], found.labels[row], found.predicted[row]
    outcome = class_names[label] + (f", taken for {class_names[predicted]}" if predicted != label else "")
    frame = frames.get(video)
    return [frame.src if frame else "", style.text(video), style.text(outcome)]

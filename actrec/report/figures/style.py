"""What all figures share: the palette, the marks of the verdicts, the layout, text shown as it is."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from actrec.study.designs import JOIN

# Okabe and Ito (2008), "Color universal design": told apart with every common colour vision. Its yellow and
# its black are left out, since each vanishes on one of the two page backgrounds.
BLUE, GREEN = "#0072b2", "#009e73"
ORANGE, VERMILLION, PURPLE = "#e69f00", "#d55e00", "#cc79a7"
GREY = "#8a949e"  # for what is undecided; 3:1 or more on white and on near-black
GRID = "rgba(138,148,158,0.25)"
INK = "#68727c"  # the page's style sheet replaces it by the theme's own text colour


@dataclass(frozen=True, slots=True)
class Mark:
    """How a verdict looks: never by colour alone."""

    colour: str
    symbol: str  # of plotly
    sign: str  # beside the word on the page


MARKS = {
    "helps": Mark(GREEN, "triangle-up", "▲"),
    "hurts": Mark(VERMILLION, "triangle-down", "▼"),
    "no practical effect": Mark(BLUE, "square", "■"),
    "inconclusive": Mark(GREY, "circle", "●"),
}
OTHER = Mark(GREY, "diamond", "◆")


def mark(verdict: str) -> Mark:
    """The mark of a verdict; an unknown one is a neutral diamond."""
    return MARKS.get(verdict, OTHER)


def text(value: str) -> str:
    """``value`` such that plotly, which reads labels as a small HTML, shows it letter by letter."""
    return html.escape(value, quote=False)


def arm_label(factor: str, level: str, arm: str) -> str:
    """A tick label: ``dropout = 0.5`` and, where that says more, ``model.dropout`` in small print below."""
    if not factor or not level or arm in ("baseline", "placebo"):
        return text(arm)
    paths, levels = factor.split(JOIN), level.split(JOIN)
    if len(paths) != len(levels):
        return text(arm)
    short = JOIN.join(
        f"{path.rpartition('.')[2]} = {value}" for path, value in zip(paths, levels, strict=True)
    )
    return f"{text(short)}<br>{small(text(factor))}" if "." in factor else text(short)


def small(label: str) -> str:
    """A plotly label in small print."""
    return f'<span style="font-size:10px">{label}</span>'


def rgba(colour: str, alpha: float) -> str:
    """A ``#rrggbb`` colour with transparency, so that it sits on a light and on a dark page."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


# Worse to better through the page's own background; not quite opaque, so that text stays readable.
DIVERGING = [
    [0, rgba(VERMILLION, 0.8)],
    [0.5, rgba(VERMILLION, 0)],
    [0.5, rgba(GREEN, 0)],
    [1, rgba(GREEN, 0.8)],
]


def signed(value: float, digits: int = 0) -> str:
    """A number with its sign, and a zero without."""
    rounded = round(float(value), digits) + 0.0
    return f"{rounded:+.{digits}f}".replace("-", "−") if rounded else "0"


def figure(
    *, height: int, xaxis: dict[str, Any] | None = None, yaxis: dict[str, Any] | None = None, **layout: Any
) -> go.Figure:
    """An empty figure in the page's style: transparent, neutral grid, as wide as its container."""
    axis = {
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "linecolor": GRID,
        "automargin": True,
        "fixedrange": True,  # a finger or a wheel on the figure scrolls the page
    }
    style = {
        "template": go.layout.Template(),
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": INK},
        "showlegend": False,
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
        "xaxis": axis | (xaxis or {}),
        "yaxis": axis | (yaxis or {}),
    }
    return go.Figure(layout=style | layout)


def columns(labels: list[str]) -> dict[str, Any]:
    """An x axis with one labelled column for each of ``labels``. They end at their column and rise to it, so
    that none reaches beyond the figure's right end, where plotly would leave it out."""
    return {
        "tickvals": list(range(len(labels))),
        "ticktext": labels,
        "tickangle": -40,
        "ticks": "",
        "showgrid": False,
        "zeroline": False,
    }


def rows(labels: list[str]) -> dict[str, Any]:
    """A y axis with one labelled row for each of ``labels``, the first on top.

    Positions are numbers, so that neither repeated labels nor labels that look like numbers confuse the axis.
    """
    return {
        "tickvals": list(range(len(labels))),
        "ticktext": labels,
        "ticks": "",
        "range": [len(labels) - 0.4, -0.6],
        "showgrid": False,
        "zeroline": False,
    }

"""Learning curves: one small panel an arm, the baseline in each."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from actrec.report.figures import style
from actrec.report.values import BASELINE, Curve

# Of an axis of shares, in percent as all others on the page.
SHARES = {"tickvals": [0, 0.5, 1], "ticktext": ["0 %", "50 %", "100 %"]}


def learning_curves(
    curves: Sequence[Curve], arm: str, metric: str, span: tuple[float, float]
) -> go.Figure | None:
    """One arm's validation and training curves of one metric, means over its seeds, with the band from the
    least to the greatest seed on validation. The baseline's validation curve is dashed and on top, so that
    neither hides the other.

    Args:
        span: ends of the y axis, the same for all panels that are to be compared.

    Returns:
        None where the arm has no such curve.
    """
    chosen = {(c.arm, c.split): c for c in curves if c.metric == metric and c.arm in (arm, BASELINE)}
    if (arm, "val") not in chosen and (arm, "train") not in chosen:
        return None
    fig = style.figure(
        height=190,
        xaxis={"title": {"text": "epoch", "standoff": 4}, "rangemode": "tozero", "showgrid": False},
        yaxis={"range": list(span)} | ({"nticks": 5} if metric == "loss" else SHARES),
        hovermode="x unified",
    )
    colour = style.BLUE if arm == BASELINE else style.ORANGE
    if (arm, "val") in chosen:
        curve = chosen[arm, "val"]
        fig.add_scatter(
            x=[*curve.epoch, *reversed(curve.epoch)],
            y=[*curve.high, *reversed(curve.low)],
            name="seeds",
            fill="toself",
            fillcolor=style.rgba(colour, 0.25),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
        )
        _line(fig, curve, "val", color=colour, width=2.5)
    if (arm, "train") in chosen:
        _line(fig, chosen[arm, "train"], "train", color=style.GREY, width=1.5, dash="dot")
    if arm != BASELINE and (BASELINE, "val") in chosen:
        _line(fig, chosen[BASELINE, "val"], "baseline, val", color=style.BLUE, width=2, dash="dash")
    return fig


def span(curves: Sequence[Curve], metric: str) -> tuple[float, float]:
    """The y axis that all panels of ``metric`` share: [0, 1] for shares, else up to the greatest value."""
    if metric != "loss":
        return 0.0, 1.02
    greatest = max(
        (max(c.mean + (c.high if c.split == "val" else ())) for c in curves if c.metric == metric),
        default=1.0,
    )
    return 0.0, 1.05 * greatest


def _line(fig: go.Figure, curve: Curve, name: str, **line: object) -> None:
    fig.add_scatter(
        x=list(curve.epoch),
        y=list(curve.mean),
        name=name,
        mode="lines+markers" if len(curve.epoch) == 1 else "lines",
        line=line,
        hovertemplate="%{y:.3f}" if curve.metric == "loss" else "%{y:.1%}",
    )

"""Learning curves: a panel for every arm."""

from __future__ import annotations

from actrec.metrics import DIRECTIONS
from actrec.report import words
from actrec.report.figures.curves import learning_curves, span
from actrec.report.markup import Html, el
from actrec.report.sections.parts import note, plot, section, shown_only
from actrec.report.values import Report

KEYS = {
    "baseline": "baseline, validation (dashed over an arm's)",
    "arm": "arm, validation: mean over seeds, band from least to greatest",
    "train": "arm, training",
}


def curves(report: Report) -> Html:
    """Accuracy shown, the other metrics folded away."""
    if not report.curves:
        return section("curves", "Learning curves", note("No trial has finished an epoch yet."))
    legend = el(
        "ul",
        [
            el("li", el("span", class_=f"key {kind}", aria_hidden="true"), " ", name)
            for kind, name in KEYS.items()
        ],
        class_="legend",
    )
    metrics = {curve.metric: None for curve in report.curves if curve.split == "val"}
    order = list(DIRECTIONS)
    ordered = sorted(metrics, key=lambda metric: order.index(metric) if metric in order else len(order))
    panels = [(metric, _panels(report, metric)) for metric in ordered]
    return section(
        "curves",
        "Learning curves",
        note(
            "On the validation split, and on the training split as it was trained. No test number is here. ",
            shown_only(report),
        ),
        legend,
        el("h3", f"{words.metric_name(panels[0][0])} by epoch") if panels else None,
        panels[0][1] if panels else None,
        [
            el("details", el("summary", f"{words.metric_name(metric)} by epoch"), grid)
            for metric, grid in panels[1:]
        ],
    )


def _panels(report: Report, metric: str) -> Html:
    ends = span(report.curves, metric)
    panels = []
    for number, arm in enumerate(report.focus):
        figure = learning_curves(report.curves, arm.name, metric, ends)
        if figure is not None:
            label = f"{words.metric_name(metric)} of {arm.name} by epoch, validation and training."
            panels.append(plot(f"curve-{metric}-{number}", figure, label, el("strong", arm.name)))
    return el("div", panels, class_="panels")

"""Main effects and interactions of a factorial study."""

from __future__ import annotations

from actrec.metrics import DIRECTIONS
from actrec.report import words
from actrec.report.figures.contrasts import interactions, main_effects
from actrec.report.markup import Child, Html, el
from actrec.report.sections.parts import Cell, Column, note, plot, section, table
from actrec.report.values import Contrast, Report


def factors(report: Report) -> Html | None:
    """None where the study has no contrasts: its arms are their own main effects then."""
    if not report.contrasts:
        return None
    unit, higher = words.unit(report.metric), DIRECTIONS.get(report.metric) != "min"
    figures = [
        plot(
            "main-effects",
            main_effects(report.contrasts, unit, higher=higher),
            "Main effects on the test split with their intervals.",
            f"Main effects with their {words.level(report.looks)} intervals: the mean over all combinations "
            "of the other factors.",
        )
    ]
    if any(contrast.kind == "interaction" for contrast in report.contrasts):
        figures.append(
            plot(
                "interactions",
                interactions(report.contrasts, unit, higher=higher),
                "Two-way interactions, level by level.",
                f"Interactions in {unit.name}: how much greater the row's effect is where the column's level "
                "is on. * is told from none; green is better together, orange worse.",
                wide=True,
            )
        )
    lost = [contrast for contrast in report.contrasts if contrast.confounded_with]
    return section(
        "factors",
        "Main effects and interactions",
        el("div", figures, class_="split even"),
        note(
            f"{words.count(len(lost), 'effect is', 'effects are')} confounded: this design cannot tell "
            f"{'it' if len(lost) == 1 else 'them'} from others, which the table names."
        )
        if lost
        else None,
        _table(report, unit),
    )


def _table(report: Report, unit: words.Unit) -> Html:
    columns = [
        Column("Effect"),
        Column("Kind"),
        Column(f"Δ {unit.name}", number=True),
        Column(f"{words.level(report.looks)} interval", number=True),
        Column("p adj.", number=True),
        Column("Confounded with"),
    ]
    rows: list[list[Child | Cell]] = [
        [
            _name(contrast),
            contrast.kind,
            Cell(unit.signed(contrast.difference), contrast.difference),
            Cell(unit.interval(contrast.low, contrast.high), contrast.low),
            Cell(words.p_value(contrast.p_adjusted), contrast.p_adjusted),
            contrast.confounded_with,
        ]
        for contrast in report.contrasts
    ]
    return table(
        f"Contrasts on test {words.metric_name(report.metric)}; p is corrected for all of a kind (Holm)",
        columns,
        rows,
        kinds=[contrast.kind for contrast in report.contrasts],
    )


def _name(contrast: Contrast) -> str:
    own = f"{contrast.factor}: {contrast.baseline} → {contrast.level}"
    if contrast.kind == "main":
        return own
    return f"{own} × {contrast.other_factor}: {contrast.other_baseline} → {contrast.other_level}"

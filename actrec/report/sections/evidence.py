"""What the verdicts rest on: arms and seeds, learning curves, confusion, recall by class."""

from __future__ import annotations

from actrec.metrics import DIRECTIONS
from actrec.report import words
from actrec.report.figures.confusion import confusion_matrix
from actrec.report.figures.curves import learning_curves, span
from actrec.report.figures.recall import recall_by_class, recall_change
from actrec.report.figures.seeds import seeds
from actrec.report.markup import Child, Html, el
from actrec.report.sections.parts import Cell, Column, note, plot, section, table
from actrec.report.values import BASELINE, Arm, Best, ClassReport, ClassRow, Report


def arms(report: Report) -> Html:
    """Absolute numbers of every arm, and one dot for each trial."""
    columns = [
        Column("Arm"),
        Column("Seeds", number=True),
        Column("Top-1, val", number=True),
        Column("Top-1, test", number=True),
        Column("Macro-F1, test", number=True),
        Column("Time a trial", number=True),
    ]
    rows: list[list[Child | Cell]] = [
        [
            arm.name,
            Cell(f"{len(arm.finished)} of {len(arm.trials)}", len(arm.finished)),
            *(_mean(arm, name) for name in ("val_top1", "test_top1", "test_macro_f1")),
            _mean(arm, "seconds"),
        ]
        for arm in report.arms
    ]
    drawn: Child = None
    if report.count("ok"):
        drawn = plot(
            "seeds-plot",
            seeds(report.arms),
            "Test top-1 of every finished trial, by arm.",
            "One dot a trial, on the test split; the tick is the arm's mean, the dotted line the baseline's.",
        )
    return section(
        "arms",
        "Arms and seeds",
        el("div", table("Means over the finished seeds", columns, rows), drawn, class_="split"),
    )


def curves(report: Report) -> Html:
    """A panel for every arm: accuracy shown, the other metrics folded away."""
    if not report.curves:
        return section("curves", "Learning curves", note("No trial has finished an epoch yet."))
    keys = {
        "baseline": "baseline, validation (dashed over an arm's)",
        "arm": "arm, validation: mean over seeds, band from least to greatest",
        "train": "arm, training",
    }
    legend = el(
        "ul",
        [
            el("li", el("span", class_=f"key {kind}", aria_hidden="true"), " ", name)
            for kind, name in keys.items()
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
        note("On the validation split, and on the training split as it was trained. No test number is here."),
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
    for number, arm in enumerate(report.arms):
        figure = learning_curves(report.curves, arm.name, metric, ends)
        if figure is not None:
            label = f"{words.metric_name(metric)} of {arm.name} by epoch, validation and training."
            panels.append(plot(f"curve-{metric}-{number}", figure, label, el("strong", arm.name)))
    return el("div", panels, class_="panels")


def confusion(report: Report) -> Html:
    """The confusion matrices of the baseline and of the best change."""
    figures = [
        plot(
            f"confusion-{kind}",
            confusion_matrix(report.outcomes[name], report.class_names),
            f"Confusion matrix of {name} on the test split.",
            [
                el("strong", name),
                f", test split, {words.count(report.outcomes[name].n_seeds, 'seed')} summed",
            ],
        )
        for kind, name in _compared(report)
        if name in report.outcomes
    ]
    if not figures:
        return section("confusion", "Confusion", note("No finished trial has predictions yet."))
    return section(
        "confusion",
        "Confusion",
        note(_best(report), "Rows are true classes; numbers are percent of the row."),
        el("div", figures, class_="split even"),
    )


def classes(report: Report) -> Html:
    """Recall by class and its change under every arm; classification reports."""
    baseline = report.outcomes.get(BASELINE)
    if baseline is None:
        return section("classes", "Classes", note("The baseline has no predictions yet."))
    best = report.outcomes.get(report.best.arm) if report.best else None
    figures = [
        plot(
            "recall-plot",
            recall_by_class(baseline, best, report.class_names),
            "Recall of every class on the test split: the baseline and the best change.",
            "Test split, all seeds together, the rarest class on top; n is the number of test videos.",
        )
    ]
    if len(report.outcomes) > 1:
        figures.append(
            plot(
                "recall-change",
                recall_change(list(report.outcomes.values()), report.arms, report.class_names),
                "Change of every class's recall from the baseline, by arm, in points.",
                "Recall on the test split less the baseline's, in points.",
                wide=True,
            )
        )
    return section(
        "classes",
        "Classes",
        note(f"Baseline and best change on validation: {_judged(report, report.best)}.")
        if report.best
        else None,
        el("div", figures, class_="split figures"),
        el("div", [_class_report(found) for found in report.class_reports.values()], class_="split even"),
    )


def _class_report(found: ClassReport) -> Html:
    columns = [
        Column("Class"),
        *(Column(name, number=True) for name in ("Precision", "Recall", "F1", "Support")),
    ]
    averages = [found.macro, found.weighted]
    body = table(
        f"Classification report of {found.arm}, test split, mean over {words.count(found.n_seeds, 'seed')}",
        columns,
        [_class_row(row) for row in found.rows],
        foot=[_class_row(row) for row in averages],
    )
    return el("div", body, note(f"Accuracy {words.percent(found.accuracy)} on the test split."))


def _class_row(row: ClassRow) -> list[Child | Cell]:
    shares = [Cell(f"{share:.3f}", share) for share in (row.precision, row.recall, row.f1)]
    return [row.name, *shares, Cell(f"{row.support}", row.support)]


def _compared(report: Report) -> list[tuple[str, str]]:
    return [("baseline", BASELINE)] + ([("best", report.best.arm)] if report.best else [])


def _best(report: Report) -> str:
    if report.best is None:
        return ""
    against = "" if report.best.baseline is None else f" (baseline {words.percent(report.best.baseline)})"
    return (
        f"The best change is {_judged(report, report.best)}: it has the highest mean top-1 on the validation "
        f"split, {words.percent(report.best.val_top1)}{against}. It was not selected on the test split. "
    )


def _judged(report: Report, best: Best) -> str:
    """The best change with its verdict: best on validation is not yet better."""
    effect = report.effect(best.arm)
    return f"{best.arm} ({effect.verdict} on test)" if effect else best.arm


def _mean(arm: Arm, name: str) -> Cell:
    known = [value for trial in arm.finished if (value := getattr(trial, name)) is not None]
    mean = sum(known) / len(known) if known else None
    return Cell(words.duration(mean) if name == "seconds" else words.percent(mean), mean)

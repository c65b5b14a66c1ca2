"""What the arms confuse, and every class by itself: recall, rank, precision against recall."""

from __future__ import annotations

import numpy as np

from actrec.report import words
from actrec.report.figures.confusion import confusion_difference, confusion_matrix
from actrec.report.figures.ranking import precision_recall
from actrec.report.figures.recall import recall_by_class, recall_change
from actrec.report.markup import Child, Html, el
from actrec.report.sections.parts import Cell, Column, note, plot, section, shown_only, table
from actrec.report.values import BASELINE, Best, ClassReport, ClassRow, Outcome, PrecisionRecall, Report

SIDE_BY_SIDE = 12  # classes; matrices of more need the width
PANELS = 12


def confusion(report: Report) -> Html:
    """The confusion matrices of the baseline and of the best change, and their difference."""
    shown = [report.outcomes[name] for name in _compared(report) if name in report.outcomes]
    figures = [
        plot(
            f"confusion-{kind}",
            confusion_matrix(outcome, report.class_names),
            f"Confusion matrix of {outcome.arm} on the test split.",
            [el("strong", outcome.arm), f", {words.count(outcome.n_seeds, 'seed')} summed"],
        )
        for kind, outcome in zip(("baseline", "best"), shown, strict=False)
    ]
    if not figures:
        return section("confusion", "Confusion", note("No finished trial has predictions yet."))
    if len(shown) > 1:
        figures.append(
            plot(
                "confusion-difference",
                confusion_difference(shown[0], shown[1], report.class_names),
                f"Confusion matrix of {shown[1].arm} less the baseline's, in points.",
                [el("strong", "difference"), ", in points: green is better, orange worse"],
            )
        )
    wide = len(report.class_names) > SIDE_BY_SIDE
    return section(
        "confusion",
        "Confusion",
        note(_best(report), "Test split. Rows are true classes; numbers are percent of the row."),
        el("div", figures, class_="split even" if wide else "split three"),
    )


def classes(report: Report) -> Html:
    """Recall by class, its rank and its change under every arm; classification reports."""
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
                recall_change(
                    list(report.outcomes.values()), report.focus, report.class_names, report.recalls
                ),
                "Change of every class's recall from the baseline, by arm, in points.",
                [
                    "Recall on the test split less the baseline's, in points. ",
                    "A star marks what is not chance: p ≤ 0.05, corrected for all arms and classes. "
                    if report.recalls
                    else None,
                    shown_only(report),
                ],
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
        _ranks(report, baseline, best),
        el(
            "details",
            el("summary", "Classification reports"),
            el("div", [_class_report(found) for found in report.class_reports.values()], class_="split even"),
        ),
    )


def _ranks(report: Report, baseline: Outcome, best: Outcome | None) -> Html:
    """Every class's recall and its rank among the classes, for the baseline and the best change."""
    train = report.data.counts.get("train", {})
    support = baseline.confusion.sum(axis=1) // baseline.n_seeds
    shown = [baseline, *([best] if best else [])]
    columns = [
        Column("Class"),
        Column("Train videos", number=True),
        Column("Test videos", number=True),
        *(
            Column(f"{title}, {who}", number=True)
            for who, _ in zip((BASELINE, "best"), shown, strict=False)
            for title in ("Recall", "Rank")
        ),
        *([Column("Change, points", number=True)] if best else []),
    ]
    rows: list[list[Child | Cell]] = []
    for k, name in enumerate(report.class_names):
        cells: list[Child | Cell] = [name, _count(train.get(name)), _count(int(support[k]))]
        for outcome in shown:
            cells += [_share(outcome.recall[k]), _rank(outcome, k)]
        if best:
            cells.append(_change(best.recall[k] - baseline.recall[k]))
        rows.append(cells)
    return table("Recall on the test split, rank 1 the best recognised class", columns, rows)


def ranking(report: Report) -> Html | None:
    """Precision-recall curves by class, of the baseline and the best change."""
    baseline = {curve.name: curve for curve in report.precision_recall.get(BASELINE, ())}
    name = report.best.arm if report.best else ""
    best = {curve.name: curve for curve in report.precision_recall.get(name, ())}
    if not baseline:
        return None
    changed = sorted(
        baseline,
        key=lambda k: -abs(best[k].average - baseline[k].average) if k in best else 0.0,
    )[:PANELS]
    panels = [
        plot(
            f"ranking-{number}",
            precision_recall(baseline[k], best.get(k)),
            f"Precision against recall of class {k}.",
            [el("strong", k), f"  AP {_averages(baseline[k], best.get(k))}"],
        )
        for number, k in enumerate(k for k in baseline if k in changed)
    ]
    means = [
        f"{arm} {words.percent(sum(c.average for c in curves.values()) / len(curves))}"
        for arm, curves in ((BASELINE, baseline), (name, best))
        if curves
    ]
    legend = [("baseline", BASELINE)] + ([("arm", name)] if best else [])
    return section(
        "ranking",
        "Precision and recall",
        note(
            "Each class against the rest on the test split, by falling score: a mean over seeds. AP is the "
            f"average precision, the area below. Mean over {words.count(len(baseline), 'class', 'classes')}: "
            f"{', '.join(means)}. ",
            f"Drawn are the {PANELS} classes with the largest change. " if len(baseline) > PANELS else None,
        ),
        el(
            "ul",
            [el("li", el("span", class_=f"key {key}", aria_hidden="true"), " ", arm) for key, arm in legend],
            class_="legend",
        ),
        el("div", panels, class_="panels small"),
    )


def _averages(baseline: PrecisionRecall, best: PrecisionRecall | None) -> str:
    own = "" if best is None else f"{100 * baseline.average:.1f} → "
    return own + words.percent((best or baseline).average)


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


def _compared(report: Report) -> list[str]:
    return [BASELINE] + ([report.best.arm] if report.best else [])


def _count(n: int | None) -> Cell:
    return Cell(words.DASH if n is None else f"{n:,}", n)


def _share(share: float) -> Cell:
    known = None if np.isnan(share) else float(share)
    return Cell(words.percent(known), known)


def _rank(outcome: Outcome, k: int) -> Cell:
    """1 for the class with the highest recall; classes that share a recall share the better rank."""
    own = outcome.recall[k]
    rank = None if np.isnan(own) else int(np.sum(outcome.recall > own)) + 1
    return Cell(words.DASH if rank is None else str(rank), rank)


def _change(difference: float) -> Cell:
    known = None if np.isnan(difference) else float(difference)
    return Cell(words.unit("top1").signed(known), known)


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

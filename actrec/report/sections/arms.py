"""Absolute numbers: the arms as the literature tabulates models, their seeds, and how well they fit."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from actrec.report import words
from actrec.report.figures.fit import fit as fit_plot
from actrec.report.figures.seeds import seeds
from actrec.report.markup import Child, Html, el
from actrec.report.optimism import explained, gap, large_gap, selected
from actrec.report.record import at
from actrec.report.sections.parts import Cell, Column, note, plot, section, shown_only, table
from actrec.report.values import Arm, Report

SHARES = {"test_top1": "Top-1", "test_top5": "Top-5", "test_macro_f1": "Macro-F1"}


def arms(report: Report) -> Html:
    """A row for every arm, mean ± standard deviation over its seeds; one dot for each trial."""
    shares = {name: title for name, title in SHARES.items() if any(arm.values(name) for arm in report.arms)}
    columns = [
        Column("Arm"),
        Column("Model"),
        Column("Frames × size"),
        Column("Params", number=True),
        Column("Epochs", number=True),
        Column("Seeds", number=True),
        Column("Top-1, val", number=True),
        *(Column(title, number=True) for title in shares.values()),
    ]
    rows: list[list[Child | Cell]] = [
        [
            arm.name,
            at(arm.settings, "model.name", str, words.DASH),
            _frames(arm),
            Cell(words.millions(arm.mean("trainable_params")), arm.mean("trainable_params")),
            _epochs(arm),
            Cell(f"{len(arm.runs)} of {len({trial.seed for trial in arm.trials})}", len(arm.runs)),
            *(_spread(arm.values(name)) for name in ("val_top1", *shares)),
        ]
        for arm in report.arms
    ]
    drawn: Child = None
    if any(arm.finished for arm in report.arms):
        drawn = plot(
            "seeds-plot",
            seeds(report.focus),
            "Test top-1 of every finished trial, by arm.",
            [
                "One dot a trial, on the test split; the tick is the arm's mean, the dotted line the "
                "baseline's. ",
                shown_only(report),
            ],
        )
    return section(
        "arms",
        "Arms and seeds",
        table(
            "Mean ± standard deviation over the finished seeds, in percent, on the test split unless it says "
            "val; params are those that are trained",
            columns,
            rows,
            kinds=[""] * len(rows),
        ),
        drawn,
        _blocks(report),
    )


def _blocks(report: Report) -> Html | None:
    """Test top-1 in each block, of the baseline and the best change; None where there is but one block."""
    if not report.blocks:
        return None
    names = list(dict.fromkeys(score.arm for score in report.blocks))
    own = {(score.block, score.arm): score.top1 for score in report.blocks}
    sizes = {score.block: score.n for score in report.blocks}
    rows: list[list[Child | Cell]] = [
        [block, Cell(f"{n:,}", n), *(_spread(own.get((block, name), ())) for name in names)]
        for block, n in sizes.items()
    ]
    return table(
        "Top-1 in each block of the data, in percent: mean ± standard deviation over the finished seeds",
        [Column("Block"), Column("Test videos", number=True), *(Column(name, number=True) for name in names)],
        rows,
    )


def fit(report: Report) -> Html | None:
    """Training, validation and test side by side, and what selecting on validation promised too much."""
    if not report.fits:
        return None
    names = {arm.name for arm in report.focus}
    by_metric = {
        metric: [found for found in report.fits if found.metric == metric and found.arm in names]
        for metric in ("top1", "loss")
    }
    figures = [
        plot(
            f"fit-{metric}",
            fit_plot(found, report.focus, words.metric_name(metric), words.unit(metric)),
            f"{words.metric_name(metric)} of every arm on the training, validation and test splits.",
            f"{words.metric_name(metric)} at the epoch that was tested: training as it was trained (dropout "
            "and augmentation on), validation, test. Means over seeds.",
        )
        for metric, found in by_metric.items()
        if any(fit.test is not None for fit in found)
    ]
    return section(
        "fit",
        "Fit and optimism",
        note(_optimism(report), shown_only(report)),
        el("div", figures, class_="split even"),
        _seen(report),
    )


def _seen(report: Report) -> Html | None:
    """What a split that cuts through groups promises too much; None where no group is on both sides."""
    if not report.seen:
        return None
    columns = [
        Column("Arm"),
        Column("Seen groups, videos", number=True),
        Column("Top-1", number=True),
        Column("New groups, videos", number=True),
        Column("Top-1", number=True),
        Column("Difference, points", number=True),
    ]
    rows: list[list[Child | Cell]] = [
        [
            found.arm,
            Cell(f"{found.n_seen:,}", found.n_seen),
            Cell(words.percent(found.seen), found.seen),
            Cell(f"{found.n_new:,}", found.n_new),
            Cell(words.percent(found.new), found.new),
            Cell(words.unit("top1").signed(found.seen - found.new), found.seen - found.new),
        ]
        for found in report.seen
    ]
    return table(
        "Test videos whose group was trained on, against the others: what the split gives away", columns, rows
    )


def _optimism(report: Report) -> str:
    best = selected(report)
    found = gap(best) if best else None
    if best is None or found is None:
        return "No arm has been selected yet. "
    moved = words.unit("top1").signed(found)
    told = ""
    if explained(report) is not None:
        told = ": more than chance explains" if large_gap(report) else ": within what chance explains"
    return (
        f"{best.name}, selected on validation, scores {moved} points there against the test split{told}. "
        "The gap is optimism: of many arms the one that validation likes best is partly the luckiest. "
    )


def _frames(arm: Arm) -> str:
    clip = at(arm.settings, "clip", dict, {})
    if not {"num_frames", "height", "width"} <= clip.keys():
        return words.DASH
    frames = 1 if clip.get("sampling") == "middle" else clip["num_frames"]
    size = at(arm.settings, "augment.size", int, 0)
    height, width = (size, size) if size else (clip["height"], clip["width"])
    return f"{frames} × {height}" + ("²" if height == width else f" × {width}")


def _epochs(arm: Arm) -> Cell:
    mean = arm.mean("epochs")
    return Cell(words.DASH if mean is None else f"{mean:.0f}", mean)


def _spread(shares: Sequence[float]) -> Cell:
    """Mean ± standard deviation in percent."""
    known = [100 * share for share in shares]
    if not known:
        return Cell(words.DASH, None)
    spread = f" ± {statistics.stdev(known):.1f}" if len(known) > 1 else ""
    mean = statistics.fmean(known)
    return Cell([el("strong", f"{mean:.1f}"), el("span", spread, class_="muted")], mean)

"""The data: how many videos of each class, what they are like, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actrec.report import words
from actrec.report.figures.data import box_plots, class_counts
from actrec.report.frames import Frame
from actrec.report.markup import Child, Html, el
from actrec.report.sections.parts import Cell, Column, facts, note, picture, plot, section, table
from actrec.report.sections.verdicts import videos
from actrec.report.values import Report
from actrec.report.videos import Box, constant

SPLITS = {
    "builtin": "those of the built-in data set",
    "official": "official, as the data set names them",
    "listed": "from lists that were given",
    "cut": "cut by actrec, whole groups together",
}
MOST_CLASSES = 120  # that are drawn; the table has all
EXAMPLES, MOST_SHOWN = 3, 60  # frames of a class, and classes that show any


def data(report: Report) -> Html:
    """Videos by split and class, how long, large and fast they are, and a few of each class."""
    groups, doubles = report.data.straddling_groups, report.data.near_duplicates
    drawn = _figures(report)
    return section(
        "data",
        "Data",
        facts(
            [
                ("Videos", videos(report)),
                ("Splits", SPLITS.get(report.data.split_source or "", report.data.split_source)),
                (
                    "Resolution",
                    _same(report.videos.sides, "pixels, the shorter side") if report.videos else None,
                ),
                ("Frame rate", _same(report.videos.rates, "frames a second") if report.videos else None),
                ("Groups", f"{report.videos.groups:,}" if report.videos else None),
                ("Groups on both sides of a split", None if groups is None else str(groups)),
                (
                    "Near-duplicates on both sides of a split",
                    "not checked" if doubles is None else str(doubles),
                ),
            ]
        ),
        el("div", drawn, class_="split even") if drawn else None,
        _counts(report),
        _examples(report),
    )


def _figures(report: Report) -> list[Html]:
    counts = {split: classes for split, classes in report.data.counts.items() if "" not in classes}
    names = _classes(counts, report.class_names)
    found: list[Html] = []
    if 0 < len(names) <= MOST_CLASSES:
        figure = class_counts(counts, names)
        found.append(plot("data-classes", figure, "Videos of every class by split.", "Videos by class"))
    if report.videos is None:
        return found
    boxes = [
        ("data-seconds", report.videos.seconds[:MOST_CLASSES], "seconds", "Duration by class"),
        ("data-sides", report.videos.sides, "pixels of the shorter side", "Resolution by split"),
        ("data-rates", report.videos.rates, "frames a second", "Frame rate by split"),
    ]
    figures = [
        plot(
            ident,
            box_plots(of, title),
            f"{label}, as box plots.",
            [f"{label}: quartiles, and whiskers of at most 1.5 times the box", _beyond(of)],
        )
        for ident, of, title, label in boxes
        if of and constant(of) is None  # one value in all videos is a fact, and no figure
    ]
    return [*found, el("div", figures)] if figures else found


def _same(boxes: Sequence[Box], unit: str) -> str | None:
    """The value that all videos have; None where they differ, which is drawn."""
    value = constant(boxes)
    return None if value is None else f"{value:.4g} {unit}"


def _beyond(boxes: Sequence[Box]) -> str:
    drawn = any(box.least != box.low or box.greatest != box.high for box in boxes)
    return "; rings are the least and the greatest of all" if drawn else ""


def _classes(counts: Mapping[str, Mapping[str, int]], known: Sequence[str]) -> list[str]:
    """The classes in their order, then others that have videos."""
    names = dict.fromkeys(name for classes in counts.values() for name in classes)
    first = [name for name in known if name in names]
    return first + [name for name in names if name not in first]


def _counts(report: Report) -> Html:
    counts = report.data.counts
    columns = [Column("Class"), *(Column(split, number=True) for split in counts), Column("All", number=True)]
    rows: list[list[Child | Cell]] = [
        [name or "all classes", *(_number(n) for n in per_split), _number(sum(per_split))]
        for name in _classes(counts, report.class_names)
        for per_split in [[classes.get(name, 0) for classes in counts.values()]]
    ]
    if not rows:
        return note("No counts are recorded.")
    totals = [sum(classes.values()) for classes in counts.values()]
    total: list[Child | Cell] = ["all classes", *(_number(n) for n in totals), _number(sum(totals))]
    return table("Videos by split and class", columns, rows, [total] if len(rows) > 1 else [])


def _examples(report: Report) -> Html | None:
    """A few videos of each class, of the training split where it has pictures."""
    by_class: dict[str, list[tuple[str, Frame]]] = {}
    for video, frame in sorted(report.frames.items(), key=lambda item: item[1].split != "train"):
        by_class.setdefault(frame.class_name, []).append((video, frame))
    shown = _classes({"": dict.fromkeys(by_class, 1)}, report.class_names)[:MOST_SHOWN]
    if not shown:
        return None
    return el(
        "details",
        el("summary", f"Examples of {words.count(len(shown), 'class', 'classes')}"),
        note("Each picture is three frames of one clip, as the models get it before augmentation."),
        el(
            "dl",
            [
                el(
                    "div",
                    el("dt", name),
                    el("dd", [picture(frame, video) for video, frame in by_class[name][:EXAMPLES]]),
                )
                for name in shown
            ],
            class_="examples",
        ),
    )


def _number(n: int) -> Cell:
    return Cell(f"{n:,}", n)

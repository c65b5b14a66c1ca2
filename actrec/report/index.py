"""``reports/index.html``: all studies of a folder in one list, from the summary in each one's exports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from actrec.report import words
from actrec.report.document import MARK, document, write
from actrec.report.exports import SUMMARY
from actrec.report.figures import style
from actrec.report.figures.window import window
from actrec.report.markup import Child, Html, el
from actrec.report.record import at, finite
from actrec.report.sections.parts import Cell, Column, table

INDEX = "index.html"
NAMED = "reports"  # a folder that is for studies, however few it has
WIDTH, ROW = 150, 9  # of a picture of effects, in pixels


@dataclass(frozen=True, slots=True)
class Entry:
    """One study: its folder's name, and what its summary says; empty where its page was never built."""

    folder: str
    summary: Mapping[str, Any]


def studies(folder: Path) -> list[Path]:
    """The folders within ``folder`` that hold a study, by name."""
    return sorted(path.parent for path in folder.glob("*/study.json"))


def is_list(folder: Path) -> bool:
    """Whether ``folder`` is one of studies, and its ``index.html`` ours or nobody's."""
    if (folder / "study.json").exists():
        return False
    path = folder / INDEX
    try:
        ours = not path.exists() or MARK in path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    return ours and len(studies(folder)) >= (1 if folder.resolve().name == NAMED else 2)


def write_index(folder: Path) -> Path:
    """Writes the list of the studies in ``folder``; returns its path.

    Raises:
        LedgerError: if it cannot be written.
    """
    entries = [Entry(path.name, _summary(path)) for path in studies(folder)]
    entries.sort(key=lambda entry: at(entry.summary, "started", str, ""), reverse=True)
    return write(folder / INDEX, _page(entries))


def _summary(folder: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _page(entries: Sequence[Entry]) -> str:
    columns = [
        Column("Study"),
        Column("Started, UTC"),
        Column("Trials", number=True),
        Column("Baseline, top-1", number=True),
        Column("Answer"),
        Column("Effects"),
    ]
    return document(
        "studies",
        el(
            "header",
            el("p", "actrec · ablation studies", class_="kicker"),
            el("h1", words.count(len(entries), "study", "studies")),
        ),
        el(
            "main",
            el(
                "section",
                table(
                    "All studies of this folder, the latest first",
                    columns,
                    [_row(entry) for entry in entries],
                    kinds=[""] * len(entries),
                ),
                id="studies",
                aria_label="Studies",
            ),
        ),
        el("footer", el("p", "Built by actrec: ", el("code", "actrec report DIR"))),
        figures=False,
    )


def _row(entry: Entry) -> list[Child | Cell]:
    found = entry.summary
    started, top1 = at(found, "started", str, ""), at(found, "baseline_top1", float, None)
    link = el("a", at(found, "name", str, entry.folder), href=f"{quote(entry.folder)}/index.html")
    if not found:
        return [entry.folder, "", "", "", "its page was not built yet", None]
    planned = at(found, "planned", int, 0)
    others = [f", {n} {status}" for status in ("failed", "pruned") if (n := at(found, status, int, 0))]
    trials = f"{at(found, 'ok', int, 0)} of {planned}{''.join(others)}"
    other = f" ({entry.folder})" if entry.folder != at(found, "name", str, entry.folder) else None
    return [
        [link, el("span", other, class_="muted") if other else None],
        Cell(el("span", words.moment(started)[:16], class_="nowrap"), started),
        Cell(trials, planned),
        Cell(words.percent(top1), top1),
        el("span", at(found, "answer", str, ""), class_="wrap"),
        _picture(at(found, "effects", list, [])),
    ]


def _picture(effects: Sequence[Mapping[str, Any]]) -> Html | None:
    """A line for each effect from end to end of its interval, all on one scale around none; what is far
    outside the others' range is at the edge."""
    numbers = [[_number(effect, name) for name in ("low", "difference", "high")] for effect in effects]
    known = [[value for value in row if value is not None] for row in numbers]
    if not any(map(any, known)):
        return None
    shown = window([(min(row), max(row)) for row in known if row], 0.0)
    reach = max(abs(shown.low), abs(shown.high))

    def x(value: float) -> str:
        return f"{WIDTH / 2 * (1 + 0.95 * max(-1.0, min(1.0, value / reach))):.1f}"

    marks = []
    for index, (effect, (low, difference, high)) in enumerate(zip(effects, numbers, strict=True)):
        y, colour = f"{ROW * (index + 0.5):.1f}", style.mark(at(effect, "verdict", str, "")).colour
        if low is not None and high is not None:
            marks.append(el("line", x1=x(low), x2=x(high), y1=y, y2=y, stroke=colour, stroke_width=2))
        if difference is not None:
            marks.append(el("circle", cx=x(difference), cy=y, r=3, fill=colour))
    height = ROW * len(effects)
    middle = f"{WIDTH / 2:.1f}"
    axis = el("line", x1=middle, x2=middle, y1=0, y2=height, stroke=style.GREY, stroke_dasharray="2 2")
    return el(
        "svg",
        axis,
        marks,
        viewBox=f"0 0 {WIDTH} {height}",
        width=WIDTH,
        height=height,
        role="img",
        aria_label="Effects with their intervals; the study's page has the numbers.",
    )


def _number(effect: Mapping[str, Any], name: str) -> float | None:
    value = at(effect, name, object, None)
    return finite(float(value)) if isinstance(value, (int, float)) else None

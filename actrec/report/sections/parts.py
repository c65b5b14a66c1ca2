"""What all sections are made of: sections, tables, figures, verdict pills."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
import plotly.io as pio

from actrec.report import words
from actrec.report.figures import style
from actrec.report.frames import Frame
from actrec.report.markup import Child, Html, el, json_in_script
from actrec.report.values import Report

DIGITS = 6  # of a number in a figure
SHOWN = 50  # rows of a table, before more are asked for


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that sorts by ``key`` instead of by its text."""

    content: Child
    key: float | str | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading; numbers are set flush right."""

    title: str
    number: bool = False


def text_columns(*titles: str) -> list[Column]:
    """Columns of text."""
    return [Column(title) for title in titles]


def section(ident: str, title: str, *children: Child, **attributes: str | None) -> Html:
    """A part of the page that the navigation can name."""
    heading = el("h2", title, id=f"{ident}-title")
    return el("section", heading, *children, id=ident, aria_labelledby=f"{ident}-title", **attributes)


def note(*children: Child) -> Html:
    """A paragraph that explains."""
    return el("p", *children, class_="note")


def banner(*children: Child, kind: str = "info") -> Html:
    """Something to know before anything else is read."""
    return el("p", *children, class_=f"banner {kind}", role="note")


def table(
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Child | Cell]],
    foot: Sequence[Sequence[Child | Cell]] = (),
    *,
    kinds: Sequence[str] | None = None,
    chip: Callable[[str], Child] = str,
) -> Html:
    """A table that can be sorted by any column; the first cell of a row is its heading.

    Where it is wider than the screen it scrolls below its caption, by keyboard too. Of many rows the page
    shows the first, and more on demand.

    Args:
        foot: rows that stay below the others.
        kinds: the kind of each row. Such a table can be filtered, by text and by kind.
        chip: a kind as the button shows it that leaves only its rows.
    """
    head = el("tr", [el("th", column.title, scope="col", class_=_kind(column)) for column in columns])
    of_row: Sequence[str | None] = [None] * len(rows) if kinds is None else kinds
    body = [_row(columns, row, kind) for row, kind in zip(rows, of_row, strict=True)]
    whole = el(
        "table",
        el("thead", head),
        el("tbody", body[:SHOWN]),
        el("tfoot", [_row(columns, row) for row in foot]) if foot else None,
        class_="sortable",
    )
    frame = el("div", whole, class_="scroll", role="region", aria_label=caption, tabindex=0)
    # A template's content is parsed and not laid out: 10,000 rows cost nothing until they are asked for.
    rest = el("template", body[SHOWN:]) if len(body) > SHOWN else None
    bar = _filters(kinds, chip) if kinds is not None and len(kinds) > 1 else None
    return el("figure", el("figcaption", caption), bar, frame, rest, class_="table")


def _filters(kinds: Sequence[str], chip: Callable[[str], Child]) -> Html:
    """A field for text and a button for each kind; the script fills in the rest and shows it."""
    found = Counter(kinds)
    return el(
        "div",
        el("input", type="search", placeholder="Filter", aria_label="Show only rows with this text"),
        [
            el(
                "button",
                chip(kind),
                el("span", f" {n:,}", class_="muted"),
                type="button",
                class_="chip",
                aria_pressed="false",
                data_kind=kind,
            )
            for kind, n in found.items()
            if len(found) > 1
        ],
        el("output"),
        class_="filters",
        hidden=True,
    )


def plot(ident: str, figure: go.Figure, label: str, caption: Child = None, *, wide: bool = False) -> Html:
    """A figure, drawn when it comes near the screen.

    Args:
        label: what it shows, for those who do not see it.
        wide: keep it readable on a narrow screen by scrolling it sideways.
    """
    canvas = el(
        "div",
        class_="canvas",
        id=ident,
        role="group",  # no "img": what is within one, here the buttons that save it, is not told
        aria_label=label,
        style=f"height:{int(figure.layout.height)}px",
    )
    data = el("script", json_in_script(_json(figure)), type="application/json", id=f"{ident}-data")
    frame = el("div", canvas, class_="wide", tabindex=0, role="group", aria_label=label) if wide else canvas
    return el("figure", frame, el("figcaption", caption) if caption else None, data)


def _json(figure: go.Figure) -> str:
    """The figure as JSON; a screen shows no more than the digits that are kept of a number."""
    kept = json.loads(pio.to_json(figure), parse_float=lambda text: float(f"{float(text):.{DIGITS}g}"))
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False)


def listed(children: Sequence[Child]) -> Child:
    """With a dot between each two."""
    return [[" · " if k else None, child] for k, child in enumerate(children)]


def picture(frame: Frame, video: str) -> Html:
    """A video's picture, loaded when it comes near the screen."""
    return el(
        "img", src=frame.src, alt=f"{video}: {frame.class_name}", title=video, loading="lazy", height=56
    )


def pill(verdict: str) -> Html:
    """A verdict as a coloured label with a shape of its own."""
    name = verdict.replace(" ", "-") if verdict in style.MARKS else "other"
    return el("span", sign(verdict), verdict, class_=f"pill {name}")


def sign(verdict: str) -> Child:
    """The shape of a verdict, for the eye alone."""
    return [el("span", style.mark(verdict).sign, aria_hidden="true"), " "]


def facts(pairs: Sequence[tuple[str, Child]], kind: str = "facts") -> Html:
    """Names and values; those without a value are left out. ``kind``: ``facts`` or, in rows, ``record``."""
    return el(
        "dl",
        [el("div", el("dt", name), el("dd", value)) for name, value in pairs if value not in (None, "")],
        class_=kind,
    )


def _kind(column: Column) -> str | None:
    return "number" if column.number else None


def _row(columns: Sequence[Column], row: Sequence[Child | Cell], kind: str | None = None) -> Html:
    cells = [_cell(cell, columns[index], first=index == 0) for index, cell in enumerate(row)]
    return el("tr", cells, data_kind=kind)


def _cell(cell: Child | Cell, column: Column, *, first: bool) -> Html:
    content, key = (cell.content, cell.key) if isinstance(cell, Cell) else (cell, None)
    attributes = {"class_": _kind(column), "data_key": None if key is None else str(key)}
    return el("th", content, scope="row", **attributes) if first else el("td", content, **attributes)


def shown_only(report: Report) -> str | None:
    """That the figures do not show every arm, where that is so."""
    if len(report.focus) == len(report.arms):
        return None
    return (
        f"Drawn are {len(report.focus)} of {words.count(len(report.arms), 'arm')}: the baseline, the "
        "placebo, the best on validation and those with the clearest effects. "
    )

"""A snapshot on a terminal."""

from __future__ import annotations

import unicodedata

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from actrec.report.watch.sheets import Sheet, headline, lines, sheets
from actrec.report.watch.snapshot import Snapshot

FRAME = 4  # lines of a table beside its rows, an empty one before it counted
LEAST = 3  # arms, however small the terminal
CUT = ("Arm", "Status")  # columns of any width
COLOURS = {"ok": "green", "failed": "red"}


def render(found: Snapshot, console: Console, *, whole: bool = False) -> Group:
    """What to print; unless ``whole``, no more than fits on the screen."""
    made = sheets(found)
    if not whole:
        others = sum(len(sheet.rows) + FRAME for sheet in made[1:])
        room = console.height - others - len(lines(found)) - FRAME - 3  # a title, what is left out, a prompt
        made = sheets(found, max(LEAST, room))
    title = Text.assemble((_plain(found.name), "bold"), "  ", headline(found))
    parts: list[RenderableType] = [title, *(Text(_plain(line)) for line in lines(found))]
    for sheet in made:
        parts += ["", _table(sheet)]
    return Group(*parts)


def _table(sheet: Sheet) -> Table:
    table = Table(
        title=sheet.title,
        title_justify="left",
        title_style="dim",
        caption=sheet.more or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        header_style="dim",
    )
    for heading, number in sheet.columns:
        # Where it is narrow, names are cut and numbers stay whole. Rich cuts what may wrap first; a text that
        # may not is cut all the same.
        table.add_column(heading, justify="right" if number else "left", no_wrap=heading not in CUT)
    for row, kind in zip(sheet.rows, sheet.kinds, strict=True):
        cells = (Text(_plain(cell), no_wrap=True, overflow="ellipsis") for cell in row)
        table.add_row(*cells, style=COLOURS.get(kind, ""))
    return table


def _plain(text: str) -> str:
    """Names and errors may hold anything, and a terminal obeys what it is sent."""
    return "".join("·" if unicodedata.category(sign).startswith("C") else sign for sign in text)

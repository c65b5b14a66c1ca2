"""A snapshot as a page that refreshes itself."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from actrec.report.markup import Html, el, render
from actrec.report.watch.sheets import Sheet, headline, lines, sheets
from actrec.report.watch.snapshot import Snapshot

MOST = 200  # arms: what comes every two seconds must be small
LOST = "actrec watch does not answer: it has ended, or its machine cannot be reached."
STATUS = "status"  # where the script of the page asks for :func:`status`


def document(found: Snapshot, *, report: bool) -> str:
    """The whole page; ``report``: the study's own page is there, to be linked to."""
    head = [
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("noscript", el("meta", http_equiv="refresh", content=5)),
        el("title", _title(found)),
        el("link", rel="icon", href="data:,"),
        el("style", Html(_asset("page.css"))),
    ]
    body = [
        el("div", status(found, report=report), id="live"),
        el("main", el("p", LOST, id="lost", class_="banner warn", role="status", hidden=True)),
        el("footer", el("p", "Read from the study's folder every few seconds: ", el("code", "actrec watch"))),
        el("script", Html(_asset("watch.js"))),
    ]
    return "<!doctype html>\n" + render(el("html", el("head", head), el("body", body), lang="en")) + "\n"


def status(found: Snapshot, *, report: bool) -> Html:
    """What the page shows, anew at every refresh."""
    link = el("p", el("a", "The study's report", href="index.html")) if report else None
    kind = "note" if found.state == "running" else "banner"
    return el(
        "div",
        el(
            "header",
            el("p", f"actrec · {found.name}", class_="kicker"),
            el("h1", headline(found)),
            [el("p", line, class_=kind) for line in lines(found)],
            link,
        ),
        el("main", [_section(sheet) for sheet in sheets(found, MOST)]),
        data_title=_title(found),
    )


def policy() -> str:
    """What the browser may do on the page: run our script, ask this server."""
    return "; ".join(
        [
            "default-src 'none'",
            "connect-src 'self'",
            "img-src data:",
            f"script-src {_hash('watch.js')}",
            f"style-src {_hash('page.css')}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _title(found: Snapshot) -> str:
    done = found.planned - found.count("waiting") - found.count("running")
    return f"{done}/{found.planned} · {found.name} · actrec"


def _section(sheet: Sheet) -> Html:
    def cells(row: tuple[str, ...], kind: str) -> list[Html]:
        return [
            el(
                "td",
                text,
                class_=" ".join(["number"] * number + [f"status {kind}"] * (name == "Status")) or None,
            )
            for text, (name, number) in zip(row, sheet.columns, strict=True)
        ]

    head = [
        el("th", name, scope="col", class_="number" if number else None) for name, number in sheet.columns
    ]
    body = [el("tr", cells(row, kind)) for row, kind in zip(sheet.rows, sheet.kinds, strict=True)]
    table = el("table", el("thead", el("tr", head)), el("tbody", body))
    frame = el("div", table, class_="scroll", role="region", aria_label=sheet.title, tabindex=0)
    return el("section", el("h2", sheet.title), frame, el("p", sheet.more) if sheet.more else None)


@cache
def _asset(name: str) -> str:
    return (resources.files("actrec.report") / "assets" / name).read_text(encoding="utf-8")


def _hash(name: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(_asset(name).encode()).digest()).decode()}'"

"""Markup → one HTML file that opens offline, from the file system."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path

from plotly.offline import get_plotlyjs

from actrec.report.markup import Child, Html, el, render
from actrec.results.files import replacing

PLOTLY = "plotly.min.js"
MARK = '<meta name="generator" content="actrec">'  # what tells our files from others of the same name


def document(title: str, *body: Child, figures: bool = True) -> str:
    """A whole page with our style and script; ``figures``: it has some, so plotly.js must lie beside it."""
    script = Html(_asset("page.js"))
    # The browser itself refuses every request, and every script but ours and those of this folder.
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src 'self' data: blob:",
            "style-src 'unsafe-inline'",
            f"script-src 'self' {_hash(script)}",
        ]
    )
    head = [
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        Html(MARK),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{title} · actrec"),
        el("link", rel="icon", href="data:,"),
        el("style", Html(_asset("page.css"))),
    ]
    scripts = [el("script", src=PLOTLY) if figures else None, el("script", script)]
    whole = el("html", el("head", head), el("body", body, scripts), lang="en")
    return "<!doctype html>\n" + render(whole) + "\n"


def write(path: Path, markup: str) -> Path:
    """Writes a page, atomically; and plotly.js beside it, where it has figures and that is not there yet.

    Raises:
        LedgerError: if they cannot be written.
    """
    script = path.parent / PLOTLY
    if f'src="{PLOTLY}"' in markup and (
        not script.is_file() or script.read_text(encoding="utf-8") != get_plotlyjs()
    ):
        _write(script, get_plotlyjs())
    return _write(path, markup)


def _write(path: Path, text: str) -> Path:
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")
    return path


def _asset(name: str) -> str:
    return (resources.files("actrec.report") / "assets" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"

"""Figures and tables → one ``index.html`` that opens offline, from the file system."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path

from plotly.offline import get_plotlyjs

from actrec.report.exports import write_exports
from actrec.report.markup import Html, el, render
from actrec.report.sections import arms, classes, record, verdicts
from actrec.report.sections.banners import banners
from actrec.report.sections.cost import cost
from actrec.report.sections.curves import curves
from actrec.report.sections.data import data
from actrec.report.sections.factors import factors
from actrec.report.sections.maps import maps
from actrec.report.sections.settings import settings
from actrec.report.sections.setup import setup
from actrec.report.sections.trials import trials
from actrec.report.tables import load
from actrec.report.values import Report
from actrec.results.files import replacing

PAGE, PLOTLY = "index.html", "plotly.min.js"


def build_report(folder: Path) -> Path:
    """Writes ``index.html`` and ``exports/`` into a study's folder, from its tables and ``study.json`` alone.

    ``plotly.min.js`` lies beside it, once for all pages of the folder.

    The same files give the same bytes. A study in progress gives a page that says so.

    Args:
        folder: the study's folder; its ``index.html`` will do.

    Returns:
        The page's path.

    Raises:
        LedgerError: if there is no study in ``folder``, or files cannot be read or written.
    """
    if folder.name == PAGE and not folder.is_dir():
        folder = folder.parent
    report = load(folder)
    write_exports(report, folder)
    markup = page(report, folder)
    script = folder / PLOTLY
    if not script.is_file() or script.read_text(encoding="utf-8") != get_plotlyjs():
        _write(script, get_plotlyjs())
    return _write(folder / PAGE, markup)


def _write(path: Path, text: str) -> Path:
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")
    return path


def page(report: Report, folder: Path) -> str:
    """The whole page; ``folder`` is where its links to files are looked up."""
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
    sections = [
        ("answer", "Verdicts", verdicts.answer(report)),
        ("factors", "Factors", factors(report)),
        ("setup", "Setup", setup(report)),
        ("arms", "Arms", arms.arms(report)),
        ("fit", "Fit", arms.fit(report)),
        ("curves", "Curves", curves(report)),
        ("confusion", "Confusion", classes.confusion(report)),
        ("classes", "Classes", classes.classes(report)),
        ("ranking", "Precision–recall", classes.ranking(report)),
        ("map", "Map", maps(report)),
        ("settings", "Settings", settings(report)),
        ("cost", "Cost", cost(report)),
        ("failures", "Failures", record.failures(report)),
        ("trials", "Trials", trials(report)),
        ("data", "Data", data(report)),
        ("provenance", "Provenance", record.provenance(report, folder)),
    ]
    body = [
        el("a", "Skip to the verdicts", href="#answer", class_="skip"),
        verdicts.header(report),
        el(
            "nav",
            [el("a", title, href=f"#{ident}") for ident, title, markup in sections if markup],
            aria_label="Sections",
        ),
        el(
            "main",
            banners(report),
            el(
                "noscript",
                el("p", "The figures need JavaScript; all tables are here without it.", class_="banner"),
            ),
            [markup for _, _, markup in sections],
        ),
        el(
            "footer",
            el("p", "Built by actrec from the tables beside this page: ", el("code", "actrec report DIR")),
        ),
        el("script", src=PLOTLY),
        el("script", script),
    ]
    head = [
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{report.name} · actrec"),
        el("link", rel="icon", href="data:,"),
        el("style", Html(_asset("page.css"))),
    ]
    return "<!doctype html>\n" + render([el("html", el("head", head), el("body", body), lang="en")]) + "\n"


def _asset(name: str) -> str:
    return (resources.files("actrec.report") / "assets" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"

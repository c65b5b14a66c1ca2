"""Figures and tables → one ``index.html`` that opens offline, from the file system."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from actrec.errors import LedgerError
from actrec.report.comparison import compare
from actrec.report.document import document, write
from actrec.report.exports import write_exports, written
from actrec.report.index import is_list, write_index
from actrec.report.markup import el
from actrec.report.sections import arms, classes, comparison, explored, record, stages, verdicts
from actrec.report.sections.banners import banners
from actrec.report.sections.cost import cost
from actrec.report.sections.curves import curves
from actrec.report.sections.data import data
from actrec.report.sections.factors import factors
from actrec.report.sections.generations import generations
from actrec.report.sections.maps import maps
from actrec.report.sections.panels import panels
from actrec.report.sections.settings import settings
from actrec.report.sections.setup import setup
from actrec.report.sections.trials import trials
from actrec.report.sections.tried import tried
from actrec.report.tables import load
from actrec.report.values import Report

PAGE, COMPARISON = "index.html", "comparison.html"


def build_report(folder: Path) -> Path:
    """Writes ``index.html`` and ``exports/`` into a study's folder, from its tables and ``study.json`` alone.

    ``plotly.min.js`` lies beside it, once for all pages of the folder. The folder above, if it is one of
    studies, gets a list of them.

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
    written = write(folder / PAGE, page(report, folder))
    above = folder.resolve().parent
    if is_list(above):
        with suppress(LedgerError):  # the list is a convenience; the study's own page is there
            write_index(above)
    return written


def build_comparison(folder: Path, other: Path) -> Path:
    """Writes ``comparison.html`` into a study's folder: that study against the one in another folder.

    Raises:
        LedgerError: if there is no study in one of them, or files cannot be read or written.
    """
    found = compare(folder, other)
    title = " against ".join(found.names)
    body = el("main", comparison.body(found))
    return write(folder / COMPARISON, document(title, comparison.header(found), body, figures=False))


def page(report: Report, folder: Path) -> str:
    """The whole page; ``folder`` is where its links to files are looked up."""
    of_arms = [
        ("arms", "Arms", arms.arms(report)),
        ("fit", "Fit", arms.fit(report)),
        ("curves", "Curves", curves(report)),
        ("confusion", "Confusion", classes.confusion(report)),
        ("classes", "Classes", classes.classes(report)),
        ("ranking", "Precision–recall", classes.ranking(report)),
        ("map", "Map", maps(report)),
        ("settings", "Settings", settings(report)),
    ]
    sections = [
        ("stages", "Stages", stages.stages(report)),
        ("answer", "Verdicts", verdicts.answer(report, written(folder))),
        ("factors", "Factors", factors(report)),
        ("confirmation", "Confirmation", stages.confirmation(report)),
        ("history", "History", explored.history(report)),
        ("generations", "Generations", generations(report)),
        ("importances", "Importances", explored.importance(report)),
        ("slices", "Space", explored.slices(report)),
        ("pareto", "Pareto front", explored.pareto(report)),
        ("tried", "Search", tried(report)),
        ("setup", "Setup", setup(report)),
        *(of_arms if report.arms or report.search is None else []),  # a search has none before its last stage
        ("cost", "Cost", cost(report)),
        ("failures", "Failures", record.failures(report)),
        ("trials", "Trials", trials(report)),
        ("panels", "One by one", panels(report)),
        ("data", "Data", data(report)),
        ("provenance", "Provenance", record.provenance(report, folder)),
    ]
    return document(
        report.name,
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
    )

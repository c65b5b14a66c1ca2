"""Every trial of a search: what it set, what it came to, the command that runs it again."""

from __future__ import annotations

from actrec.report import words
from actrec.report.markup import Child, Html, el
from actrec.report.sections.explored import TITLES
from actrec.report.sections.parts import Cell, Column, note, section, table
from actrec.report.sections.trials import STATUS, copied, reproduce, short_batch
from actrec.report.values import Dimension, Report, Search, Tried

MOST = 2000  # rows; all of them are in the export


def tried(report: Report) -> Html | None:
    """None for a study without a search, or before it has a trial."""
    search = report.search
    if search is None or not search.tried:
        return None
    command = reproduce(report)
    rows = search.tried[:MOST]
    columns = [
        Column("Number", number=True),
        Column("Trial"),
        Column("Status"),
        Column("Epochs", number=True),
        Column("Top-1, val, one seed", number=True),
        *([Column("Confirmed, val", number=True)] if search.confirmed else []),
        *(Column(TITLES.get(name, name), number=True) for name in search.objectives[1:]),
        *(Column(dimension.path, number=not dimension.choices) for dimension in search.space),
    ]
    return section(
        "tried",
        "Trials of the search",
        el(
            "div",
            table(
                f"Every trial of the search, {words.count(len(rows), 'row')}: top-1 is of one seed on "
                "validation, and no result",
                columns,
                [_row(one, search, copies=command is not None) for one in rows],
                kinds=[one.trial.status for one in rows],
                chip=lambda status: STATUS[status],
            ),
            class_="tall",
        ),
        note(f"The first {MOST:,} of {len(search.tried):,}; all are in exports/search.csv.")
        if len(rows) < len(search.tried)
        else None,
        note("A click on a trial copies the command that runs it again.") if command else None,
        _storage(search),
        data_command=command,
    )


def _storage(search: Search) -> Html | None:
    """Where Optuna's own tools find the search."""
    if not search.storage:
        return None
    return note(
        "The same for Optuna: ",
        el("a", search.storage, href=search.storage),
        ", which ",
        el("code", f"optuna-dashboard {search.storage}", class_="wrap"),
        " opens.",
    )


def _row(one: Tried, search: Search, *, copies: bool) -> list[Child | Cell]:
    trial, again = one.trial, search.confirmation(one.number)
    mean = again.mean if again else None
    name = [one.name, el("span", ", the default" if one.number == 0 else "", class_="muted")]
    return [
        Cell([*name, el("span", " won", class_="won") if again and again.won else None], one.number),
        copied(trial, copies=copies),
        [el("span", STATUS[trial.status], class_=f"status {trial.status}"), short_batch(trial)],
        Cell(words.DASH if trial.epochs is None else str(trial.epochs), trial.epochs),
        Cell(words.percent(one.value), one.value),
        *([Cell(words.percent(mean) if mean is not None else "", mean)] if search.confirmed else []),
        *(Cell(_cost(value), value) for value in one.values[1:]),
        *(_setting(one, dimension) for dimension in search.space),
    ]


def _cost(value: float | None) -> str:
    return words.DASH if value is None else f"{value:,.1f}".removesuffix(".0")


def _setting(one: Tried, dimension: Dimension) -> Child | Cell:
    """Blank where the dimension does not exist for the trial."""
    if dimension.path not in one.params:
        return ""
    value = one.params[dimension.path]
    return words.setting(value) if dimension.choices else Cell(words.setting(value), value)

"""The generations of population based training, and the schedule of values that it found."""

from __future__ import annotations

from actrec.report import words
from actrec.report.figures.lineage import lineage
from actrec.report.markup import Child, Html, el
from actrec.report.sections.parts import Cell, Column, note, plot, section, table
from actrec.report.values import Report, Search, Tried

MOST = 1000  # trials that the figure shows
KINDS = {
    "dot complete": "a member that goes on as it was",
    "dot copied": "a copy, with other values",
    "key best": "the way to the best",
    "dot failed": "failed",
}


def generations(report: Report) -> Html | None:
    """None for another search, or before a trial of it has ended."""
    search = report.search
    if search is None or not search.population or not search.stages[0].ended:
        return None
    shown = latest(search)
    way = search.way()
    cut = search.generation(shown[0])
    last = search.generation(search.tried[-1])
    members = words.count(search.population, "member")
    return section(
        "generations",
        "Generations",
        note(
            f"{members[0].upper()}{members[1:]}, each trained in parts. After every part the worst quarter, "
            "and whoever failed, go on from copies of the best, with other values. All is of one seed on "
            "validation, so the highest are partly the luckiest. ",
            f"Drawn are the generations from {cut} to {last}. " if cut > 1 else None,
        ),
        el(
            "ul",
            [
                el("li", el("span", class_=kind, aria_hidden="true"), " ", meant)
                for kind, meant in KINDS.items()
                if kind != "dot failed" or any(one.trial.status == "failed" for one in shown)
            ],
            class_="legend",
        ),
        plot(
            "generations-plot",
            lineage(search, shown, way),
            f"Validation top-1 of {words.count(len(shown), 'trial')} by generation, with a line from each to "
            "the one that goes on from it.",
            "A dashed line leads from a trial to its copy, a thick one to the best of the last generation. "
            "A point tells what its trial set, and of a copy what that was before.",
            wide=True,
        ),
        _schedule(search, way),
    )


def latest(search: Search) -> list[Tried]:
    """The trials that the figure shows: all, or of very many those of the last generations."""
    whole = max(1, MOST // search.population)
    last = search.generation(search.tried[-1])
    return [one for one in search.tried if search.generation(one) > last - whole]


def _schedule(search: Search, way: tuple[Tried, ...]) -> Html | None:
    """What the best of the last generation had in each of them, in words and numbers."""
    if not way:
        return None
    columns = [
        Column("Generation", number=True),
        Column("Trial"),
        Column("Top-1, val, one seed", number=True),
        *(Column(dimension.path, number=not dimension.choices) for dimension in search.space),
    ]
    return table(
        f"The way to {way[-1].name}, the best of generation {search.generation(way[-1])}: its values in each",
        columns,
        [_row(search, one) for one in way],
    )


def _row(search: Search, one: Tried) -> list[Child | Cell]:
    from_whom = f", a copy of #{one.parent}" if one.copied else ""
    return [
        str(search.generation(one)),
        [one.name, el("span", from_whom, class_="muted")],
        Cell(words.percent(one.value), one.value),
        *(words.setting(one.params[d.path]) if d.path in one.params else "" for d in search.space),
    ]

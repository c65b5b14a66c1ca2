"""A search in three stages: what each did, and what was left of its findings in the next."""

from __future__ import annotations

from collections.abc import Sequence

from actrec.report import words
from actrec.report.figures.confirmation import confirmation as confirmation_plot
from actrec.report.markup import Child, Html, el
from actrec.report.sections.parts import Cell, Column, facts, note, plot, section, table
from actrec.report.values import Confirmed, Report, Search, Stage

STATES = {"done": "✓ done", "running": "● running", "ahead": "○ to come", "skipped": "– nothing to do"}
SAMPLERS = {
    "tpe": "TPE",
    "gp": "a Gaussian process",
    "cmaes": "CMA-ES",
    "nsga2": "NSGA-II",
    "random": "random draws",
    "qmc": "quasi-random draws",
    "brute_force": "brute force",
    "pbt": "population based training",
}
STOPPED = {
    "asha": ", poor trials stopped early by ASHA",
    "median": ", poor trials stopped early at the median",
}


def stages(report: Report) -> Html | None:
    """A strip of three; None for a study without a search."""
    search = report.search
    if search is None:
        return None
    titles = ("Search", "Confirmation", "Ablation")
    told = (_searching(search), _confirming(search), _ablating(search))
    return section(
        "stages",
        "Three stages",
        el(
            "ol",
            [_stage(stage, *both) for stage, *both in zip(search.stages, titles, told, strict=True)],
            class_="stages",
        ),
        note("No stage uses a seed of another: what looked good by chance is gone when it is measured."),
    )


def _stage(stage: Stage, title: str, told: str) -> Html:
    counts = [f"{n:,} {status}" for status in ("ok", "pruned", "failed") if (n := stage.counts.get(status))]
    waiting = stage.counts.get("waiting", 0)
    counts += [f"{waiting:,} not run"] * bool(waiting and stage.planned)
    seeds = [", ".join(map(str, stage.seeds))] if len(stage.seeds) <= 6 else []
    seeds = seeds or [f"{stage.seeds[0]} to {stage.seeds[-1]}"]
    return el(
        "li",
        el("h3", title, " ", el("span", STATES[stage.state], class_=f"state {stage.state}")),
        el("p", told),
        facts(
            [
                ("Trials", " · ".join(counts)),
                ("Seeds" if len(stage.seeds) > 1 else "Seed", seeds[0]),
                ("Work", words.duration(stage.seconds) if stage.seconds else None),
            ]
        )
        if stage.planned
        else None,
        class_=stage.state,
    )


def _searching(search: Search) -> str:
    sampler = SAMPLERS.get(search.sampler, search.sampler)
    known = f", told of {words.count(search.known, 'trial')} of an earlier study" if search.known else ""
    fewer = f" (of {search.asked:,} asked for: the space has no more)" if search.exhausted else ""
    size = words.count(len(search.space), "dimension")
    return (
        f"{words.count(search.stages[0].planned or 0, 'trial')}{fewer} in a space of {size}, proposed by "
        f"{sampler}{known}{STOPPED.get(search.stopping, '')}. Judged on validation."
    )


def _confirming(search: Search) -> str:
    if not search.confirmed:
        if search.stages[1].state == "skipped":
            return "No trial went on from the search."
        many = words.count(search.confirm, "best trial")
        return f"The {many} and the default once more, with fresh seeds at the full budget, on validation."
    many = words.count(len(search.confirmed) - 1, "best trial")
    told = f"The {many} and the default once more, with fresh seeds at the full budget, on validation."
    if search.winner is None:
        return told
    return f"{told} {f'#{search.winner}' if search.winner else 'The default'} won."


def _ablating(search: Search) -> str:
    if search.stages[2].state == "skipped":
        return "There is no winner to take apart."
    winner = f"#{search.winner}" if search.winner else "the winner"
    return f"What {winner} changes is put back one by one, and all at once; judged on the test split."


def confirmation(report: Report) -> Html | None:
    """The candidates from stage to stage; None before the confirmation."""
    search = report.search
    if search is None or not search.confirmed:
        return None
    begun = any(one.confirmed for one in search.confirmed)
    return section(
        "confirmation",
        "Confirmation",
        note(
            "The search picks its best of many by one seed, so a part of what it saw of them was luck. With "
            "fresh seeds that part is gone: the fall from the search to its confirmation is the winner's "
            "curse. Only the last stage is measured on the test split.",
        ),
        el(
            "div",
            _table(search.confirmed),
            plot(
                "confirmation-plot",
                confirmation_plot(search.confirmed),
                "Top-1 of the candidates and the default from stage to stage.",
                "Means of top-1; bars are the range over the seeds of the confirmation.",
            )
            if begun
            else None,
            class_="split",
        ),
    )


def _table(found: Sequence[Confirmed]) -> Html:
    columns = [
        Column("Trial"),
        Column("Fresh seeds", number=True),
        Column("Confirmed, val", number=True),
        Column("Range"),
        Column("Search, one seed", number=True),
        Column("Change", number=True),
    ]
    unit = words.unit("top1")
    rows: list[list[Child | Cell]] = []
    for one in found:
        lost = None if one.mean is None or one.searched is None else one.mean - one.searched
        ends = [words.percent(end(one.confirmed)) for end in (min, max)] if one.confirmed else []
        rows.append(
            [
                [one.name, el("span", " won", class_="won") if one.won else None],
                Cell(f"{len(one.confirmed)} of {one.asked}", len(one.confirmed)),
                Cell(el("strong", words.percent(one.mean)), one.mean),
                el("span", " to ".join(ends) or words.DASH, class_="nowrap"),
                Cell(words.percent(one.searched), one.searched),
                Cell(unit.signed(lost), lost),
            ]
        )
    return table("Top-1 on validation, with fresh seeds and in the search; change in points", columns, rows)

"""What a search tried and what it says of its space: history, importances, slices, Pareto front."""

from __future__ import annotations

import math

from actrec.report import words
from actrec.report.figures import search as figures
from actrec.report.figures.parallel import parallel_coordinates
from actrec.report.importances import FEWEST
from actrec.report.importances import MOST as EXPLAINED
from actrec.report.markup import Child, Html, el
from actrec.report.sections.parts import note, plot, section
from actrec.report.values import Dimension, Report, Search, Tried

MOST = 1000  # trials that a figure shows
MOST_LINES = 150  # of parallel coordinates
STABLE = 50  # trials from which PED-ANOVA has five above its quantile, as its authors advise
TITLES = {
    "seconds": "seconds of work",
    "trainable_params": "trained parameters",
    "clips_trained": "training clips",
}
LUCK = "one seed on validation, so the highest of them are partly the luckiest. "
KINDS = {
    "complete": "a trial",
    "pruned": "pruned: at its last epoch; a triangle is far below",
    "candidate": "candidate",
    "default": "the default",
    "confirmed": "with fresh seeds: the mean of its confirmation",
    "failed": "failed",
}


def history(report: Report) -> Html | None:
    """Value by number; None for a study without a search, or before a trial of it has ended."""
    search = report.search
    if search is None or not search.stages[0].ended:
        return None
    return section(
        "history",
        "History of the search",
        note(f"Top-1 of each trial: {LUCK}", _drawn(search)),
        _legend(search, again=True),
        plot(
            "history-plot",
            figures.history(search, shown(search)),
            "Validation top-1 of the search's trials by number, with the best so far.",
            "The dotted line is the best so far.",
            wide=True,
        ),
    )


def importance(report: Report) -> Html | None:
    """Which dimensions matter, and the two that matter most; None for a study without a search."""
    search = report.search
    if search is None or not search.stages[0].ended:
        return None
    ran = len(search.complete)
    if not search.importances:
        why = (
            f"It takes {FEWEST} trials that ran to their end; {ran} did so far."
            if search.too_few
            else "All trials came to the same value: there is nothing to explain."
        )
        return section("importances", "Importances", note(why))
    drawn = [
        plot(
            "importances-plot",
            figures.importances(search.importances, search.space),
            "Importance of every dimension of the space by fANOVA and PED-ANOVA.",
            "fANOVA: the share of the variance of the value over the whole space. PED-ANOVA: what sets the "
            "best tenth of the trials apart. fANOVA leaves out dimensions that not every trial has.",
        )
    ]
    both = _leading(search)
    if len(both) == 2:
        drawn.append(
            plot(
                "pair-plot",
                figures.pair(shown(search), *both),
                f"Validation top-1 over {both[0].path} and {both[1].path}.",
                "The two most important dimensions, by the mean of both methods, and top-1 on validation.",
            )
        )
    told = f"the {words.count(ran, 'trial')}" if ran <= EXPLAINED else f"{EXPLAINED} of the {ran:,} trials"
    rough = "With so few trials these are rough. " if ran < STABLE else ""
    return section(
        "importances",
        "Importances",
        note(
            f"By Optuna, from {told} that ran to their end. {rough}They describe "
            "what the search saw; what a change is worth is measured by the ablation."
        ),
        el("div", drawn, class_="split even"),
    )


def slices(report: Report) -> Html | None:
    """A panel for each dimension, and all of them as parallel coordinates; None without such trials."""
    search = report.search
    if search is None or not any(one.params and one.value is not None for one in search.tried):
        return None
    tried = shown(search)
    panels = [
        plot(
            f"slice-{number}",
            figures.slices(search, tried, dimension),
            f"Validation top-1 against {dimension.path}.",
            [el("strong", dimension.path), _where(dimension)],
        )
        for number, dimension in enumerate(search.space)
    ]
    return section(
        "slices",
        "The space",
        note(f"Every trial at what it set: {LUCK}", _drawn(search)),
        _legend(search),
        el("div", panels, class_="panels"),
        _parallel(search),
    )


def pareto(report: Report) -> Html | None:
    """Validation top-1 against each other objective; None where there is but one."""
    search = report.search
    if search is None or len(search.objectives) < 2 or not search.complete:
        return None
    several = len(search.objectives) > 2
    return section(
        "pareto",
        "Pareto front",
        note(
            f"{words.count(len(search.front), 'trial')} of {len(search.complete):,} "
            f"{'is' if len(search.front) == 1 else 'are'} beaten by no other in all of "
            f"{words.count(len(search.objectives), 'objective')}: "
            f"{', '.join(f'#{number}' for number in search.front[:12])}"
            f"{', …' if len(search.front) > 12 else ''}. Candidates for the confirmation are of these. ",
            "A trial may be on the front by an objective that a figure does not show. " if several else None,
        ),
        _legend(search),
        el(
            "div",
            [
                plot(
                    f"pareto-{k}",
                    figures.pareto(search, shown(search), k, TITLES.get(name, name)),
                    f"Validation top-1 against {TITLES.get(name, name)}, and the trials that no other beats.",
                    f"Top-1 on validation against {TITLES.get(name, name)}.",
                )
                for k, name in enumerate(search.objectives)
                if k
            ],
            class_="split even",
        ),
    )


def shown(search: Search) -> list[Tried]:
    """The trials that figures show: all, or of very many an even sample with the base and the candidates."""
    step = math.ceil(len(search.tried) / MOST) or 1
    kept = {0, *(one.number for one in search.confirmed), *search.front}
    return [one for k, one in enumerate(search.tried) if k % step == 0 or one.number in kept]


def _drawn(search: Search) -> str | None:
    drawn, whole = len(shown(search)), len(search.tried)
    return f"Drawn are {drawn:,} of {whole:,} trials, evenly over their numbers. " if drawn < whole else None


def _leading(search: Search) -> list[Dimension]:
    """The two most important dimensions."""
    mean = {d.path: sum(one.shares.get(d.path, 0.0) for one in search.importances) for d in search.space}
    return sorted(search.space, key=lambda dimension: -mean[dimension.path])[:2]


def _where(dimension: Dimension) -> str | None:
    """The condition of a dimension in words."""
    if dimension.when is None:
        return None
    path, values = dimension.when
    return f", where {path} is {' or '.join(map(words.setting, values))}"


def _parallel(search: Search) -> Html | None:
    complete = sorted((one for one in search.complete if one.params), key=lambda one: -(one.value or 0.0))
    lines = complete[:: math.ceil(len(complete) / MOST_LINES) or 1]
    if len(lines) < 2:
        return None
    labels = {dimension.path: dimension.label for dimension in search.space}
    figure = parallel_coordinates(
        {label: [one.params.get(path, math.nan) for one in lines] for path, label in labels.items()},
        {"top-1, val, %": [100 * (one.value or 0.0) for one in lines]},
        [one.name for one in lines],
        kind="trials",
        log=[dimension.label for dimension in search.space if dimension.log],
    )
    caption = "A line for every trial that ran to its end: blue for the best tenth, orange for the worst."
    if len(lines) < len(complete):
        caption += f" Drawn are {len(lines)} of {len(complete):,}, evenly over their ranks."
    return el(
        "div",
        plot(
            "search-parallel",
            figure,
            f"Parallel coordinates of {words.count(len(lines), 'trial')} of the search.",
            caption,
            wide=True,
        ),
        class_="below",
    )


def _legend(search: Search, *, again: bool = False) -> Html:
    """The marks that occur; ``again``: those of failures and of confirmations too."""
    absent = {"pruned", "failed"} - {one.trial.status for one in search.tried}
    absent |= set() if search.confirmed else {"candidate", "confirmed"}
    absent |= set() if again else {"failed", "confirmed"}
    keys = {kind: told for kind, told in KINDS.items() if kind not in absent}
    items: list[Child] = [
        el("li", el("span", class_=f"dot {kind}", aria_hidden="true"), " ", told)
        for kind, told in keys.items()
    ]
    return el("ul", items, class_="legend")

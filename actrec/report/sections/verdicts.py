"""The first screen: the answer, the verdicts, the effect plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from actrec.report import words
from actrec.report.figures.effects import effects as effect_plot
from actrec.report.markup import Child, Html, el
from actrec.report.record import at
from actrec.report.sections.parts import (
    Cell,
    Column,
    facts,
    listed,
    note,
    pill,
    plot,
    section,
    shown_only,
    sign,
    table,
)
from actrec.report.values import DEFAULT, PLACEBO, Effect, Report, Search
from actrec.stats.paired import ESTIMAND
from actrec.stats.verdicts import IDLE, NONE


def header(report: Report) -> Html:
    """The study's name, its answer in one sentence, and its size."""
    pruned, waiting = report.count("pruned"), report.count("waiting")
    if report.search:  # trials that it has not proposed yet are to run as well
        waiting = sum(stage.counts["waiting"] for stage in report.search.stages)
    planned = report.planned + waiting - report.count("waiting")
    trials = f"{report.count('ok')} of {planned} ok · {report.count('failed')} failed"
    trials += (f" · {pruned} pruned" if pruned else "") + (f" · {waiting} not run" if waiting else "")
    kind = "search" if report.search else "ablation study"
    return el(
        "header",
        el("p", f"actrec · {kind}", class_="kicker"),
        el("h1", report.name),
        el("p", words.answer(report), class_="answer"),
        facts(
            [
                ("Trials", trials),
                ("Seeds", f"{len(report.seeds)} for each arm" if report.seeds else None),
                ("Videos", videos(report)),
                ("Test videos", _test_videos(report)),
                ("Verdicts on", f"{words.metric_name(report.metric)}, test split"),
            ]
        ),
    )


def _test_videos(report: Report) -> str | None:
    if not report.n_test:
        return None
    return f"{report.n_test:,} · one video is {100 / report.n_test:.1f} points"


def videos(report: Report) -> str | None:
    """How many videos there are and how many of them do not decode; None where nothing is known."""
    if report.data.undecodable is None:
        return f"{report.data.videos:,}" if report.data.counts else None
    broken = f"{len(report.data.undecodable):,} undecodable"
    return f"{report.data.videos:,} · {broken}" if report.data.counts else broken


SEEDS_ALONE = (
    "Intervals and p are for new training seeds alone, on these very test videos: predictions are missing, "
    "so videos cannot be compared one by one."
)
FORMATS = {".csv": "CSV", ".md": "Markdown", ".tex": "LaTeX"}


def answer(report: Report, exports: Sequence[str] = ()) -> Html:
    """The verdict table beside the effect plot; further metrics below, folded away.

    Args:
        exports: files of the study's folder to link to, as paths within it; of them those with the verdicts.
    """
    if report.search and not report.arms:
        return section("answer", "Verdicts", note(_why_none(report.search)))
    unit = words.unit(report.metric)
    names = {arm.name for arm in report.focus}
    shown = [e for e in report.effects if e.difference is not None and e.arm in names]
    drawn: Child = None
    if shown:
        drawn = plot(
            "effect-plot",
            effect_plot(shown, unit),
            "Differences from the baseline on the test split with their intervals; the table "
            "of verdicts holds the same numbers.",
            _caption(report, shown),
        )
    further = {effect.metric: None for effect in report.further}
    return section(
        "answer",
        "Verdicts",
        note(_reference(report.search)) if report.search else None,
        el(
            "div",
            el("div", _table(report, report.effects, report.metric), _exported(exports), _notes(report)),
            drawn,
            class_="split",
        ),
        [
            el(
                "details",
                el("summary", f"The same for {words.metric_name(metric)}"),
                _table(report, [effect for effect in report.further if effect.metric == metric], metric),
            )
            for metric in further
        ],
    )


def _exported(exports: Sequence[str]) -> Html | None:
    """The table for a paper or another program."""
    found = [
        path for path in map(PurePosixPath, exports) if path.stem == "verdicts" and path.suffix in FORMATS
    ]
    links = [el("a", FORMATS[path.suffix], href=str(path), download=path.name) for path in found]
    return note("This table as ", listed(links), ".") if links else None


def _why_none(search: Search) -> str:
    """Why there are no arms."""
    if search.winner == 0:
        return "The default won the confirmation: there is nothing to take apart, and no test number."
    if search.stages[2].state == "skipped":
        return "No trial was confirmed, so nothing is judged on the test split."
    return "They follow: first the search and the confirmation find a winner, on validation alone."


def _reference(search: Search) -> str:
    """What is compared with what around a winner."""
    return (
        f"Here the baseline is the winner, #{search.winner}, and every row takes back what it changes: "
        f"“{DEFAULT}” all of it, the others one change each. “hurts” means that without the change accuracy "
        "falls: the change is worth having."
    )


def _caption(report: Report, shown: Sequence[Effect]) -> list[Child]:
    """What the effect plot draws, in as far as it draws it."""
    unit = words.unit(report.metric)
    margin = next((effect.margin for effect in shown if effect.margin), None)
    far = any(trace.text for trace in effect_plot(shown, unit).data)
    return [
        "Mean paired differences from the baseline (dotted line)",
        f", with their {words.level(report.looks)} intervals. "
        if any(effect.low is not None for effect in shown)
        else ". ",
        "The thin line holds for all arms together. "
        if any(effect.low_simultaneous is not None for effect in shown)
        else None,
        f"Between the dashed lines, ± {unit.size(margin)} {unit.name}, a difference does not matter in "
        "practice. "
        if margin
        else None,
        "An arrow at the edge is an arm far outside, with its value. " if far else None,
        "The purple band is the placebo's interval: the noise of this study. "
        if any(effect.arm == PLACEBO and effect.low is not None for effect in shown)
        else None,
        shown_only(report),
    ]


def _notes(report: Report) -> list[Html | None]:
    """How the verdicts come about, in as far as it is so in this study."""
    stopped = at(report.settings, "optim.patience", int, 0) > 0
    idle = any(effect.verdict == IDLE for effect in report.effects)
    judged = any(effect.p is not None for effect in report.effects)
    return [
        note(ESTIMAND if any(effect.n_videos for effect in report.effects) else SEEDS_ALONE)
        if judged
        else None,
        note(
            "Every arm is trained with the same seeds as the baseline and compared with it seed by seed. ",
            "Early stopping selects a trial's epoch on the validation split. " if stopped else None,
            "Every number here is of the test split.",
        ),
        note(
            "An interval may exclude 0 while the verdict is inconclusive: each interval stands for one "
            "comparison, while p and the verdict are corrected for all of them (Shaffer's form of Holm's "
            "correction). "
            if judged
            else None,
            f"Arms are judged at up to {report.looks} numbers of seeds, so p is multiplied by {report.looks} "
            f"and intervals have a level of {words.level(report.looks)} in place of 95\u202f%. "
            if judged and report.looks > 1
            else None,
            "The placebo is judged by its own p. " if judged and report.effect(PLACEBO) else None,
            "“+4 seeds”: that many more would settle it, if everything is as it seems now. "
            if any(effect.more_seeds for effect in report.effects)
            else None,
            "“+ videos”: no number of seeds would, more test videos are needed. "
            if any(effect.needs_videos for effect in report.effects)
            else None,
            f"“{NONE}”: the difference is surely smaller than the margin. "
            if any(effect.verdict == NONE for effect in report.effects)
            else None,
            f"“{IDLE}”: the arm computed exactly what the baseline did, so there is nothing to judge."
            if idle
            else None,
        ),
    ]


def _table(report: Report, effects: Sequence[Effect], metric: str) -> Html:
    unit = words.unit(metric)
    columns = [
        Column("Factor"),
        Column("Level"),
        Column(f"Δ {unit.name}", number=True),
        Column(f"{words.level(report.looks)} interval", number=True),
        Column("p adj.", number=True),
        Column("Seeds", number=True),
        Column("Verdict"),
    ]
    rows: list[list[Child | Cell]] = [
        [
            effect.factor or effect.arm,
            _level(effect),
            Cell(
                [el("strong", unit.signed(effect.difference)), el("span", f" {unit.name}", class_="unit")],
                effect.difference,
            ),
            Cell(unit.interval(effect.low, effect.high), effect.low),
            Cell(words.p_value(effect.p_adjusted), effect.p_adjusted),
            Cell(_seeds(effect), effect.n_seeds),
            [pill(effect.verdict), _settles(effect)],
        ]
        for effect in effects
    ]
    return table(
        f"Effect on test {words.metric_name(metric)}: mean paired difference, arm less baseline",
        columns,
        rows,
        kinds=[effect.verdict for effect in effects],
        chip=lambda verdict: [sign(verdict), verdict],
    )


def _settles(effect: Effect) -> Child:
    """What would settle an inconclusive verdict; nothing where the table does not tell."""
    told = "" if effect.arm == PLACEBO else words.settles(effect)
    return [" ", el("span", told, class_="settles")] if told else None


def _level(effect: Effect) -> Child:
    if effect.arm == PLACEBO:
        return el("span", "no change", class_="muted nowrap")
    # What a winner changes all in all is no short text.
    told = effect.baseline and effect.arm != DEFAULT
    before = el("span", f"{words.short(effect.baseline)} → ", class_="muted") if told else None
    return el("span", before, words.short(effect.level), class_="nowrap")


def _seeds(effect: Effect) -> str:
    return (
        f"{effect.n_seeds} of {effect.n_seeds + effect.n_failed}" if effect.n_failed else f"{effect.n_seeds}"
    )

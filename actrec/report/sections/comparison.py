"""The page that compares two studies."""

from __future__ import annotations

from actrec.report import words
from actrec.report.comparison import Baselines, Comparison
from actrec.report.markup import Child, Html, el
from actrec.report.sections.parts import Cell, Column, banner, facts, note, pill, section, table, text_columns
from actrec.report.values import Effect, Report
from actrec.report.words import Unit


def header(found: Comparison) -> Html:
    """Both names, and how many verdicts changed."""
    changed = sum(pair.changed for pair in found.pairs)
    return el(
        "header",
        el("p", "actrec · comparison of two studies", class_="kicker"),
        el("h1", " against ".join(found.names)),
        el(
            "p",
            f"Of {words.count(len(found.pairs), 'arm')} in common, {changed} changed the verdict; ",
            _sentence(found.baselines),
            class_="answer",
        ),
        facts(
            [
                ("This one", _size(found.names[0], found.ours)),
                ("The other", _size(found.names[1], found.theirs)),
            ]
        ),
    )


def _size(name: str, report: Report) -> str:
    seeds = words.count(len(report.seeds), "seed")
    return f"{name}: {report.count('ok')} of {report.planned} trials, {seeds}"


def _sentence(baselines: Baselines) -> str:
    if baselines.difference is None:
        return "the baselines cannot be compared video by video."
    unit = words.unit("top1")
    moved = f"the baseline moved by {unit.signed(baselines.difference)} {unit.name}"
    if baselines.low is None:
        return f"{moved}."
    return f"{moved} {unit.interval(baselines.low, baselines.high)}."


def body(found: Comparison) -> list[Html | None]:
    """Baselines, settings, arms."""
    metric = words.metric_name(found.ours.metric)
    other = found.theirs.metric != found.ours.metric
    note_ = f"The other study judges on {words.metric_name(found.theirs.metric)}; here it is {metric}."
    return [banner(note_) if other else None, _baselines(found), _settings(found), _arms(found)]


def _baselines(found: Comparison) -> Html:
    both, unit = found.baselines, words.unit("top1")
    rows: list[list[Child | Cell]] = [
        [found.names[0], Cell(words.percent(both.ours), both.ours)],
        [found.names[1], Cell(words.percent(both.theirs), both.theirs)],
    ]
    told = f"{unit.signed(both.difference)} {unit.name}"
    told += f" {unit.interval(both.low, both.high)}" if both.low is not None else ""
    shared = [words.count(both.n_videos, "test video"), words.count(both.n_seeds, "seed")]
    return section(
        "baselines",
        "Baselines",
        table("Mean test top-1 of the baselines", [Column("Study"), Column("Top-1", number=True)], rows),
        note(f"This one less the other: {told}, on {' and '.join(shared)} that both have.")
        if both.difference is not None
        else None,
        note(f"No interval: {both.why}.") if both.why else None,
    )


def _settings(found: Comparison) -> Html:
    rows = [[path, _value(ours), _value(theirs)] for path, ours, theirs in found.settings]
    known = found.ours.settings and found.theirs.settings
    return section(
        "settings",
        "Settings",
        table("Settings of the baselines that differ", text_columns("Setting", "This one", "The other"), rows)
        if rows and known
        else note("The baselines' settings are the same." if known else "Settings are not recorded."),
    )


def _value(value: object) -> str:
    return words.DASH if value is None else str(value)


def _arms(found: Comparison) -> Html:
    unit = words.unit(found.ours.metric)
    columns = [
        Column("Arm"),
        *(
            column
            for title, report in (("this", found.ours), ("other", found.theirs))
            for column in (
                Column(f"Δ {unit.name}, {title}", number=True),
                Column(f"{words.level(report.looks)} interval", number=True),
                Column(f"Verdict, {title}"),
            )
        ),
    ]
    rows: list[list[Child | Cell]] = [
        [pair.arm, *_effect(pair.ours, unit), *_effect(pair.theirs, unit)] for pair in found.pairs
    ]
    alone = [
        note(f"Only in {name}: {', '.join(arms)}.")
        for name, arms in zip(found.names, (found.only_ours, found.only_theirs), strict=True)
        if arms
    ]
    return section(
        "arms",
        "Arms in common",
        table(
            f"Effects on test {words.metric_name(found.ours.metric)}, each against its own baseline",
            columns,
            rows,
            kinds=["verdict changed" if pair.changed else "same verdict" for pair in found.pairs],
        )
        if rows
        else note("The studies have no arm in common."),
        alone,
    )


def _effect(effect: Effect, unit: Unit) -> list[Child | Cell]:
    return [
        Cell(unit.signed(effect.difference), effect.difference),
        Cell(unit.interval(effect.low, effect.high), effect.low),
        pill(effect.verdict),
    ]

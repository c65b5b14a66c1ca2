"""A panel for one trial of each arm, folded away until it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actrec.report import words
from actrec.report.figures.curves import learning_curves, span
from actrec.report.frames import Frame
from actrec.report.markup import Child, Html, el
from actrec.report.sections.parts import (
    Cell,
    Column,
    facts,
    note,
    picture,
    plot,
    section,
    shown_only,
    table,
    text_columns,
)
from actrec.report.sections.trials import copied, reproduce
from actrec.report.values import Panel, Report

SHOWN = ("top1", "loss")


def panels(report: Report) -> Html | None:
    """None before a trial has finished."""
    if not report.panels:
        return None
    command = reproduce(report)
    return section(
        "panels",
        "One trial of each arm",
        note(
            "The first seed of every arm: what it changes, its curves, its worst mistakes. ",
            "A click on the trial copies the command that runs it again. " if command else None,
            shown_only(report),
        ),
        [
            _panel(found, number, report, copies=command is not None)
            for number, found in enumerate(report.panels)
        ],
        data_command=command,
    )


def _panel(found: Panel, number: int, report: Report, *, copies: bool) -> Html:
    trial = found.trial
    right = f"{found.right} of {words.count(found.videos, 'test video')} right" if found.videos else None
    fold = f", fold {trial.fold}" if trial.fold else ""
    return el(
        "details",
        el(
            "summary",
            el("strong", found.arm),
            f", seed {trial.seed}{fold}: {words.percent(trial.test_top1)} top-1 on test",
        ),
        facts(
            [
                ("Trial", copied(trial, copies=copies)),
                ("Predictions", right),
                ("Most mistaken", _confused(found, report)),
            ]
        ),
        table(
            "What it sets otherwise than the baseline",
            text_columns("Setting", "Baseline", "This arm"),
            [[path, _value(before), _value(after)] for path, before, after in found.changed],
        )
        if found.changed
        else None,
        _curves(found, number),
        _mistakes(found, report.class_names, report.frames),
    )


def _confused(found: Panel, report: Report) -> str | None:
    names = report.class_names
    told = [f"{names[label]} for {names[predicted]} ({n})" for label, predicted, n in found.confused]
    return ", ".join(told) or None


def _curves(found: Panel, number: int) -> Html | None:
    drawn: list[Html] = []
    for metric in SHOWN:
        figure = learning_curves(found.curves, found.arm, metric, span(found.curves, metric))
        if figure is not None:
            name = words.metric_name(metric)
            drawn.append(
                plot(
                    f"panel-{metric}-{number}",
                    figure,
                    f"{name} of {found.arm}, seed {found.trial.seed}, by epoch.",
                    f"{name} by epoch",
                )
            )
    return el("div", drawn, class_="panels") if drawn else None


def _mistakes(found: Panel, names: Sequence[str], frames: Mapping[str, Frame]) -> Html | None:
    if not found.worst:
        return None
    pictures = any(mistake.video_id in frames for mistake in found.worst)
    columns = [
        Column("Video"),
        *([Column("Frames")] if pictures else []),
        Column("Is"),
        Column("Was taken for"),
        Column("Probability of that", number=True),
        Column("Of the true class", number=True),
    ]
    rows: list[list[Child | Cell]] = []
    for mistake in found.worst:
        frame = frames.get(mistake.video_id)
        rows.append(
            [
                el("code", mistake.video_id, class_="wrap"),
                *([picture(frame, mistake.video_id) if frame else None] if pictures else []),
                names[mistake.label],
                names[mistake.predicted],
                Cell(words.percent(mistake.taken), mistake.taken),
                Cell(words.percent(mistake.true), mistake.true),
            ]
        )
    return table("Worst mistakes, by the loss on the video", columns, rows)


def _value(value: object) -> str:
    return words.DASH if value is None else str(value)

"""Every trial with its status, and the command that runs it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from actrec.report import words
from actrec.report.markup import Child, Html, el
from actrec.report.record import at
from actrec.report.sections.parts import Cell, Column, note, section, table
from actrec.report.values import Report, Trial

STATUS = {"ok": "✓ ok", "failed": "✗ failed", "pruned": "◔ pruned", "waiting": "○ not yet run"}
TRIAL = "TRIAL"  # what the page's script replaces by a trial's id


def trials(report: Report) -> Html:
    """A row for every trial, those not yet run too."""
    folds, stages = any(trial.fold for trial in report.trials), report.search is not None
    columns = [
        Column("Arm"),
        *([Column("Stage")] if stages else []),
        Column("Seed", number=True),
        *([Column("Fold", number=True)] if folds else []),
        Column("Status"),
        Column("Epochs", number=True),
        Column("Top-1, val", number=True),
        Column("Top-1, test", number=True),
        Column("Time", number=True),
        Column("Trial"),
    ]
    command = reproduce(report)
    beside = len(report.trials) - report.planned
    return section(
        "trials",
        "Trials",
        el(
            "div",
            table(
                f"Every trial of the study, {words.count(len(report.trials), 'row')}",
                columns,
                [
                    _trial(trial, folds=folds, stages=stages, copies=command is not None)
                    for trial in report.trials
                ],
                kinds=[trial.status for trial in report.trials],
                chip=lambda status: STATUS[status],
            ),
            class_="tall",
        ),
        note(
            "To reproduce a row, put its trial for ",
            TRIAL,
            " (a click on it copies the command): ",
            el("code", command, class_="wrap"),
        )
        if command
        else None,
        note(f"{words.count(beside, 'trial is', 'trials are')} of another plan: kept, in no number here.")
        if beside
        else None,
        data_command=command,
    )


def reproduce(report: Report) -> str | None:
    """The command that runs one trial of the study into a folder of its own; None where it is not known."""
    command = at(report.study, "command", str, "")
    if not command:
        return None
    again = shlex.quote(f"reports/{report.name}-again")
    return f"{_elsewhere(command)} --only {TRIAL} --out {again}"


def _elsewhere(command: str) -> str:
    """The command without the folder that the study went to, where it names one."""
    try:
        parts = shlex.split(command)
    except ValueError:  # no shell's command: as it is
        return command
    place = next((k for k, word in enumerate(parts) if word == "--out"), None)
    if place is None:
        return command
    return shlex.join(parts[:place] + parts[place + 2 :])


def _trial(trial: Trial, *, folds: bool, stages: bool, copies: bool) -> Sequence[Child | Cell]:
    status = STATUS[trial.status] + ("" if trial.planned else ", not in this plan")
    return [
        trial.arm,
        *([words.STAGES.get(trial.stage, trial.stage)] if stages else []),
        Cell(str(trial.seed), trial.seed),
        *([Cell(str(trial.fold), trial.fold)] if folds else []),
        [el("span", status, class_=f"status {trial.status}"), short_batch(trial)],
        Cell("–" if trial.epochs is None else str(trial.epochs), trial.epochs),
        Cell(words.percent(trial.val_top1), trial.val_top1),
        Cell(words.percent(trial.test_top1), trial.test_top1),
        Cell(words.duration(trial.seconds), trial.seconds),
        copied(trial, copies=copies),
    ]


def short_batch(trial: Trial) -> str | None:
    """That memory was short for the batches asked for; nothing where it was not."""
    return f", batches of {trial.batch[0]} for {trial.batch[1]}" if trial.batch else None


def copied(trial: Trial, *, copies: bool) -> Html:
    """A trial's id; a click on it copies the command, where there is one."""
    ident = el("code", trial.trial_id)
    if not copies or not trial.planned:
        return ident
    return el(
        "button", ident, type="button", class_="copy", data_copy=trial.trial_id, title="Copy the command"
    )

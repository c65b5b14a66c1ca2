"""What the arms have in common: the baseline's settings, in plain sight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actrec.report import words
from actrec.report.markup import Html, el
from actrec.report.record import at
from actrec.report.sections.parts import note, section, table, text_columns
from actrec.report.values import Report


def setup(report: Report) -> Html:
    """The settings that a reader needs to place the numbers; all others are in the provenance."""
    shown = [(name, value) for name, value in _settings(report) if value]
    return section(
        "setup",
        "Setup",
        table(
            "The baseline's settings; an arm has the same but for its change",
            text_columns("Setting", "Value"),
            shown,
        )
        if shown
        else note("The settings are not recorded."),
        note("All settings: ", el("a", "provenance", href="#provenance"), "."),
    )


def _settings(report: Report) -> list[tuple[str, str]]:
    base = report.settings
    model = at(base, "model", dict, {})
    clip = at(base, "clip", dict, {})
    optim = at(base, "optim", dict, {})
    return [
        ("Model", _with(str(model.get("name", "")), model)),
        ("Clip", _say(clip, "{num_frames} frames of {height} × {width} pixels, fit: {fit}")),
        ("Sampling", _say(clip, "{sampling}, {clips} per test video")),
        (
            "Optimizer",
            _say(optim, "{name}, learning rate {lr:g}, {schedule} schedule, weight decay {weight_decay:g}"),
        ),
        ("Epochs", _epochs(optim)),
        ("Batch", _say(optim, "{batch_size} clips")),
        ("Seeds", ", ".join(map(str, report.seeds))),
    ]


def _say(values: Mapping[str, Any], pattern: str) -> str:
    """``pattern`` filled in; empty where a value is missing."""
    try:
        return pattern.format_map(values)
    except (KeyError, ValueError):
        return ""


def _with(name: str, values: Mapping[str, Any]) -> str:
    """A name and the options that are set."""
    given = [
        key.replace("_", " ") + ("" if value is True else f" {value}")
        for key, value in values.items()
        if key != "name" and value not in (None, False, "")
    ]
    return ", ".join([name, *given]) if name else ""


def _epochs(optim: Mapping[str, Any]) -> str:
    epochs, patience = optim.get("epochs"), optim.get("patience")
    if epochs is None:
        return ""
    if not patience:
        return f"{epochs}, all of them"
    return (
        f"{epochs} at most, stopped after {words.count(patience, 'epoch')} without a better validation loss"
    )

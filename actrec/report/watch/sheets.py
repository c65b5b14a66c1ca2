"""A snapshot in words and tables of text, the same for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actrec.engine.progress import TRIALS
from actrec.report import words
from actrec.report.watch.snapshot import Group, Snapshot, Trial

LATEST = 5  # trials that ended last
QUIET_S = 60.0  # without an epoch, from which it is told
STATUS = {"ok": "✓ ok", "failed": "✗ failed", "pruned": "◦ stopped early"}
AGAIN = "the same command goes on from here"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of text.

    Attributes:
        columns: headings, and whether the column is of numbers.
        kinds: of each row, a trial's status or nothing.
        more: what stands below, where rows were left out.
    """

    title: str
    columns: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...]
    more: str = ""


def headline(found: Snapshot) -> str:
    """How many trials are in what state."""
    parts = [f"{found.count('ok')} of {words.count(found.planned, 'trial')} ok"]
    counts = (
        ("failed", "failed"),
        ("pruned", "stopped early"),
        ("running", "running"),
        ("waiting", "waiting"),
    )
    parts += [f"{n} {name}" for status, name in counts if (n := found.count(status))]
    return ", ".join(parts)


def lines(found: Snapshot) -> list[str]:
    """What else is to be said, the driver's state first."""
    ran = words.duration(found.seconds)
    missing = found.count("waiting")
    match found.state:
        case "done":
            return [f"done, in {ran}"]
        case "stopped":
            return [f"stopped with {words.count(missing, 'trial')} not run; {AGAIN}"]
        case "gone":
            return [f"the driver is gone: it was killed, or its machine went down; {AGAIN}"]
    said = ["running" if found.seconds is None else f"running for {ran}"]
    if found.left is not None:
        said.append(f"about {words.duration(found.left)} left")
    news = found.news
    if news is not None and news.clips_per_second is not None:
        said.append(f"{news.clips_per_second:,.0f} clips/s")
    told = [", ".join(said)]
    if news is not None and news.phase != TRIALS:
        told.append(f"{news.phase}: {news.done:,} of {news.total:,}" if news.total else news.phase)
    if news is not None and news.written is not None:
        quiet = (news.written - news.changed).total_seconds()
        if quiet >= QUIET_S:
            told.append(f"nothing has moved for {words.duration(quiet)}")
    return told


def sheets(found: Snapshot, most: int | None = None) -> list[Sheet]:
    """The arms, what runs now, and what ended last; of the arms no more than ``most``, the most active."""
    running = [trial for trial in found.trials if trial.status == "running"]
    latest = found.latest(LATEST)
    made = [_arms(found, most)]
    if running:
        made.append(_running(running))
    if latest:
        made.append(_latest(found, latest))
    return made


def _arms(found: Snapshot, most: int | None) -> Sheet:
    shown: Sequence[Group] = found.groups
    if most is not None and len(shown) > most:
        chosen = sorted(shown, key=lambda group: group.active, reverse=True)[:most]
        shown = [group for group in found.groups if group in chosen]
    counted = [s for s in ("ok", "failed", "pruned", "running", "waiting") if s == "ok" or found.count(s)]
    staged = any(group.stage for group in found.groups)
    columns = [
        *([("Stage", False)] if staged else []),
        ("Arm", False),
        *((s if s != "pruned" else "stopped early", True) for s in counted),
        *_headings(found),
    ]
    rows = [
        (
            *([group.stage] if staged else []),
            group.name,
            *(str(group.count(status) or "–") for status in counted),
            _value(found.val_metric, group.mean("val")),
            _value(found.test_metric, group.mean("test")),
        )
        for group in shown
    ]
    left = len(found.groups) - len(rows)
    more = f"and {words.count(left, 'more arm')}" if left else ""
    return Sheet("Arms, and the means of their trials", tuple(columns), tuple(rows), ("",) * len(rows), more)


def _running(trials: Sequence[Trial]) -> Sheet:
    columns = (*_WHO, ("Epochs done", True), ("Time", True))
    rows = [
        (*_who(trial), f"{trial.epoch} of {trial.epochs}", words.duration(trial.seconds)) for trial in trials
    ]
    return Sheet("Running now", columns, tuple(rows), ("",) * len(rows))


def _latest(found: Snapshot, trials: Sequence[Trial]) -> Sheet:
    columns = (*_WHO, ("Status", False), *_headings(found), ("Time", True))
    rows = [
        (
            *_who(trial),
            STATUS.get(trial.status, trial.status) + (f": {trial.error}" if trial.error else ""),
            _value(found.val_metric, trial.val),
            _value(found.test_metric, trial.test),
            words.duration(trial.seconds),
        )
        for trial in trials
    ]
    return Sheet("Ended last", columns, tuple(rows), tuple(trial.status for trial in trials))


_WHO = (("Trial", False), ("Arm", False), ("Seed", True))


def _who(trial: Trial) -> tuple[str, str, str]:
    seed = words.DASH if trial.seed is None else str(trial.seed)
    return trial.trial_id, trial.arm, seed + (f", fold {trial.fold}" if trial.fold else "")


def _headings(found: Snapshot) -> tuple[tuple[str, bool], tuple[str, bool]]:
    val, test = (words.metric_name(name) for name in (found.val_metric, found.test_metric))
    return (f"{val}, val", True), (f"{test}, test", True)


def _value(metric: str, value: float | None) -> str:
    if value is None:
        return words.DASH
    return f"{value:.3f}" if words.unit(metric).scale == 1.0 else words.percent(value)

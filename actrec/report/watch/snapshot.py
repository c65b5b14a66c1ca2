"""What the files of a running study hold → plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from actrec.engine.progress import TRIALS, News, Running
from actrec.report.record import Row, at, finite, word
from actrec.results.schema import FAILED, TABLES

Driver = Literal["alive", "gone", "none"]  # gone: it still owns the folder, and does not run
State = Literal["running", "gone", "stopped", "done"]

SEARCH = "search"  # the stage whose trials are no arms
ENOUGH = 3  # trials ended in this launch, from which the time left is told where the driver does not tell it


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of the plan, as it is now.

    Attributes:
        status: as in the ledger, or ``running``, or ``waiting``.
        val, test: the metric on the two splits; None where it is not known.
        seconds: of work; of a running one, since it started.
        epoch, epochs: of a running one, how many are done of how many.
    """

    trial_id: str
    arm: str
    seed: int | None
    fold: int
    stage: str
    status: str
    error: str = ""
    val: float | None = None
    test: float | None = None
    seconds: float | None = None
    ended: datetime | None = None
    epoch: int = 0
    epochs: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """The trials of one arm in one stage; those of a search are one group, named by its stage.

    ``unasked`` further trials will belong to it, which a search has not proposed yet.
    """

    stage: str
    name: str
    trials: tuple[Trial, ...]
    unasked: int = 0

    def count(self, status: str) -> int:
        """How many have a status; ``waiting`` counts those that were not proposed yet."""
        found = sum(trial.status == status for trial in self.trials)
        return found + self.unasked * (status == "waiting")

    def mean(self, split: Literal["val", "test"]) -> float | None:
        """Over the trials that are ok; None without any."""
        known = [v for t in self.trials if t.status == "ok" and (v := getattr(t, split)) is not None]
        return sum(known) / len(known) if known else None

    @property
    def active(self) -> tuple[bool, datetime]:
        """What orders groups by how lately something happened in them."""
        ends = [trial.ended for trial in self.trials if trial.ended is not None]
        return self.count("running") > 0, max(ends, default=datetime.min.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A study at one moment.

    Attributes:
        val_metric, test_metric: what ``val`` and ``test`` are.
        seconds: that this launch runs; of all launches, once it has ended.
        left: seconds, where it can be told.
        news: what the driver says of itself; None where it says nothing, or is gone.
    """

    name: str
    state: State
    val_metric: str
    test_metric: str
    groups: tuple[Group, ...]
    seconds: float | None
    left: float | None
    news: News | None

    @property
    def trials(self) -> list[Trial]:
        return [trial for group in self.groups for trial in group.trials]

    @property
    def planned(self) -> int:
        return sum(len(group.trials) + group.unasked for group in self.groups)

    def count(self, status: str) -> int:
        return sum(group.count(status) for group in self.groups)

    def latest(self, most: int) -> list[Trial]:
        """The trials that ended last, the last first."""
        ended = [(trial.ended, trial) for trial in self.trials if trial.ended is not None]
        return [trial for _, trial in sorted(ended, key=lambda pair: pair[0], reverse=True)[:most]]


def metrics(study: Row) -> tuple[str, str]:
    """The columns of the study's metric on validation and test; not all are measured on validation."""
    metric = at(study, "study.metric", str, "top1").removeprefix("test_")
    val = f"val_{metric}"
    return val if val in TABLES["trials"].names else "val_top1", f"test_{metric}"


def snapshot(
    name: str, study: Row, rows: Sequence[Row], news: News | None, driver: Driver, now: datetime
) -> Snapshot:
    """A study at one moment.

    Args:
        name: of the folder, for a study that has not written its own yet.
        study: what ``study.json`` holds.
        rows: of the table ``trials``.
        news: what ``progress.json`` holds. Of a driver that is gone it is left out.
        now: with a time zone.
    """
    if driver != "alive":
        news = None
    val, test = metrics(study)
    asked = at(study, "study.search.trials", int, 0)
    groups = _groups(_trials(at(study, "plan", list, []), rows, news, val, test, search=asked > 0), asked)
    waiting = sum(group.count("waiting") + group.count("running") for group in groups)
    ended = at(study, "ended", str, "")
    state: State = "stopped"
    if driver == "alive":
        state = "running"
    elif ended and not waiting:
        state = "done"
    elif driver == "gone":
        state = "gone"
    started = _time(at(study, "started", str, ""))
    seconds = at(study, "wall_seconds", float, None)
    # Before the first trials of a launch, study.json may still be of the launch before.
    if state == "running":
        known = started is not None and (not ended or started.isoformat() > ended)
        seconds = max(0.0, (now - started).total_seconds()) if known and started is not None else None
    return Snapshot(
        name=at(study, "name", str, name),
        state=state,
        val_metric=val.removeprefix("val_"),
        test_metric=test.removeprefix("test_"),
        groups=groups,
        seconds=seconds,
        left=_left(groups, news, started, seconds, waiting) if state == "running" else None,
        news=news,
    )


def _trials(
    plan: Sequence[Row], rows: Sequence[Row], news: News | None, val: str, test: str, *, search: bool
) -> list[Trial]:
    """The plan in its order; then what a search has proposed since the plan was written. One folder may hold
    the trials of several plans: other rows do not count."""
    done = {row["trial_id"]: row for row in rows}
    running = {one.trial_id: one for one in (news.running if news else ())}
    planned = {entry["trial_id"] for entry in plan}
    proposed = [row for row in rows if row["trial_id"] not in planned and (not plan or row.get("stage"))]
    if search:
        new = running.keys() - planned - done.keys()
        proposed += [{"trial_id": key, "stage": SEARCH} for key in sorted(new)]
    return [
        _trial(entry, done.get(entry["trial_id"]), running.get(entry["trial_id"]), news, val, test)
        for entry in [*plan, *proposed]
    ]


def _trial(entry: Row, row: Row | None, one: Running | None, news: News | None, val: str, test: str) -> Trial:
    """``entry`` says what it is; ``row`` what came of it, ``one`` how far it is, where there is that."""
    values: dict[str, Any] = {"status": "waiting"}
    # A failed trial may run again; one that is ok and runs is news from before it ended.
    if one is not None and (row is None or (row["status"] == FAILED and _before(row, one))):
        seconds = (news.written - one.started).total_seconds() if news and news.written else None
        values = {"status": "running", "epoch": one.epoch, "epochs": one.epochs, "seconds": seconds}
    elif row is not None:
        values = {
            "status": row["status"],
            "error": word(row.get("error")),
            "val": finite(row.get(val)),
            "test": finite(row.get(test)),
            "seconds": finite(row.get("seconds")),
            "ended": row.get("ended"),
        }
    return Trial(
        trial_id=entry["trial_id"],
        arm=word(entry.get("arm")),
        seed=entry.get("seed"),
        fold=entry.get("fold") or 0,
        stage=word(entry.get("stage")),
        **values,
    )


def _before(row: Row, one: Running) -> bool:
    ended = row.get("ended")
    return ended is None or ended < one.started


def _groups(trials: Sequence[Trial], asked: int) -> tuple[Group, ...]:
    """The trials by stage and arm; ``asked`` is how many a search shall have, 0 without one."""
    members: dict[tuple[str, str], list[Trial]] = {}
    if asked:
        members[SEARCH, SEARCH] = []
    for trial in trials:
        name = SEARCH if trial.stage == SEARCH else trial.arm
        members.setdefault((trial.stage, name), []).append(trial)
    searching = len(members) == 1  # once later stages have begun it is over, whatever it came to
    return tuple(
        Group(stage, name, tuple(of), max(0, asked - len(of)) if stage == SEARCH and searching else 0)
        for (stage, name), of in members.items()
    )


def _left(
    groups: Sequence[Group],
    news: News | None,
    started: datetime | None,
    seconds: float | None,
    waiting: int,
) -> float | None:
    """By the driver's own measure; where it says nothing, by the trials that this launch has ended."""
    if news is not None and news.phase == TRIALS:
        if news.seconds_left is None or news.written is None:
            return None
        return max(0.0, news.seconds_left - (news.written - news.changed).total_seconds())
    if news is not None or started is None or not seconds:
        return None
    ends = [trial.ended for group in groups for trial in group.trials if trial.ended is not None]
    ended = sum(end >= started for end in ends)
    return waiting * seconds / ended if ended >= ENOUGH else None


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)

"""What a user sees while a study runs: one live line on a terminal, a plain line now and then elsewhere, and
``progress.json`` in the study's folder for whoever watches from another process or machine.

::

    {"phase": "trials", "done": 12, "total": 60,
     "changed": "2026-03-01T09:00:40+00:00",
     "running": [
       {"trial_id": "4f2a9c1d0b7e", "epoch": 3, "epochs": 15, "started": "2026-03-01T09:00:38+00:00"}],
     "clips_per_second": 812.0, "seconds_left": 130.0,
     "written": "2026-03-01T09:00:41+00:00"}

The file is news, no record: it is written about once a second, removed at the end, and nothing depends on it.
A driver that was killed leaves it behind.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from actrec.files import replacing
from actrec.results.ledger import Ledger

FILE = "progress.json"
TRIALS = "trials"  # the phase in which trials run; every other one prepares for it
WRITE_S = 1.0  # between two writings of the file
PLAIN_S = 10.0  # between two lines where the output is no terminal
RATE_S = 20.0  # over which clips/s is measured
STEADY_S = 10.0  # of training, before which the time left is anybody's guess


@dataclass(frozen=True, slots=True)
class Running:
    """A trial that is being trained: ``epoch`` of ``epochs`` are done. It has run since ``started``."""

    trial_id: str
    epoch: int
    epochs: int
    started: datetime


@dataclass(frozen=True, slots=True)
class News:
    """What a driver is doing.

    Attributes:
        phase: what is counted: ``trials``, or what comes before them, such as ``videos decoded``.
        done, total: how many of how many; both 0 where there is nothing to count yet.
        changed: when anything was last done.
        running: the trials that are being trained.
        clips_per_second: trained on, over all trials; None before trials run.
        seconds_left: None while nobody can tell.
        written: when the driver was last alive.
    """

    phase: str
    done: int
    total: int
    changed: datetime
    running: tuple[Running, ...] = ()
    clips_per_second: float | None = None
    seconds_left: float | None = None
    written: datetime | None = None


def read_news(folder: Path) -> News | None:
    """What the driver of the study in ``folder`` last said; None where there is no file, or none of ours."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        running = tuple(Running(**{**row, "started": _time(row["started"])}) for row in found["running"])
        times = {name: _time(found[name]) for name in ("changed", "written")}
        return News(**{**found, "running": running, **times})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Display:
    """Progress of decoding, then of trials. Cheap to call at every epoch."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        # On a narrow terminal the counts must stay whole: the bar goes first.
        wide: list[ProgressColumn] = (
            [BarColumn(bar_width=24), TimeElapsedColumn()] if self.console.width >= 100 else []
        )
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            *wide,
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=self.console,
            transient=True,
        )
        self._live = self.console.is_terminal
        self._printed = 0.0
        self._news = News("starting", 0, 0, datetime.now(UTC))

    def __enter__(self) -> Self:
        if self._live:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bar.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, markup=False, soft_wrap=True)

    def update(
        self, what: str, done: int, total: int, note: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        """Shows that ``done`` of ``total`` of ``what`` are done. ``details`` are further fields of
        :class:`News`."""
        self._news = News(what, done, total, datetime.now(UTC), **(details or {}))
        if self._live:
            task = next((task.id for task in self._bar.tasks if task.description == what), None)
            if task is None:
                task = self._bar.add_task(what, total=total, note=note)
            self._bar.update(task, completed=done, total=total, note=note)
        elif done >= total or time.monotonic() - self._printed >= PLAIN_S:
            self._printed = time.monotonic()
            self.say(f"{what}: {done} of {total}{'  ' if note else ''}{note}")

    @contextmanager
    def publishing(self, ledger: Ledger) -> Iterator[None]:
        """Keeps ``progress.json`` in a study's folder up to date until its end, as long as the folder is the
        ledger's: another driver that has claimed it has one of its own.

        By a thread of its own: a slow disk must not hold up a sweep, and a driver that waits for a long epoch
        is still alive.
        """
        over = threading.Event()

        def publish() -> None:
            while not over.wait(WRITE_S):
                self._publish(ledger)

        self._publish(ledger)
        thread = threading.Thread(target=publish, name="actrec-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            if ledger.is_mine():
                with suppress(OSError):
                    (ledger.folder / FILE).unlink()

    def _publish(self, ledger: Ledger) -> None:
        if not ledger.is_mine():
            return
        news = dataclasses.replace(self._news, written=datetime.now(UTC))
        text = json.dumps(dataclasses.asdict(news), default=datetime.isoformat, ensure_ascii=False)
        with suppress(OSError), replacing(ledger.folder / FILE, durable=False) as aside:
            aside.write_text(text + "\n", encoding="utf-8")


class TrialProgress:
    """Counts trials and epochs, and estimates the time left.

    Args:
        planned: trials of the study; those that a search has not thought of yet count too.
        already: how many of them have ended before.
        epochs: trial id → its epochs, of the others as far as they are known. A search names its trials to
            :meth:`started` as they come.
    """

    def __init__(self, display: Display, planned: int, already: int, epochs: Mapping[str, int]) -> None:
        self._display, self._planned = display, planned
        self._done, self._failed = already, 0
        self._epochs = dict(epochs)
        self._left = dict(epochs)  # epochs of the trials that are known and have not ended
        self._running: dict[str, datetime] = {}
        self._recent: deque[tuple[float, int]] = deque()
        self._first: float | None = None  # when the first epoch ended: the start of workers is no measure
        self._epochs_done = 0

    def started(self, trial_id: str, epochs: int | None = None) -> None:
        """Notes that a trial starts; ``epochs`` it has, where it was not known before."""
        if epochs is not None and trial_id not in self._epochs:
            self._epochs[trial_id] = self._left[trial_id] = epochs
        self._running.setdefault(trial_id, datetime.now(UTC))
        self._show()

    def epoch(self, trial_id: str, clips: int, number: int | None = None) -> None:
        """Notes that a trial ended an epoch of so many clips.

        Args:
            number: of the epoch, from 1; it is more than the epochs seen here where the trial went on from a
                checkpoint.
        """
        if self._first is None:
            self._first = time.monotonic()
        else:
            self._recent.append((time.monotonic(), clips))
        self._epochs_done += 1
        self._left[trial_id] = max(
            0, self._left[trial_id] - 1 if number is None else self._epochs[trial_id] - number
        )
        self._show()

    def ended(self, trial_id: str, *, ok: bool) -> None:
        """Notes that a trial ended; epochs that it has left will not be."""
        self._running.pop(trial_id, None)
        self._left.pop(trial_id, None)
        self._done += 1
        self._failed += not ok
        self._show()

    def _show(self) -> None:
        now = time.monotonic()
        while self._recent and now - self._recent[0][0] > RATE_S:
            self._recent.popleft()
        since = 0.0 if self._first is None else now - self._first
        rate = sum(clips for _, clips in self._recent) / max(1.0, min(RATE_S, since))
        left = self._seconds_left(since)
        parts = [f"{len(self._running)} running"]
        if self._failed:
            parts.append(f"{self._failed} failed")
        if left is not None:
            parts.append(f"{_duration(left)} left")
        parts += [f"{rate:,.0f} clips/s", f"{self._epochs_done} epoch{'s' * (self._epochs_done != 1)}"]
        running = tuple(
            Running(name, self._epochs[name] - self._left[name], self._epochs[name], started)
            for name, started in self._running.items()
        )
        details = {"running": running, "clips_per_second": round(rate, 1), "seconds_left": left}
        self._display.update(TRIALS, self._done, self._planned, ", ".join(parts), details)

    def _seconds_left(self, since: float) -> float | None:
        """At the pace of ``since`` seconds since the first epoch; None while that is no measure."""
        unknown = max(0, self._planned - self._done - len(self._left))  # of a search: as long as the others
        mean = sum(self._epochs.values()) / max(1, len(self._epochs))
        epochs = sum(self._left.values()) + unknown * mean
        if since <= STEADY_S or epochs <= 0:
            return None
        return round(epochs * since / max(1, self._epochs_done - 1), 1)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02} min"
        if hours
        else f"{minutes} min {seconds:02} s"
        if minutes
        else f"{seconds} s"
    )

"""What a user sees while a study runs: one live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Self

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

PLAIN_S = 10.0  # between two lines where the output is no terminal
RATE_S = 20.0  # over which clips/s is measured
STEADY_S = 10.0  # of training, before which the time left is anybody's guess


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

    def update(self, what: str, done: int, total: int, note: str = "") -> None:
        """Shows that ``done`` of ``total`` of ``what`` are done."""
        if self._live:
            task = next((task.id for task in self._bar.tasks if task.description == what), None)
            if task is None:
                task = self._bar.add_task(what, total=total, note=note)
            self._bar.update(task, completed=done, total=total, note=note)
        elif done >= total or time.monotonic() - self._printed >= PLAIN_S:
            self._printed = time.monotonic()
            self.say(f"{what}: {done} of {total}{'  ' if note else ''}{note}")


class TrialProgress:
    """Counts trials and epochs, and estimates the time left."""

    def __init__(self, display: Display, planned: int, already: int, epochs: dict[str, int]) -> None:
        self._display, self._planned = display, planned
        self._done, self._failed = already, 0
        self._epochs_left = sum(epochs.values())
        self._left = dict(epochs)
        self._running: set[str] = set()
        self._recent: deque[tuple[float, int]] = deque()
        self._first: float | None = None  # when the first epoch ended: the start of workers is no measure
        self._epochs_done = 0

    def started(self, trial_id: str) -> None:
        self._running.add(trial_id)
        self._show()

    def epoch(self, trial_id: str, clips: int) -> None:
        if self._first is None:
            self._first = time.monotonic()
        else:
            self._recent.append((time.monotonic(), clips))
        self._epochs_done += 1
        self._epochs_left -= 1
        self._left[trial_id] -= 1
        self._show()

    def ended(self, trial_id: str, *, ok: bool) -> None:
        self._running.discard(trial_id)
        self._epochs_left -= self._left.pop(trial_id, 0)  # stopped early, or failed
        self._done += 1
        self._failed += not ok
        self._show()

    def _show(self) -> None:
        now = time.monotonic()
        while self._recent and now - self._recent[0][0] > RATE_S:
            self._recent.popleft()
        since = 0.0 if self._first is None else now - self._first
        rate = sum(clips for _, clips in self._recent) / max(1.0, min(RATE_S, since))
        parts = [f"{len(self._running)} running"]
        if self._failed:
            parts.append(f"{self._failed} failed")
        if since > STEADY_S and self._epochs_left > 0:
            pace = since / max(1, self._epochs_done - 1)
            parts.append(f"{_duration(self._epochs_left * pace)} left")
        parts += [f"{rate:,.0f} clips/s", f"{self._epochs_done} epoch{'s' * (self._epochs_done != 1)}"]
        note = ", ".join(parts)
        self._display.update("trials", self._done, self._planned, note)


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

"""What a user sees, with a clock that stands where the test puts it."""

from __future__ import annotations

from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from actrec.engine import progress
from actrec.engine.progress import Display, TrialProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(value=1000.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.value))
    return now


def shown(text: StringIO) -> str:
    return text.getvalue().splitlines()[-1]


def test_counts_pace_and_time_left(clock: SimpleNamespace) -> None:
    text = StringIO()
    trials = TrialProgress(Display(Console(file=text, width=200)), 5, 1, dict.fromkeys("abcd", 10))
    trials.started("a")
    clock.value += 20.0
    for _ in range(4):
        trials.epoch("a", clips=100)
    clock.value += 20.0
    trials.epoch("a", clips=100)
    # Since the first, 4 of 40 epochs took 20 s: 35 more take 175 s; there were 400 clips.
    assert shown(text) == "trials: 1 of 5  1 running, 2 min 55 s left, 20 clips/s, 5 epochs"


def test_a_trial_that_ends_early_takes_its_epochs_with_it(clock: SimpleNamespace) -> None:
    text = StringIO()
    trials = TrialProgress(Display(Console(file=text, width=200)), 2, 0, {"a": 10, "b": 10})
    for name in "ab":
        trials.started(name)
    clock.value += 100.0  # the start of workers is no measure of their pace
    trials.epoch("a", clips=0)
    trials.epoch("b", clips=0)
    clock.value += 20.0
    trials.ended("a", ok=False)
    # b's 9 epochs are left, at one in 20 s since the first.
    assert shown(text) == "trials: 1 of 2  1 running, 1 failed, 3 min 00 s left, 0 clips/s, 2 epochs"
    trials.ended("b", ok=True)
    assert shown(text) == "trials: 2 of 2  0 running, 1 failed, 0 clips/s, 2 epochs"


def test_the_first_seconds_promise_nothing(clock: SimpleNamespace) -> None:
    text = StringIO()
    trials = TrialProgress(Display(Console(file=text, width=200)), 1, 0, {"a": 100})
    trials.started("a")
    clock.value += progress.PLAIN_S
    trials.epoch("a", clips=50)
    assert shown(text) == "trials: 0 of 1  1 running, 0 clips/s, 1 epoch"


def test_a_line_now_and_then_where_there_is_no_terminal(clock: SimpleNamespace) -> None:
    text = StringIO()
    display = Display(Console(file=text, width=200))
    for done in range(101):
        clock.value += 1.0
        display.update("videos decoded", done, 100)
    assert len(text.getvalue().splitlines()) == 11  # every 10 s, and the last

"""What a user sees, with a clock that stands where the test puts it."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from actrec.engine import progress
from actrec.engine.progress import FILE, Display, Running, TrialProgress, read_news
from actrec.results.ledger import Ledger


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(value=1000.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.value))
    return now


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The driver's, in whose folder ``tmp_path`` it publishes."""
    found = Ledger(tmp_path)
    found.claim()
    yield found
    found.release()


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


def quiet() -> Display:
    return Display(Console(file=StringIO(), width=200))


def test_watchers_are_told_what_is_prepared_and_what_is_trained(
    clock: SimpleNamespace, tmp_path: Path, ledger: Ledger
) -> None:
    display = quiet()
    with display.publishing(ledger):
        first = read_news(tmp_path)
    assert first is not None
    assert (first.phase, first.done, first.total) == ("starting", 0, 0)
    display.update("videos decoded", 120, 400)
    with display.publishing(ledger):
        second = read_news(tmp_path)
    assert second is not None
    assert (second.phase, second.done, second.total) == ("videos decoded", 120, 400)
    trials = TrialProgress(display, 5, 1, dict.fromkeys("abcd", 10))
    trials.started("a")
    trials.started("b")
    trials.epoch("a", clips=100)
    clock.value += 20.0
    for _ in range(4):
        trials.epoch("a", clips=100)
    trials.ended("b", ok=False)
    with display.publishing(ledger):
        last = read_news(tmp_path)
    assert last is not None
    assert (last.phase, last.done, last.total) == ("trials", 2, 5)
    (running,) = last.running
    assert running == Running("a", 5, 10, running.started)
    # 4 epochs of 400 clips in 20 s; 5 of a, 10 each of c and d are left.
    assert (last.clips_per_second, last.seconds_left) == (20.0, 25 * 5.0)
    assert last.written is not None
    assert running.started <= last.changed <= last.written


def test_news_are_written_again_and_again_and_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ledger: Ledger
) -> None:
    monkeypatch.setattr(progress, "WRITE_S", 0.001)
    display = quiet()
    with display.publishing(ledger):
        before = read_news(tmp_path)
        display.update("videos decoded", 1, 2)
        while (after := read_news(tmp_path)) is None or after.phase == "starting":
            pass  # the thread has to come round
        assert before is not None
        assert after.written is not None
        assert before.written is not None
        assert after.written > before.written
    assert {path.name for path in tmp_path.iterdir()} == {"owner.json", "heartbeat"}


def test_news_that_cannot_be_written_cost_nothing(tmp_path: Path, ledger: Ledger) -> None:
    (tmp_path / FILE).mkdir()
    with quiet().publishing(ledger):
        pass
    assert read_news(tmp_path) is None


def test_a_trial_goes_on_from_its_checkpoint(clock: SimpleNamespace, tmp_path: Path, ledger: Ledger) -> None:
    display = quiet()
    trials = TrialProgress(display, 1, 0, {"a": 15})
    trials.started("a")
    trials.epoch("a", clips=10, number=8)
    with display.publishing(ledger):
        found = read_news(tmp_path)
    assert found is not None
    assert [(one.epoch, one.epochs) for one in found.running] == [(8, 15)]


def test_a_search_names_its_trials_as_they_come(clock: SimpleNamespace) -> None:
    text = StringIO()
    trials = TrialProgress(Display(Console(file=text, width=200)), 4, 0, {})
    trials.started("a", epochs=10)
    trials.epoch("a", clips=0)
    clock.value += 20.0
    trials.epoch("a", clips=0)
    # One epoch took 20 s; a has 8 left, and three more trials may have 10 each.
    assert shown(text) == "trials: 0 of 4  1 running, 12 min 40 s left, 0 clips/s, 2 epochs"

"""One command, every worker's answer; nothing replayed, nothing lost."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from actrec.engine import mailbox
from actrec.engine.mailbox import Mailbox


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "WAIT_S", 0.01)


def test_a_command_is_over_when_every_worker_has_answered() -> None:
    box = Mailbox(workers=2)
    number = box.post("epoch")
    assert box.take(0, 0) == box.take(1, 0) == (number, "epoch")
    box.answer(0, number, "a", False)
    assert box.collect(number, 0.01) is None
    box.answer(1, number, "b", False)
    assert box.collect(number, 0.01) == {0: "a", 1: "b"}


def test_no_command_no_answer() -> None:
    assert Mailbox(1).take(0, 0) is None


def test_a_worker_does_not_get_its_command_twice() -> None:
    box = Mailbox(workers=2)
    number = box.post("epoch")
    box.answer(0, number, "a", False)
    assert box.take(0, number) is None


def test_a_worker_started_anew_gets_the_current_command_again_but_never_an_earlier_one() -> None:
    box = Mailbox(workers=2)
    first = box.post("first")
    for rank in (0, 1):
        box.answer(rank, first, "done", False)
    assert box.take(0, 0) is None  # the first is over: it must not be repeated
    second = box.post("second")
    box.answer(0, second, "from a worker that then died", False)
    assert box.take(0, 0) == (second, "second")
    box.answer(0, second, "again", False)
    box.answer(1, second, "b", False)
    assert box.collect(second, 0.01) == {0: "again", 1: "b"}


def test_a_final_answer_ends_the_command_for_all() -> None:
    box = Mailbox(workers=2)
    number = box.post("epoch")
    box.answer(1, number, "failed", True)
    assert box.collect(number, 0.01) == {1: "failed"}
    box.answer(0, number, "late", False)
    assert box.collect(number, 0.01) == {1: "failed"}
    assert box.take(0, 0) is None


def test_an_answer_to_an_earlier_command_is_dropped() -> None:
    box = Mailbox(workers=1)
    old = box.post("old")
    new = box.post("new")
    box.answer(0, old, "stale", False)
    assert box.collect(new, 0.01) is None


def test_a_waiting_worker_wakes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "WAIT_S", 30.0)
    box, taken = Mailbox(1), []
    worker = threading.Thread(target=lambda: taken.append(box.take(0, 0)))
    worker.start()
    number = box.post("go")
    worker.join(timeout=10)
    assert taken == [(number, "go")]


def test_a_beat_ends_the_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(monotonic=lambda: 100.0)
    monkeypatch.setattr(mailbox, "time", now)
    box = Mailbox(1)
    box.post("epoch")
    now.monotonic = lambda: 200.0
    assert box.silence() == 0.0  # nobody is at it yet: a group may take a while to start
    box.take(0, 0)
    now.monotonic = lambda: 230.0
    assert box.silence() == 30.0
    box.beat(0)
    assert box.silence() == 0.0

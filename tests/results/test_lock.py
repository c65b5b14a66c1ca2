"""One driver on a study: the second is refused, a dead one's place is taken, and no clock is asked."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from actrec.errors import LedgerError
from actrec.results import lock
from actrec.results.ledger import Ledger
from tests.results.rows import names, put

ROOT = Path(__file__).parents[2]


class Driver:
    """Another process that holds, or wants, a ledger: see driver.py."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.results.driver"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.answer()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start() -> Iterator[Callable[[], Driver]]:
    running: list[Driver] = []

    def go() -> Driver:
        running.append(Driver())
        return running[-1]

    yield go
    for driver in running:
        driver.end()


@pytest.fixture
def holder(start: Callable[[], Driver], tmp_path: Path) -> Driver:
    """A process that owns the folder, and beats often."""
    driver = start()
    assert driver.ask(f"claim {tmp_path} 0.02") == "done"
    return driver


def alter(folder: Path, **values: Any) -> None:
    """Changes what owner.json says."""
    path = folder / "owner.json"
    aside = folder / "owner.new"
    aside.write_text(json.dumps(json.loads(path.read_text()) | values))
    aside.replace(path)


class Said(list[str]):
    def __call__(self, line: str) -> None:
        self.append(line)


def test_a_second_driver_is_refused_while_the_first_lives(holder: Driver, tmp_path: Path) -> None:
    assert holder.ask("put a") == "done"
    words = f"{tmp_path} is in use: process {holder.process.pid} on {socket.gethostname()} has been writing"
    said = Said()
    with pytest.raises(
        LedgerError, match=re.escape(words) + r" there since 20.+; wait for it, stop it, or .+ --out"
    ):
        Ledger(tmp_path).claim(said)
    assert said == [], "on one machine there is nothing to wait for"
    with pytest.raises(LedgerError, match="claim"):
        put(Ledger(tmp_path), "b")
    assert holder.ask("put b") == "done", "the refused one has taken nothing from it"


def test_a_killed_driver_is_taken_over_at_once(holder: Driver, tmp_path: Path) -> None:
    assert holder.ask("put a") == "done"
    holder.process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, holder.process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still a zombie of ours
    said = Said()
    ledger = Ledger(tmp_path)
    ledger.claim(said)
    assert said == []
    put(ledger, "b")
    assert ledger.finished() == {"a", "b"}


def test_another_process_of_the_same_id_is_not_the_owner(holder: Driver, tmp_path: Path) -> None:
    alter(tmp_path, started="1")
    Ledger(tmp_path).claim()
    assert "another run has taken over" in holder.ask("put a")


def test_a_released_folder_is_free_at_once_and_still_ours(holder: Driver, tmp_path: Path) -> None:
    assert holder.ask("release") == "done"
    assert Ledger(tmp_path).owner() is None, "what workers are left may no longer write"
    assert names(tmp_path) == ["owner.json"], "by which the folder is known as a study's"
    assert "claim() the ledger" in holder.ask("put a")
    said = Said()
    ledger = Ledger(tmp_path)
    token = ledger.claim(said)
    assert said == []
    assert holder.ask("release") == "done"
    assert ledger.owner() == token, "who does not own it cannot free it"
    ledger.release()
    assert holder.ask(f"claim {tmp_path} 5") == "done"


def test_a_process_may_claim_again_what_it_owns(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    assert first.claim() != first.claim()
    second.claim()
    first.release()
    put(second, "a")
    with pytest.raises(LedgerError, match=r"claim\(\)"):
        put(first, "b")


# -- from another machine ----------------------------------------------------------------------------------


def test_a_beating_owner_elsewhere_is_left_alone(holder: Driver, tmp_path: Path) -> None:
    alter(tmp_path, machine="another", beat_s=0.4)
    said = Said()
    with pytest.raises(LedgerError, match=f"process {holder.process.pid} on .* has been writing there"):
        Ledger(tmp_path).claim(said)
    assert said == [
        f"{tmp_path} belongs to process {holder.process.pid} on {socket.gethostname()}: "
        "watching for up to 2 s whether it is alive"
    ]
    assert holder.ask("put a") == "done"


def test_an_owner_elsewhere_whose_count_stands_still_is_taken_over(holder: Driver, tmp_path: Path) -> None:
    alter(tmp_path, machine="another")
    holder.process.send_signal(signal.SIGSTOP)  # as a machine that sleeps, or is cut off
    ledger = Ledger(tmp_path)
    said = Said()
    ledger.claim(said, beat_s=0.02)
    assert len(said) == 1
    beats = (tmp_path / "heartbeat").read_bytes()
    holder.process.send_signal(signal.SIGCONT)
    assert "another run has taken over" in holder.ask("put a"), "it is back, and learns so"
    assert holder.ask("release") == "done"
    put(ledger, "b")
    assert ledger.finished() == {"b"}
    while (now := (tmp_path / "heartbeat").read_bytes()) == beats:
        time.sleep(0.01)
    assert now.split()[0] == str(ledger.owner()).encode(), "one heart beats there, the owner's"


def test_an_owner_that_leaves_while_it_is_watched_makes_room(holder: Driver, tmp_path: Path) -> None:
    alter(tmp_path, machine="another", beat_s=0.4)

    def leave(_: str) -> None:
        assert holder.ask("release") == "done"

    ledger = Ledger(tmp_path)
    assert ledger.claim(leave) == ledger.owner()


@pytest.mark.parametrize("claimed", ["1970-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"])
def test_no_clock_decides(
    holder: Driver, tmp_path: Path, claimed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = iter(range(10**9, 0, -86_400))  # a day back, each time it is read
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
    alter(tmp_path, claimed=claimed)
    with pytest.raises(LedgerError, match="is in use"):
        Ledger(tmp_path).claim()
    alter(tmp_path, machine="another", beat_s=0.4)
    os.utime(tmp_path / "heartbeat", (0, 0))
    with pytest.raises(LedgerError, match="is in use"):
        Ledger(tmp_path).claim()
    alter(tmp_path, beat_s=0.02)
    holder.end()
    os.utime(tmp_path / "heartbeat", (2**31, 2**31))
    Ledger(tmp_path).claim()


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere the system keeps the time at which a process started")
def test_a_process_start_is_counted_from_the_machines(holder: Driver) -> None:
    # Since then the machine has run for this long, and no setting of a clock changes it.
    seconds = int(lock.start_of(holder.process.pid)) / os.sysconf("SC_CLK_TCK")
    assert int(lock.start_of(os.getpid())) / os.sysconf("SC_CLK_TCK") <= seconds
    assert seconds <= time.clock_gettime(time.CLOCK_BOOTTIME)


# -- at once -----------------------------------------------------------------------------------------------


def test_of_two_that_claim_at_once_one_goes_on(start: Callable[[], Driver], tmp_path: Path) -> None:
    two = [start(), start()]
    for number in range(12):
        folder = tmp_path / str(number)
        for driver in two:
            driver.tell(f"claim {folder} 5")
        claimed = [driver.answer() for driver in two]
        assert "done" in claimed
        wrote = [driver.ask("put a") for driver in two]
        assert wrote.count("done") == 1, (claimed, wrote)
        for driver in two:
            driver.ask("release")
    assert Ledger(tmp_path / "0").finished() == {"a"}


def test_a_dropped_ledger_stops_beating(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    ledger = Ledger(tmp_path)
    ledger.claim(beat_s=0.01)
    (beating,) = set(threading.enumerate()) - before
    del ledger
    beating.join()

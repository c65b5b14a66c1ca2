"""What ``actrec watch`` says of a study's folder, while it grows and after its driver has ended."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from actrec import cli
from actrec.engine.progress import FILE, News, Running
from actrec.errors import LedgerError
from actrec.report.watch.follow import FAILURES, REFRESH_S, Watch
from actrec.report.watch.sheets import headline, lines, sheets
from actrec.report.watch.snapshot import snapshot
from actrec.report.watch.terminal import render
from actrec.results.ledger import Ledger
from tests.report.example import write_example
from tests.report.tiny import write_ledger, write_study

NOW = datetime(2026, 3, 1, 9, 5, tzinfo=UTC)
STARTED = NOW - timedelta(seconds=100)
STUDY: dict[str, Any] = {
    "name": "tiny",
    "study": {"metric": "top1"},
    "started": STARTED.isoformat(),
    "plan": [
        {"trial_id": key, "arm": arm, "seed": seed}
        for key, arm, seed in [
            ("b0", "baseline", 0),
            ("a0", "a=x", 0),
            ("b1", "baseline", 1),
            ("a1", "a=x", 1),
        ]
    ],
}


def row(key: str, seconds: float, status: str = "ok", **values: object) -> dict[str, object]:
    """Of a trial that ended so many seconds after the launch began."""
    return {"trial_id": key, "status": status, "ended": STARTED + timedelta(seconds=seconds), **values}


def news(*running: Running, left: float | None = None, quiet: float = 0.0) -> News:
    return News("trials", 1, 4, NOW - timedelta(seconds=quiet), running, 12.0, left, NOW)


def test_a_trial_is_what_the_plan_the_ledger_and_the_news_say_together() -> None:
    rows = [
        row("b0", 10, val_top1=0.5, test_top1=0.25),
        row("a1", 20, "failed", error="the loss is nan"),
        row("other", 30, val_top1=1.0),  # of another plan
    ]
    running = Running("a0", 3, 15, NOW - timedelta(seconds=7))
    found = snapshot("folder", STUDY, rows, news(running), "alive", NOW)
    assert headline(found) == "1 of 4 trials ok, 1 failed, 1 running, 1 waiting"
    baseline, change = found.groups
    assert [trial.status for trial in baseline.trials] == ["ok", "waiting"]
    assert (baseline.mean("val"), baseline.mean("test")) == (0.5, 0.25)
    assert (change.mean("val"), change.count("failed")) == (None, 1)
    (one,) = [trial for trial in found.trials if trial.status == "running"]
    assert (one.trial_id, one.epoch, one.epochs, one.seconds) == ("a0", 3, 15, 7.0)
    assert [trial.trial_id for trial in found.latest(5)] == ["a1", "b0"]


def test_a_failed_trial_that_runs_again_runs_and_an_ok_one_has_ended() -> None:
    rows = [row("b0", 50), row("a0", 50, "failed"), row("b1", 50, "failed")]
    before, after = STARTED + timedelta(seconds=40), STARTED + timedelta(seconds=60)
    running = [Running("b0", 1, 2, before), Running("a0", 1, 2, before), Running("b1", 1, 2, after)]
    found = snapshot("folder", STUDY, rows, news(*running), "alive", NOW)
    assert {t.trial_id: t.status for t in found.trials} == {
        "b0": "ok",
        "a0": "failed",
        "b1": "running",
        "a1": "waiting",
    }


def test_the_time_left_is_the_drivers_and_else_that_of_the_trials() -> None:
    # The driver said 90 s; that was 30 s ago.
    assert snapshot("", STUDY, [], news(left=90.0, quiet=30.0), "alive", NOW).left == 60.0
    # 3 trials in 100 s: the fourth takes 33.3 s. Two are too few to tell, and earlier launches no measure.
    three = [row(key, 10) for key in ("b0", "a0", "b1")]
    assert snapshot("", STUDY, three, None, "alive", NOW).left == pytest.approx(100 / 3)
    assert snapshot("", STUDY, three[:2], None, "alive", NOW).left is None
    earlier = [row(key, -10) for key in ("b0", "a0", "b1")]
    assert snapshot("", STUDY, earlier, None, "alive", NOW).left is None


def test_what_the_driver_says_is_told() -> None:
    decoding = News("videos decoded", 120, 400, NOW, written=NOW)
    assert lines(snapshot("", STUDY, [], decoding, "alive", NOW)) == [
        "running for 1 min 40 s",
        "videos decoded: 120 of 400",
    ]
    assert lines(snapshot("", STUDY, [], news(left=90.0, quiet=75.0), "alive", NOW)) == [
        "running for 1 min 40 s, about 15.0 s left, 12 clips/s",
        "nothing has moved for 75.0 s",
    ]


def test_how_a_study_ended() -> None:
    ended = {**STUDY, "ended": NOW.isoformat(), "wall_seconds": 151.2}
    everything = [row(key, 10) for key in ("b0", "a0", "b1", "a1")]
    assert lines(snapshot("", ended, everything, None, "none", NOW)) == ["done, in 2 min 31 s"]
    again = "the same command goes on from here"
    stopped = snapshot("", ended, everything[:1], None, "none", NOW)
    assert (stopped.state, lines(stopped)) == ("stopped", [f"stopped with 3 trials not run; {again}"])
    # Its last words say that a trial runs, which is so no more.
    gone = snapshot("", STUDY, [], news(Running("b0", 1, 2, STARTED)), "gone", NOW)
    assert (gone.state, gone.count("running")) == ("gone", 0)
    assert "is gone" in lines(gone)[0]
    # A new launch has begun, and has not written its own start yet.
    assert snapshot("", ended, everything, None, "alive", NOW).seconds is None


def test_a_search_is_one_group_until_its_end() -> None:
    plan = [{"trial_id": "s0", "arm": "default", "seed": 0, "stage": "search"}]
    study = {**STUDY, "plan": plan, "study": {"metric": "top1", "search": {"trials": 6}}}
    rows = [
        row("s0", 10, val_top1=0.25, arm="default", stage="search"),
        row("s1", 20, val_top1=0.75, arm="trial 1", stage="search"),
        row("s2", 20, "pruned", arm="trial 2", stage="search"),
    ]
    found = snapshot("", study, rows, news(Running("s3", 1, 2, STARTED)), "alive", NOW)
    assert headline(found) == "2 of 6 trials ok, 1 stopped early, 1 running, 2 waiting"
    (group,) = found.groups
    assert (group.name, group.mean("val"), group.count("waiting")) == ("search", 0.5, 2)
    (sheet, *_) = sheets(found)
    assert sheet.columns[0] == ("Stage", False)
    # It found but four, and the next stage has begun.
    study["plan"] = [*plan, {"trial_id": "c1", "arm": "trial 1", "seed": 1, "stage": "confirm"}]
    over = snapshot("", study, rows, None, "alive", NOW)
    assert headline(over) == "2 of 4 trials ok, 1 stopped early, 1 waiting"
    assert [(group.stage, group.name) for group in over.groups] == [
        ("search", "search"),
        ("confirm", "trial 1"),
    ]


def test_a_watch_follows_a_folder_that_grows_and_ends_with_its_driver(tmp_path: Path) -> None:
    write_study(tmp_path, started=datetime.now(UTC).isoformat())
    write_ledger(tmp_path, ["b0"])

    def step() -> Iterator[None]:
        write_ledger(tmp_path, ["b1", "a1"])
        yield
        driver = Ledger(tmp_path)
        driver.claim()
        driver.compact()
        yield
        write_study(tmp_path, ended=datetime.now(UTC).isoformat())
        driver.release()
        yield

    steps, waits = step(), list[float]()

    def pause(seconds: float) -> None:
        waits.append(seconds)
        next(steps)

    found = [(shot.state, headline(shot)) for shot in Watch(tmp_path).follow(pause)]
    assert found == [
        ("running", "1 of 6 trials ok, 5 waiting"),
        ("running", "2 of 6 trials ok, 1 failed, 3 waiting"),
        ("running", "2 of 6 trials ok, 1 failed, 3 waiting"),
        ("stopped", "2 of 6 trials ok, 1 failed, 3 waiting"),
    ]
    assert min(waits) >= REFRESH_S


def _drive(folder: Path, ready: Event) -> None:
    ledger = write_ledger(folder, ["b0"])
    ready.set()
    signal.pause()  # for ever: its end is SIGKILL
    ledger.release()


def test_a_driver_that_was_killed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path)
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    driver = spawn.Process(target=_drive, args=(tmp_path, ready))
    driver.start()
    assert ready.wait(60)
    assert Watch(tmp_path).latest.state == "running"
    assert driver.pid is not None
    os.kill(driver.pid, signal.SIGKILL)
    driver.join()
    assert cli.main(["watch", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert "1 of 6 trials ok, 5 waiting" in text
    assert "the driver is gone" in text


def test_a_read_that_fails_is_tried_again_and_not_for_ever(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_ledger(tmp_path, ["b0"])
    watch = Watch(tmp_path)
    (tmp_path / "study.json").write_text("{")
    for _ in range(FAILURES):
        assert headline(watch.look()) == "1 of 6 trials ok, 5 waiting"
    with pytest.raises(LedgerError, match=r"study\.json cannot be read"):
        watch.look()
    write_study(tmp_path)
    write_ledger(tmp_path, ["b1"])
    assert headline(watch.look()) == "2 of 6 trials ok, 4 waiting"


def test_a_folder_without_a_study_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["watch", str(tmp_path), "--once"]) == 2
    assert "holds no study" in capsys.readouterr().err


def test_news_of_another_shape_are_none(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_ledger(tmp_path, ["b0"])
    for text in ("", "[]", '{"phase": 1}', json.dumps({"running": [{}]})):
        (tmp_path / FILE).write_text(text)
        assert Watch(tmp_path).latest.news is None


def test_many_arms_fit_on_the_screen_and_the_busiest_are_shown(tmp_path: Path) -> None:
    write_example(tmp_path, done=37)  # the last of them is the fourth of the baseline
    found = Watch(tmp_path).latest
    text = StringIO()
    console = Console(file=text, width=100, height=24)
    console.print(render(found, console))
    shown = text.getvalue().splitlines()
    assert len(shown) == 23  # and a line for what is typed next
    assert any(line.startswith("baseline ") for line in shown)
    assert any(line.startswith("and 5 more arms") for line in shown)
    console.print(render(found, console, whole=True))
    assert len(sheets(found)[0].rows) == 12


def test_numbers_stay_whole_where_it_is_narrow(tmp_path: Path) -> None:
    write_example(tmp_path, done=37)
    text = StringIO()
    console = Console(file=text, width=74)
    console.print(render(Watch(tmp_path).latest, console, whole=True))
    (line,) = [line for line in text.getvalue().splitlines() if line.startswith("38c68378a6ff")]
    assert line.split()[1] == "freeze.…"
    assert line.split()[-6:] == ["91.8", "%", "89.2", "%", "1.1", "s"]


def test_a_terminal_is_sent_no_commands(tmp_path: Path) -> None:
    write_study(tmp_path, plan=[{"trial_id": "x", "arm": "\x1b[2J[red]a[/]\u202e", "seed": 0}])
    text = StringIO()
    console = Console(file=text, width=100)
    console.print(render(Watch(tmp_path).latest, console))
    assert "·[2J[red]a[/]·" in text.getvalue()
    assert "\x1b" not in text.getvalue()


def test_once_prints_everything_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_example(tmp_path, done=37)
    assert cli.main(["watch", str(tmp_path), "--once"]) == 0
    text = capsys.readouterr().out
    assert "37 of 60 trials ok, 23 waiting" in text
    assert "freeze.strategy=backbone" in text

"""What a sweep left in its folder, read by tests that disturbed it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actrec.results.ledger import Ledger

TRIALS = 9
TIMES = ("started", "ended", "seconds", "joules", "host")  # may differ between two runs of a trial
Start = Callable[..., "subprocess.Popen[str]"]


def sweep(manifest: Path, out: Path, *more: str) -> list[str]:
    """The command of that sweep. Two trials side by side, on a large machine too: see ``Gate.close``."""
    script = str(Path(__file__).with_name("sweep.py"))
    common = ("--data", str(manifest), "--out", str(out), "--max-concurrent", "2")
    return [sys.executable, script, *common, *more]


def wait_for(what: str, found: Callable[[], Any], limit_s: float = 240.0) -> Any:
    """Polls until ``found()`` is true; fails the test after ``limit_s``."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {limit_s} s")


def finished_trials(out: Path) -> int:
    """How many trials have ended in this launch."""
    return len(list((out / "parts").glob("[0-9a-f]*")))


def values(out: Path) -> dict[str, dict[str, Any]]:
    """What the trials of a study came to, by trial id; each must be there once."""
    rows = Ledger(out).read("trials").to_pylist()
    assert len({row["trial_id"] for row in rows}) == len(rows)
    return {row["trial_id"]: {k: v for k, v in row.items() if k not in TIMES} for row in rows}


def ends(out: Path) -> dict[str, Any]:
    """When each trial ended, by trial id: a trial that ran again has another time."""
    return {row["trial_id"]: row["ended"] for row in Ledger(out).read("trials").to_pylist()}


def predictions(out: Path) -> list[dict[str, Any]]:
    rows = Ledger(out).read("predictions").to_pylist()
    return sorted(rows, key=lambda row: (row["trial_id"], row["video_id"]))


def check_same(out: Path, whole: Path) -> None:
    """Two studies came to the same, to the last bit, and every trial is there once."""
    assert len(values(whole)) == TRIALS
    assert {row["status"] for row in values(whole).values()} == {"ok"}
    assert values(out) == values(whole)
    assert predictions(out) == predictions(whole)

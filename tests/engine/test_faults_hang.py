"""Workers that really hang: the process goes, the trial is tried again, the sweep goes on."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actrec.results.ledger import Ledger

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
SCRIPT = Path(__file__).with_name("hanging.py")
STALL_S = 20.0


def run(manifest_path: Path, folder: Path, **given: Any) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """What the script told, and the rows by seed."""
    options = {"path": str(manifest_path), "out": str(folder / "out"), "stall_s": STALL_S, **given}
    own = {"ACTREC_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    # The script starts Ray itself, which would leave a token in the user's home for every later cluster.
    own |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(options)],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = Ledger(folder / "out").read("trials").to_pylist()
    return json.loads(done.stdout.splitlines()[-1]), {row["seed"]: row for row in rows}


def test_a_hung_trial_is_ended_tried_again_and_then_a_failed_row(manifest_path: Path, tmp_path: Path) -> None:
    hangs = {"0": [], "1": ["spin", "spin"], "2": ["hold"]}
    told, rows = run(manifest_path, tmp_path, workers=1, hangs=hangs)
    assert told == {"ok": 2, "failed": 1, "hung": ["1", "1", "2"], "left": []}
    assert {seed: row["status"] for seed, row in rows.items()} == {0: "ok", 1: "failed", 2: "ok"}
    assert rows[1]["error"].endswith("the training workers gave no sign of life for 20 s")


def test_a_group_in_which_one_worker_hangs_is_ended_and_its_trial_tried_again(
    manifest_path: Path, tmp_path: Path
) -> None:
    told, rows = run(manifest_path, tmp_path, workers=2, hangs={"1": ["spin"]})
    assert told == {"ok": 1, "failed": 0, "hung": ["1"], "left": []}
    assert rows[1]["epochs"] == 3


def test_an_actor_that_dies_between_two_trials_costs_neither(manifest_path: Path, tmp_path: Path) -> None:
    told, rows = run(manifest_path, tmp_path, workers=1, hangs={"0": [], "1": [], "2": []}, die_between=True)
    assert told == {"ok": 3, "failed": 0, "hung": ["between"], "left": []}
    assert {row["status"] for row in rows.values()} == {"ok"}

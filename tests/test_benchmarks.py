"""Every benchmark is in the table, and the table says what it printed. None of them is run here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import table
from benchmarks.common import per_trial
from benchmarks.table import Aim

SCRIPTS = sorted(path for path in table.HERE.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))
SWEEP = {"vs_ray_pattern": 17.0, "vs_optuna_dataloader": 2.5, "of_limit": 0.9, "startup_s": 25.0}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_opens_with_its_command_and_is_in_the_table(script: Path) -> None:
    assert f"python benchmarks/{script.name} " in script.read_text(encoding="utf-8").split('"""')[1]
    assert script.stem in [*table.BENCHMARKS, "table"]


def test_help_names_the_quick_way() -> None:
    shown = subprocess.run(
        [sys.executable, str(table.HERE / "table.py"), "--help"], capture_output=True, text=True, check=True
    )
    assert "--quick" in shown.stdout


def test_a_further_trial_is_counted_from_the_end_of_those_that_began_together() -> None:
    # Two side by side, 3 s each after a start of 10 s: four more end in two rounds of 3 s, so 1.5 s each.
    assert per_trial([13, 13, 16, 16, 19, 19], side_by_side=2) == pytest.approx(1.5)
    assert per_trial([40, 10, 20], side_by_side=1) == pytest.approx(15)


@pytest.mark.parametrize(("value", "met"), [(0.93, "met"), (0.929, "missed"), (None, "–")])
def test_an_aim_at_least_its_bound_is_met(value: float | None, met: str) -> None:
    aim = Aim("summary.coverage.0", "≥", 0.93, "coverage")
    assert aim.line({"summary": {"coverage": [value, 1.0]}})[3] == met


def test_an_aim_whose_key_is_missing_is_neither_met_nor_missed() -> None:
    assert Aim("summary.coverage.0", "≤", 1, "coverage").line({})[1:] == ("–", "≤ 1", "–")


def test_the_table_shows_what_was_measured_and_what_was_not() -> None:
    shown = table.text({"sweep": SWEEP, "gpu": {"skipped": "no CUDA device here"}}).splitlines()
    assert shown[0].split() == ["benchmark", "what", "measured", "aim"]
    words = [line.split() for line in shown[1:]]
    assert [line[-4:] for line in words[:4]] == [
        ["17", "≥", "10", "met"],
        ["2.5", "≥", "3", "missed"],
        ["0.9", "≥", "0.85", "met"],
        ["25", "≤", "25", "met"],
    ]
    assert "skipped: no CUDA device here" in shown[5]
    assert len(shown) == 6


def test_what_is_recorded_is_read_back() -> None:
    results: dict[str, table.Result] = {
        "sweep": {**SWEEP, "machine": {"cpus": 2}, "tables": ""},
        "calibration": {"summary": {"cells": 3}, "tables": "| seeds | ours |\n| --- | --- |\n| 3 | 95 % |"},
    }
    assert table.recorded(table.page(results)) == results


def test_a_benchmark_that_prints_nothing_has_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit(3)")
    (tmp_path / "sound.py").write_text('print(\'a {warning}\\n{"a": 1, "cells": [{}]}\\n| t |\')')
    monkeypatch.setattr(table, "HERE", tmp_path)
    assert table.run("broken", []) == {"failed": "exit status 3"}
    found = table.run("sound", [])
    assert (found["a"], found["tables"], "cells" in found) == (1, "| t |", False)

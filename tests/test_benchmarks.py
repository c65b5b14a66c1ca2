"""Every benchmark is in the table, and the table says what it printed. None of them is run here."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from actrec.results.ledger import Ledger
from actrec.spec import TrialSpec, override
from actrec.study.dimensions import Float
from benchmarks import chaos, search_quality, table
from benchmarks.chaos_study import compare
from benchmarks.common import per_trial
from benchmarks.known_functions import PROBLEMS, Problem
from benchmarks.table import Aim
from tests.results.rows import put

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


@pytest.mark.parametrize(
    ("share", "met"), [(0.049, "met"), (0.0545, "met within its error"), (0.0565, "missed")]
)
def test_a_simulated_figure_misses_its_aim_by_more_than_its_error(share: float, met: str) -> None:
    aim = table.Aim("a.share", "≤", 0.05, "errors", se="a.se")
    assert aim.line({"a": {"share": share, "se": 0.002}}) == ("errors", f"{share} ± 0.002", "≤ 0.05", met)
    least = table.Aim("a.share", "≥", 0.95, "coverage", se="a.se")
    assert least.line({"a": {"share": 1 - share, "se": 0.002}})[-1] == met
    assert aim.line({"a": None})[1] == "–"


def test_calibration_tells_of_kinds_of_study_whose_arms_vary_unequally() -> None:
    spans = {"baseline": [0.888, 0.934]}
    rows = [*table.lines({"calibration": {"summary": {"coverage_4_times_noisier": spans}}})]
    assert [row[2:] for row in rows if "varies four times as much" in row[1]] == [
        ("0.888", "≥ 0.93", "missed")
    ]
    assert {row[2] for row in rows if "arms vary alike" in row[1]} == {"–"}, "of these nothing is known"


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


def test_known_functions_have_their_published_optima() -> None:
    # Branin: three optima, one at (π, 2.275); Hartmann 6: Dixon and Szegő (1978).
    branin, six, mixed = (PROBLEMS[name] for name in ("branin", "hartmann6", "mixed"))
    low = at(branin, (math.pi + 5) / 15, 2.275 / 15)
    assert branin.value(low) == pytest.approx(0, abs=1e-6)
    assert branin.value(at(branin, 0, 0)) == pytest.approx(1, abs=1e-6)
    best = at(six, 0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)
    assert six.value(best) == pytest.approx(0, abs=1e-5)
    chosen = {"loss.class_weights": "sqrt", "loss.kind": "focal", "loss.gamma": 3.5}
    assert mixed.value(override(low, chosen)) == pytest.approx(0, abs=1e-6)
    worst = {"loss.kind": "focal", "loss.gamma": 0.0, "freeze.strategy": "head_only"}
    assert mixed.value(override(at(branin, 0, 0), worst)) == pytest.approx(1, abs=1e-6)


def at(problem: Problem, *unit: float) -> TrialSpec:
    """The trial at these fractions of the first dimensions, which are numbers."""
    values = {}
    for (path, dimension), u in zip(problem.space.items(), unit, strict=False):
        assert isinstance(dimension, Float)
        low, high = dimension.low, dimension.high
        values[path] = low * (high / low) ** u if dimension.log else low + u * (high - low)
    return override(TrialSpec(), values)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_search_of_one_trial_at_a_time_is_optunas_own(name: str) -> None:
    problem = PROBLEMS[name]
    best = min(value for _, value in search_quality.ours(problem, 0, parallel=1))
    assert best == pytest.approx(search_quality.batches(problem, 0, 1), abs=1e-12)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_search_is_optunas_own_whose_trials_take_equally_long(name: str) -> None:
    problem = PROBLEMS[name]
    best = min(value for _, value in search_quality.ours(problem, 0))
    assert best == pytest.approx(search_quality.workers(problem, 0, spread=0.0), abs=1e-12)
    assert best != pytest.approx(search_quality.workers(problem, 0), abs=1e-12), "else it depends on time"


def test_the_ratio_of_regrets_is_a_geometric_mean_over_functions() -> None:
    values = np.linspace(0.5, 1.5, 50)
    found = search_quality.ratio(
        {"a": {"ours": 8 * values, "p": values[::-1]}, "b": {"ours": values, "p": 2 * values}}, "p"
    )
    assert found[0] == pytest.approx(2)  # √(8 · ½)
    assert found[1] < 2 < found[2]


def test_chaos_draws_every_kind_of_kill_and_the_same_for_a_seed() -> None:
    drawn = chaos.kills(3, workers=2, trials=40)
    assert {kill.kind for kill in drawn} == {*chaos.SIGNALS, *chaos.TITLES}
    assert drawn == chaos.kills(3, workers=2, trials=40)
    assert drawn != chaos.kills(4, workers=2, trials=40)
    assert "worker" not in {kill.kind for kill in chaos.kills(3, workers=1, trials=40)}
    after = [kill.after for kill in drawn]
    assert after == sorted(set(after))


def test_chaos_counts_what_differs(tmp_path: Path) -> None:
    whole, broken = Ledger(tmp_path / "whole"), Ledger(tmp_path / "broken")
    for ledger in (whole, broken):
        ledger.claim()
    for name in ("a", "b", "c"):
        put(whole, name, seconds=1.0)
    put(broken, "a", seconds=2.0)
    put(broken, "b", seconds=1.0, val_top1=0.5)
    put(broken, "d")
    found = compare(whole.folder, broken.folder)
    assert found == {
        "trials": 3,
        "lost": 1,
        "added": 1,
        "duplicated": 0,
        "differing": 1,
        "storage_differing": 0,
    }
    for ledger in (whole, broken):
        ledger.release()

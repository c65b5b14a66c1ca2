"""What the driver does with results as they come. Tune's trials are stood in for by what it reads of them."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from actrec.engine.messages import Failure, TrialResult
from actrec.engine.progress import Display, TrialProgress
from actrec.engine.recorder import LOST_IN_A_ROW, Recorder, StopOnProblem
from actrec.engine.station import Station
from actrec.engine.trainable import FAILURE, HISTORY, RESULT
from actrec.errors import LedgerError, WorkerLostError
from actrec.results.ledger import Ledger
from actrec.study.factors import Factor, Study
from actrec.study.plan import Trial, plan

CONDITIONS = {"workers": 1, "device": "cpu", "feed": "cache"}


class Desk:
    """A recorder with its ledger, and the calls that Tune makes."""

    def __init__(self, study: Study, folder: Path) -> None:
        self.trials = {trial.trial_id: trial for trial in plan(study)}
        self.text = StringIO()
        display = Display(Console(file=self.text, width=200))
        self.ledger = Ledger(folder)
        station = Station(folder, self.ledger.claim())
        progress = TrialProgress(display, len(self.trials), 0, dict.fromkeys(self.trials, 2))
        self.recorder = Recorder(self.ledger, station, self.trials, CONDITIONS, progress, None, display.say)

    def result(self, trial: Trial, **values: Any) -> dict[str, Any]:
        result = {"clips": [8], HISTORY: [{"epoch": 1}], "decoded": 0, **values}
        self.recorder.on_trial_start(0, [], tune_trial(trial))
        self.recorder.on_trial_result(0, [], tune_trial(trial), result)
        return result

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ledger.read("trials").to_pylist()
        return found


def tune_trial(trial: Trial) -> Any:
    return SimpleNamespace(config={"trial": trial.trial_id})


def failed(desk: Desk, trial: Trial, error: str, *, tries_left: bool = False) -> Any:
    """A trial of Tune, which writes into a file why it failed."""
    file = desk.ledger.folder / "error.txt"
    file.write_text(error)
    return SimpleNamespace(
        config={"trial": trial.trial_id}, error_file=str(file), should_recover=lambda: tries_left
    )


def done(fingerprint: str = "f") -> TrialResult:
    return TrialResult({"fingerprint": fingerprint, "test_top1": 0.5}, (), ())


@pytest.fixture
def desk(small_study: Callable[..., Study], tmp_path: Path) -> Desk:
    return Desk(small_study(Factor("model.dropout", (0.5,), 0.0), seeds=(0, 1)), tmp_path)


def test_a_result_becomes_a_row_and_does_not_stay_with_tune(desk: Desk) -> None:
    trial = next(iter(desk.trials.values()))
    result = desk.result(trial, **{RESULT: done()})
    assert RESULT not in result
    (row,) = desk.rows()
    assert (row["trial_id"], row["arm"], row["status"]) == (trial.trial_id, "baseline", "ok")
    assert {name: row[name] for name in CONDITIONS} == CONDITIONS
    assert row["started"] <= row["ended"]


def test_a_failure_becomes_a_row_too(desk: Desk) -> None:
    trial = next(iter(desk.trials.values()))
    desk.result(trial, **{FAILURE: Failure("diverged: the loss is nan")})
    (row,) = desk.rows()
    assert (row["status"], row["error"]) == ("failed", "diverged: the loss is nan")


def test_a_trial_that_tune_runs_again_counts_once(desk: Desk) -> None:
    trial = next(iter(desk.trials.values()))
    desk.result(trial, **{RESULT: done()})
    desk.result(trial, **{FAILURE: Failure("the second time it failed")})
    (row,) = desk.rows()
    assert row["status"] == "ok"


def test_arms_that_do_the_same_are_told_once_but_not_the_placebo(
    small_study: Callable[..., Study], tmp_path: Path
) -> None:
    desk = Desk(small_study(Factor("model.dropout", (0.5,), 0.0), seeds=(0, 1), placebo=True), tmp_path)
    for trial in desk.trials.values():
        desk.result(trial, **{RESULT: done(f"same-{trial.seed}")})
    notes = [line for line in desk.text.getvalue().splitlines() if line.startswith("note:")]
    assert len(notes) == 1
    assert "'model.dropout=0.5' does exactly what 'baseline' does" in notes[0]


def test_a_ledger_that_was_taken_over_ends_the_sweep(desk: Desk) -> None:
    Ledger(desk.ledger.folder).claim()  # somebody else's
    stop = StopOnProblem(desk.recorder)
    assert not stop.stop_all()
    desk.result(next(iter(desk.trials.values())), **{RESULT: done()})
    assert stop.stop_all()
    assert desk.rows() == []
    with pytest.raises(LedgerError, match="another run has taken over"):
        desk.recorder.check()


def test_a_trial_that_lost_its_workers_too_often_is_a_row(desk: Desk) -> None:
    trial = next(iter(desk.trials.values()))
    desk.result(trial)
    desk.recorder.on_trial_error(0, [], failed(desk, trial, "Traceback …\nthe actor died"))
    (row,) = desk.rows()
    assert (row["status"], row["error"]) == ("failed", "given up: the actor died")


def test_a_trial_that_was_given_up_untried_stays_to_be_run(desk: Desk) -> None:
    trial = next(iter(desk.trials.values()))
    desk.recorder.on_trial_error(0, [], failed(desk, trial, "the actor died"))
    desk.result(trial)
    desk.recorder.on_trial_error(0, [], failed(desk, trial, "the actor died", tries_left=True))
    assert desk.rows() == []


def test_workers_that_never_start_end_the_sweep_with_the_reason(desk: Desk) -> None:
    trial = failed(desk, next(iter(desk.trials.values())), "no CUDA driver")
    for _ in range(LOST_IN_A_ROW - 1):
        desk.recorder.on_trial_recover(0, [], trial)
    desk.recorder.check()
    desk.recorder.on_trial_recover(0, [], trial)
    with pytest.raises(WorkerLostError, match=r"5 times in a row .* no CUDA driver"):
        desk.recorder.check()


def test_an_epoch_in_between_is_a_sign_of_life(desk: Desk) -> None:
    trial = next(iter(desk.trials.values()))
    for _ in range(3 * LOST_IN_A_ROW):
        desk.recorder.on_trial_recover(0, [], failed(desk, trial, "killed"))
        desk.result(trial)
    desk.recorder.check()

"""Trackers, fed as Tune feeds its callbacks, and read back by their own means."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune
from tensorboardX.proto.event_pb2 import Event

from actrec.engine import loggers, tracking
from actrec.engine.loggers import Kind
from actrec.engine.messages import Failure, TrialResult
from actrec.engine.tracking import Tracker, callbacks, hyperparameters
from actrec.engine.trainable import FAILURE, HISTORY, RESULT
from actrec.errors import StudyError
from actrec.study.factors import Factor, Study
from actrec.study.plan import Trial, plan

DONE = TrialResult(
    {"status": "ok", "test_top1": 0.75, "best_epoch": 2, "fingerprint": "f", "seconds": float("nan")},
    tuple(
        {"epoch": epoch, "split": split, "metric": metric, "value": value}
        for epoch in (1, 2, 3)
        for split, metric, value in [("train", "loss", 0.5**epoch), ("val", "top1", 0.25 * epoch)]
    ),
    (),
)


def history(*epochs: int) -> list[dict[str, Any]]:
    return [{"epoch": epoch, "train/loss": 0.5**epoch, "val/top1": 0.25 * epoch} for epoch in epochs]


class Tune:
    """Calls callbacks as Tune does."""

    def __init__(self, made: list[Any]) -> None:
        self.made = made
        for one in made:
            one.setup(stop=None, num_samples=1)

    def start(self, trial: Trial) -> None:
        for one in self.made:
            one.on_trial_start(0, [], self._of(trial))

    def result(self, trial: Trial, **values: Any) -> None:
        for one in self.made:
            one.on_trial_result(0, [], self._of(trial), values)

    def error(self, trial: Trial) -> None:
        for one in self.made:
            one.on_trial_error(0, [], self._of(trial))

    def end(self) -> None:
        for one in self.made:
            one.on_experiment_end([])

    def _of(self, trial: Trial) -> Any:
        return SimpleNamespace(config={"trial": trial.trial_id})


@pytest.fixture
def trials(small_study: Callable[..., Study]) -> dict[str, Trial]:
    study = small_study(Factor("model.dropout", (0.5,), 0.0), seeds=(0, 1))
    return {trial.trial_id: trial for trial in plan(study)}


def drive(
    name: str, trials: dict[str, Trial], folder: Path, say: Callable[[str], None] = pytest.fail
) -> list[Trial]:
    """Four trials: whole, going on from a checkpoint, failed, and stopped with the sweep."""
    driver = Tune(callbacks([name], "small", folder, trials, say))
    whole, resumed, failed, stopped = trials.values()
    for trial in trials.values():
        driver.start(trial)
    driver.result(whole, **{HISTORY: history(1, 2), RESULT: None})
    driver.result(whole, **{HISTORY: history(3), RESULT: DONE})
    driver.result(resumed, **{HISTORY: history(3), RESULT: DONE})
    driver.result(failed, **{HISTORY: history(1), RESULT: None})
    driver.result(failed, **{FAILURE: Failure("diverged: the loss is nan")})
    driver.result(stopped, **{HISTORY: history(1), RESULT: None})
    driver.result(whole, **{HISTORY: history(1), RESULT: None})  # run again after its end: counts once
    driver.end()
    return [whole, resumed, failed, stopped]


def scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Tag, step and value of all scalars of a trial. A TFRecord is 8 bytes with a length, 4 of checksum, an
    event of that length, 4 of checksum."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (size,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + size])
            at += 16 + size
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    yield value.tag, event.step, value.simple_value


def test_tensorboard_has_each_epoch_once_and_the_test_at_the_end(
    trials: dict[str, Trial], tmp_path: Path
) -> None:
    whole, resumed, failed, stopped = drive("tensorboard", trials, tmp_path)
    expected = [
        *(("ray/tune/train/loss", epoch, 0.5**epoch) for epoch in (1, 2, 3)),
        *(("ray/tune/val/top1", epoch, 0.25 * epoch) for epoch in (1, 2, 3)),
        ("ray/tune/final/test_top1", 3, 0.75),
        ("ray/tune/final/best_epoch", 3, 2.0),
    ]
    for trial in (whole, resumed):
        assert sorted(scalars(tmp_path / "tensorboard" / trial.trial_id)) == sorted(expected)
    for trial in (failed, stopped):
        tags = {tag for tag, _, _ in scalars(tmp_path / "tensorboard" / trial.trial_id)}
        assert tags == {"ray/tune/val/top1", "ray/tune/train/loss"}


def test_tensorboard_opens_them_with_their_hyperparameters(trials: dict[str, Trial], tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="needs tensorboard (actrec[tracking])",
    )
    whole, *_ = drive("tensorboard", trials, tmp_path)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / whole.trial_id))
    events.Reload()
    assert [event.value for event in events.Scalars("ray/tune/val/top1")] == [0.25, 0.5, 0.75]
    assert b"model.dropout" in events.SummaryMetadata("_hparams_/experiment").plugin_data.content


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_mlflow_has_a_run_a_trial_in_the_folder_or_where_its_variable_says(
    trials: dict[str, Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow (actrec[tracking])")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "study"
    folder.mkdir()
    whole, resumed, failed, stopped = drive("mlflow", trials, folder)
    assert "MLFLOW_TRACKING_URI" not in os.environ  # or the next study would go there too
    assert [path.name for path in tmp_path.iterdir()] == ["study"]
    assert [path.name for path in folder.iterdir()] == ["mlflow.db"]
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("small")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.info.status for name, run in runs.items()} == {
        f"{whole.arm}, seed 0": "FINISHED",
        f"{resumed.arm}, seed 0": "FINISHED",
        f"{failed.arm}, seed 1": "FAILED",
        f"{stopped.arm}, seed 1": "FAILED",
    }
    run = runs[f"{resumed.arm}, seed 0"]
    assert run.data.params["model.dropout"] == "0.5"
    assert run.data.params["arm"] == "model.dropout=0.5"
    assert run.data.params["seed"] == "0"
    assert run.data.metrics["final/test_top1"] == 0.75
    told = client.get_metric_history(run.info.run_id, "val/top1")
    assert sorted((point.step, point.value) for point in told) == [(1, 0.25), (2, 0.5), (3, 0.75)]

    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    drive("mlflow", trials, tmp_path / "another")
    assert os.environ["MLFLOW_TRACKING_URI"] == uri
    assert len(client.search_runs([experiment.experiment_id])) == 2 * len(runs)
    assert not (tmp_path / "another").exists()


class Stub(tune.Trainable):
    """Two steps: an epoch, then two more and the end."""

    def setup(self, config: dict[str, Any]) -> None:
        self._steps = 0

    def step(self) -> dict[str, Any]:
        self._steps += 1
        if self._steps == 1:
            return {"done": False, HISTORY: history(1), RESULT: None}
        return {"done": True, HISTORY: history(2, 3), RESULT: DONE}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing."""


def sweep(name: str, trials: dict[str, Trial], folder: Path) -> None:
    """One trial, by Tune itself."""
    first = next(iter(trials))
    tune.Tuner(
        Stub,
        param_space={"trial": tune.grid_search([first])},
        run_config=tune.RunConfig(
            storage_path=str(folder / "scratch"),
            callbacks=callbacks([name], "small", folder, trials, pytest.fail),
            verbose=0,
        ),
    ).fit()


@pytest.mark.usefixtures("ray_session")
def test_tune_feeds_a_tracker(trials: dict[str, Trial], tmp_path: Path) -> None:
    sweep("tensorboard", trials, tmp_path)
    found = list(scalars(tmp_path / "tensorboard" / next(iter(trials))))
    assert [(step, value) for tag, step, value in found if tag.endswith("val/top1")] == [
        (1, 0.25),
        (2, 0.5),
        (3, 0.75),
    ]
    assert ("ray/tune/final/test_top1", 3, 0.75) in found


@pytest.mark.usefixtures("ray_session")
def test_weights_and_biases_takes_trials_offline(
    trials: dict[str, Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="needs wandb (actrec[wandb])")
    monkeypatch.setenv("WANDB_MODE", "offline")
    sweep("wandb", trials, tmp_path)
    first = next(iter(trials))
    (run,) = (tmp_path / "wandb" / first).rglob(f"run-{first}.wandb")
    content = run.read_bytes()
    assert b"final/test_top1" in content
    assert b"model.dropout" in content


def test_hyperparameters_are_flat_and_plain(trials: dict[str, Trial]) -> None:
    _, trial, *_ = trials.values()
    found = hyperparameters(trial)
    assert (found["arm"], found["seed"], found["model.dropout"]) == ("model.dropout=0.5", 0, 0.5)
    assert found["data.classes"] == "[]"
    assert {type(value) for value in found.values()} <= {bool, int, float, str}


def test_a_tracker_that_fails_is_told_once_and_left_out(trials: dict[str, Trial], tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("where its folder would be")
    said: list[str] = []
    drive("tensorboard", trials, tmp_path, said.append)
    (note,) = said
    assert note.startswith("note: tensorboard is left out from here on: ")
    assert "tensorboard" in note


def test_one_that_cannot_be_opened_is_left_out_too(trials: dict[str, Trial], tmp_path: Path) -> None:
    said: list[str] = []

    def fail(study: str, folder: Path) -> Any:
        raise ConnectionError("nobody answers\nat all")

    kind = Kind("ray", "none", fail, files=False)
    driver = Tune([Tracker("far", kind, "small", tmp_path, trials, said.append)])
    driver.start(next(iter(trials.values())))
    driver.end()
    assert said == ["note: far is left out from here on: ConnectionError: nobody answers"]


def test_one_that_hangs_does_not_hold_up_the_end(
    trials: dict[str, Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "DRAIN_S", 0.01)
    free, said = threading.Event(), list[str]()

    def hang(study: str, folder: Path) -> Any:
        free.wait()
        raise ConnectionError

    driver = Tune(
        [Tracker("far", Kind("ray", "none", hang, files=False), "small", tmp_path, trials, said.append)]
    )
    driver.start(next(iter(trials.values())))
    driver.end()
    assert said == ["note: far has taken nothing for 0.01 s: it is left alone"]
    free.set()


def test_a_name_that_is_none_and_one_that_is_not_installed(
    trials: dict[str, Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StudyError, match=r"'tensorbord'; did you mean 'tensorboard'\? \(valid: "):
        callbacks(["tensorbord"], "small", tmp_path, trials, pytest.fail)
    kind = Kind("no_such_module", "tracking", loggers.TRACKERS["mlflow"].make, files=False)
    monkeypatch.setitem(loggers.TRACKERS, "mlflow", kind)
    with pytest.raises(StudyError, match=r"needs no_such_module.*pip install 'actrec\[tracking\]'"):
        callbacks(["mlflow"], "small", tmp_path, trials, pytest.fail)
    assert len(callbacks(["tensorboard", "tensorboard"], "small", tmp_path, trials, pytest.fail)) == 1

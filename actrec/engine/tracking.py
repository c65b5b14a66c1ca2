"""Trials into TensorBoard, MLflow or Weights & Biases, through Ray Tune's own loggers.

The ledger is the record; this is a copy for who looks there. A tracker runs in a thread of its own, so that a
slow one holds up nothing, and one that fails is told once and left out: it never costs a trial.

=============  ==============================================================  ==================
name           where the trials go                                             extra
=============  ==============================================================  ==================
`tensorboard`  ``tensorboard/<trial_id>`` in the study's folder                ``actrec[tracking]``
`mlflow`       ``MLFLOW_TRACKING_URI``, else ``mlflow.db`` in the folder       ``actrec[tracking]``
`wandb`        project ``WANDB_PROJECT_NAME``, else one of the study's name    ``actrec[wandb]``
=============  ==============================================================  ==================
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ray import tune
from ray.tune.logger import LoggerCallback

from actrec.engine.trainable import FAILURE, HISTORY, RESULT
from actrec.engine.worker import TrialResult
from actrec.errors import StudyError
from actrec.fields import unknown
from actrec.study.plan import Trial

DRAIN_S = 60.0  # that the end of a sweep waits for a sign of life of what has still to send
LONGEST = 250  # characters of a hyperparameter: MLflow's older servers take no more
URI, PROJECT, MODE = "MLFLOW_TRACKING_URI", "WANDB_PROJECT_NAME", "WANDB_MODE"


@dataclass(frozen=True, slots=True)
class Kind:
    """A tracker.

    Attributes:
        module, extra: what it needs, and what brings that.
        make: its logger, ready for use, for the study of that name in that folder.
        files: it leaves some for each trial.
    """

    module: str
    extra: str
    make: Callable[[str, Path], LoggerCallback]
    files: bool


def _tensorboard(study: str, folder: Path) -> LoggerCallback:
    from ray.tune.logger.tensorboardx import TBXLoggerCallback

    return TBXLoggerCallback()  # type: ignore[no-untyped-call]


def _mlflow(study: str, folder: Path) -> LoggerCallback:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = os.environ.get(URI) or f"sqlite:///{folder / 'mlflow.db'}"
    logger = MLflowLoggerCallback(uri, experiment_name=study)
    logger.mlflow_util = Mlflow(uri)  # type: ignore[assignment]
    logger.setup()  # type: ignore[no-untyped-call]
    return logger


class Mlflow:
    """What Ray's logger asks of MLflow. Ray's own sends each number in a request of its own, which takes
    seconds a trial, and leaves the address in the environment, where the next study would take it for the
    user's."""

    def __init__(self, uri: str) -> None:
        mlflow = importlib.import_module("mlflow")
        self._entities = mlflow.entities
        self._client = mlflow.MlflowClient(uri)
        self._experiment = ""

    def setup_mlflow(self, *, experiment_name: str, **others: Any) -> None:
        found = self._client.get_experiment_by_name(experiment_name)
        self._experiment = found.experiment_id if found else self._client.create_experiment(experiment_name)

    def start_run(self, *, run_name: str, tags: Mapping[str, str]) -> Any:
        return self._client.create_run(self._experiment, tags=tags, run_name=run_name)

    def log_params(self, *, run_id: str, params_to_log: Mapping[str, Any]) -> None:
        params = [self._entities.Param(name, str(value)) for name, value in params_to_log.items()]
        self._client.log_batch(run_id, params=params)

    def log_metrics(self, *, run_id: str, metrics_to_log: Mapping[str, float], step: int) -> None:
        now = int(1000 * time.time())
        metrics = [self._entities.Metric(name, value, now, step) for name, value in metrics_to_log.items()]
        self._client.log_batch(run_id, metrics=metrics)

    def end_run(self, *, run_id: str, status: str) -> None:
        self._client.set_terminated(run_id, status)


def _wandb(study: str, folder: Path) -> LoggerCallback:
    from ray.air.integrations.wandb import WandbLoggerCallback

    project = os.environ.get(PROJECT, study)
    # A trial that goes on after a kill is the same run. The mode is given on: what sends is another process.
    given: dict[str, Any] = {"resume": "allow", "mode": os.environ.get(MODE)}
    logger = WandbLoggerCallback(project, group=study, upload_timeout=int(DRAIN_S), **given)
    logger.setup()  # type: ignore[no-untyped-call]
    return logger


TRACKERS: dict[str, Kind] = {
    "tensorboard": Kind("tensorboardX", "tracking", _tensorboard, files=True),
    "mlflow": Kind("mlflow", "tracking", _mlflow, files=False),
    "wandb": Kind("wandb", "wandb", _wandb, files=True),
}


def callbacks(
    names: Iterable[str],
    study: str,
    folder: Path,
    trials: Mapping[str, Trial],
    say: Callable[[str], None],
) -> list[tune.Callback]:
    """Tune callbacks, one a tracker. They must come before the recorder, which takes results out.

    Args:
        names: keys of :data:`TRACKERS`.
        folder: of the study, absolute.
        trials: by their ids; a search may add to it while it runs.
        say: is told of a tracker that fails.

    Raises:
        StudyError: on a name that is unknown, or a tracker that is not installed.
    """
    return [Tracker(name, check(name), study, folder, trials, say) for name in dict.fromkeys(names)]


def check(name: str) -> Kind:
    """The tracker of that name. Raises StudyError if there is none, or it is not installed."""
    if name not in TRACKERS:
        raise StudyError(unknown("tracker", name, TRACKERS))
    kind = TRACKERS[name]
    if importlib.util.find_spec(kind.module) is None:
        raise StudyError(
            f"tracker {name!r} needs {kind.module}, which is not installed: "
            f"pip install 'actrec[{kind.extra}]'"
        )
    return kind


class Run:
    """What Ray's loggers read of a Tune trial, filled with what our trial is."""

    checkpoint = None

    def __init__(self, trial: Trial, study: str, folder: Path) -> None:
        self.trial_id = trial.trial_id
        self.config = self.evaluated_params = hyperparameters(trial)
        self.experiment_dir_name = study
        self.local_path = str(folder)
        self._name = f"{trial.arm}, seed {trial.seed}" + (f", fold {trial.fold}" if trial.fold else "")

    def init_local_path(self) -> None:
        Path(self.local_path).mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        return self._name


def hyperparameters(trial: Trial) -> dict[str, Any]:
    """What a trial is: ``arm``, ``seed`` and such, and each value of its specification by its path. Numbers
    and truth values as they are, everything else as text."""
    about = {name: getattr(trial, name) for name in ("arm", "factor", "level", "fold", "stage")}
    spec = trial.spec.to_dict()
    parts = {
        f"{part}.{name}" if isinstance(value, Mapping) else part: inner
        for part, value in spec.items()
        for name, inner in (value.items() if isinstance(value, Mapping) else [("", value)])
    }
    return {name: _plain(value) for name, value in (parts | about).items()}


def _plain(value: Any) -> bool | int | float | str:
    if isinstance(value, bool | int | float):
        return value
    return (value if isinstance(value, str) else json.dumps(value))[:LONGEST]


class Tracker(tune.Callback):
    """Feeds one of Ray's loggers: an entry an epoch with the epoch as its step, and one at a trial's end with
    what the ledger's row has in numbers, as ``final/<column>``.

    Epochs come as they end where results have :data:`HISTORY`; the others, such as those before a checkpoint,
    when the trial ends.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        study: str,
        folder: Path,
        trials: Mapping[str, Trial],
        say: Callable[[str], None],
    ) -> None:
        self._name, self._kind, self._study, self._folder = name, kind, study, folder
        self._trials, self._say = trials, say
        self._jobs = SimpleQueue[Callable[[], None] | None]()
        self._thread = threading.Thread(target=self._work, name=f"actrec-{name}", daemon=True)
        self._logger: LoggerCallback | None = None
        self._runs: dict[str, Run] = {}
        self._epochs: dict[str, set[int]] = {}  # that were told, by trial
        self._over: set[str] = set()
        self._done = 0  # jobs

    # What Tune calls, in the driver's main thread.

    def setup(self, *args: Any, **info: Any) -> None:
        self._jobs.put(self._open)
        self._thread.start()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key = trial.config["trial"]
        self._jobs.put(lambda: self._tell(key, (), None, False))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        key, history = trial.config["trial"], result.get(HISTORY, ())
        done, failed = result.get(RESULT), FAILURE in result
        self._jobs.put(lambda: self._tell(key, history, done, failed))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key = trial.config["trial"]
        self._jobs.put(lambda: self._tell(key, (), None, True))

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        self._jobs.put(self._close)
        self._jobs.put(None)
        before = -1
        while self._thread.is_alive() and self._done > before:
            before = self._done
            self._thread.join(DRAIN_S)
        if self._thread.is_alive():
            self._say(f"note: {self._name} has taken nothing for {DRAIN_S:g} s: it is left alone")

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as the recorder's

    # What its own thread does, in that order.

    def _work(self) -> None:
        broken = False
        while (job := self._jobs.get()) is not None:
            if broken:
                continue
            try:
                job()
                self._done += 1
            except Exception as error:  # of a library that we do not know: whatever it is, the sweep goes on
                broken = True
                why = (str(error).strip().splitlines() or [""])[0]
                self._say(f"note: {self._name} is left out from here on: {type(error).__name__}: {why}")

    def _open(self) -> None:
        self._logger = self._kind.make(self._study, self._folder)

    def _begin(self, key: str) -> Run:
        if key not in self._runs:
            run = Run(self._trials[key], self._study, self._folder / self._name / key)
            if self._kind.files:
                run.init_local_path()
            self._runs[key] = run
            self._epochs[key] = set()
            self._ready.log_trial_start(run)  # type: ignore[arg-type]
        return self._runs[key]

    def _tell(
        self, key: str, history: Sequence[Mapping[str, Any]], done: TrialResult | None, failed: bool
    ) -> None:
        if key in self._over:  # its actor died after its last epoch, and Tune runs it again
            return
        run = self._begin(key)
        for entry in (*history, *(_by_epoch(done) if done else ())):
            if entry["epoch"] not in self._epochs[key]:
                self._epochs[key].add(entry["epoch"])
                self._log(run, entry["epoch"], {k: v for k, v in entry.items() if k != "epoch"})
        if done is not None:
            last = max(self._epochs[key], default=1)
            self._log(run, last, {f"final/{name}": value for name, value in done.trial.items()})
        if done is not None or failed:
            self._end(run, failed=failed)

    def _log(self, run: Run, step: int, values: Mapping[str, Any]) -> None:
        numbers = {
            name: value
            for name, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        }
        self._ready.log_trial_result(step, run, {"training_iteration": step, **numbers})  # type: ignore[arg-type]

    def _end(self, run: Run, *, failed: bool) -> None:
        self._over.add(run.trial_id)
        self._ready.log_trial_end(run, failed)  # type: ignore[arg-type]

    def _close(self) -> None:
        for key, run in self._runs.items():
            if key not in self._over:  # the sweep was stopped: it goes on in another launch
                self._end(run, failed=True)
        self._ready.on_experiment_end([])

    @property
    def _ready(self) -> LoggerCallback:
        assert self._logger is not None
        return self._logger


def _by_epoch(done: TrialResult) -> list[dict[str, Any]]:
    """The rows of the epochs table as a mapping an epoch."""
    found: dict[int, dict[str, Any]] = {}
    for row in done.epochs:
        of_epoch = found.setdefault(row["epoch"], {"epoch": row["epoch"]})
        of_epoch[f"{row['split']}/{row['metric']}"] = row["value"]
    return list(found.values())

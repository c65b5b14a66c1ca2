"""Ray Tune's loggers for TensorBoard, MLflow and Weights & Biases, each ready for use.

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
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune.logger import LoggerCallback

from actrec.errors import StudyError
from actrec.fields import unknown

UPLOAD_S = 60  # that Weights & Biases gets at the end
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
    logger = WandbLoggerCallback(project, group=study, upload_timeout=UPLOAD_S, **given)
    logger.setup()  # type: ignore[no-untyped-call]
    return logger


TRACKERS: dict[str, Kind] = {
    "tensorboard": Kind("tensorboardX", "tracking", _tensorboard, files=True),
    "mlflow": Kind("mlflow", "tracking", _mlflow, files=False),
    "wandb": Kind("wandb", "wandb", _wandb, files=True),
}


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

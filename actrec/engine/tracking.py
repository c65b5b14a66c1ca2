"""Trials into the trackers of :mod:`actrec.engine.loggers`, as they run.

The ledger is the record; this is a copy for who looks there. A tracker runs in a thread of its own, so that a
slow one holds up nothing, and one that fails is told once and left out: it never costs a trial.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ray import tune
from ray.tune.logger import LoggerCallback

from actrec.engine.loggers import Kind, check
from actrec.engine.messages import TrialResult
from actrec.engine.trainable import FAILURE, HISTORY, RESULT
from actrec.study.plan import Trial

DRAIN_S = 60.0  # that the end of a sweep waits for a sign of life of what has still to send
LONGEST = 250  # characters of a hyperparameter: MLflow's older servers take no more


def callbacks(
    names: Iterable[str],
    study: str,
    folder: Path,
    trials: Mapping[str, Trial],
    say: Callable[[str], None],
) -> list[tune.Callback]:
    """Tune callbacks, one a tracker. They must come before the recorder, which takes results out.

    Args:
        names: keys of :data:`~actrec.engine.loggers.TRACKERS`.
        folder: of the study, absolute.
        trials: by their ids; a search may add to it while it runs.
        say: is told of a tracker that fails.

    Raises:
        StudyError: on a name that is unknown, or a tracker that is not installed.
    """
    return [Tracker(name, check(name), study, folder, trials, say) for name in dict.fromkeys(names)]


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

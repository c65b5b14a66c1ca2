"""The driver's side of a running sweep: every result into the ledger, as it comes."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ray import tune
from ray.actor import ActorHandle

from actrec.engine import embeddings
from actrec.engine.cluster import check_node
from actrec.engine.messages import Failure, TrialResult
from actrec.engine.progress import TrialProgress
from actrec.engine.station import Station
from actrec.engine.trainable import FAILURE, HISTORY, NOTES, RESULT, UNDECODABLE
from actrec.errors import ActrecError, WorkerLostError
from actrec.results.ledger import Ledger
from actrec.results.schema import FAILED, OK
from actrec.study.designs import PLACEBO
from actrec.study.plan import Trial
from actrec.study.stages import ABLATE

SWEEP_S = 1.0
LOST_IN_A_ROW = 5  # then it is not bad luck, and every further trial would fail alike


class Recorder(tune.Callback):
    """Writes rows, shows progress and watches over the sweep. Lives in the driver, which alone writes tables.

    ``ended`` is told of every row once it is in the ledger, with the rows of its ``epochs``.

    Arms whose fingerprints are equal («did the knob take effect?») are told at once; the statistics and the
    report say so too.

    Attributes:
        problem: what makes going on pointless (a ledger that cannot be written); the sweep then stops, and
            :meth:`check` raises it.
        decoded: videos decoded for trials that stream their clips.
        undecodable: those that did not decode, video id → reason.
    """

    def __init__(
        self,
        ledger: Ledger,
        station: Station,
        trials: Mapping[str, Trial],
        conditions: Mapping[str, Any],
        progress: TrialProgress,
        registry: ActorHandle[Any] | None,
        say: Callable[[str], None],
        ended: Callable[[Mapping[str, Any]], None] = lambda row: None,
    ) -> None:
        self._ledger, self._station, self._trials = ledger, station, trials
        self._conditions = conditions
        self._progress, self._registry = progress, registry
        self._started: dict[str, datetime] = {}
        self._recorded: set[str] = set()
        self._seen = _fingerprints(ledger, trials)
        self._told: set[str] = set()
        self._noted: set[str] = set()
        self._say, self._ended = say, ended
        self._swept = 0.0
        self._lost = 0  # workers in a row, without an epoch by anyone
        self.problem: ActrecError | None = None
        self.decoded = 0
        self.undecodable: dict[str, str] = {}

    # What Tune calls. Its own trial objects carry our trial in their config.

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        ours = self._of(trial)
        if ours.trial_id in self._recorded:
            return
        self._started.setdefault(ours.trial_id, datetime.now(UTC))
        self._progress.started(ours.trial_id, ours.spec.optim.epochs)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        ours = self._of(trial)
        # Taken out, or Tune would keep every prediction of the study in memory.
        done: TrialResult | None = result.pop(RESULT, None)
        failure: Failure | None = result.pop(FAILURE, None)
        self.decoded += result.get("decoded", 0)
        self.undecodable |= result.pop(UNDECODABLE, {})
        self._note(result.pop(NOTES, ()))
        if ours.trial_id in self._recorded:
            return  # its actor died after its last epoch, before Tune took note: Tune runs it again
        self._lost = 0
        if failure is not None:
            self._record(ours, {"status": FAILED, "error": failure.error})
            return
        for clips, epoch in zip(result["clips"], result.pop(HISTORY), strict=True):
            self._progress.epoch(ours.trial_id, clips, epoch["epoch"])
        if done is not None:
            self._record(ours, {"status": OK, "error": "", **done.trial}, done)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._lost_again(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        ours = self._of(trial)
        # Of an actor that dies between two trials Tune gives up the second at once, without a try. It gets no
        # row, so the next round has it.
        if ours.trial_id in self._started and not trial.should_recover():
            self._record(ours, {"status": FAILED, "error": f"given up: {_why(trial)}"})
        self._lost_again(trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() - self._swept < SWEEP_S:
            return
        self._swept = time.monotonic()
        if self._registry is not None:
            self._registry.sweep.remote()
        try:
            check_node()
        except ActrecError as error:
            self.problem = self.problem or error

    def __getstate__(self) -> dict[str, Any]:
        # Tune notes down all that it is given, to restore a run that we never restore: the ledger does that.
        return {}

    def _note(self, notes: Iterable[str]) -> None:
        for note in notes:
            if note not in self._noted:
                self._noted.add(note)
                self._say(f"note: {note}")

    def check(self) -> None:
        """Raises :attr:`problem`, if there is one."""
        if self.problem is not None:
            raise self.problem

    def _lost_again(self, trial: Any) -> None:
        self._lost += 1
        if self._lost == LOST_IN_A_ROW and self.problem is None:
            self.problem = WorkerLostError(
                f"{self._lost} times in a row a trial's workers were lost before they finished an epoch; the "
                f"last time: {_why(trial)}"
            )

    def _of(self, trial: Any) -> Trial:
        return self._trials[trial.config["trial"]]

    def _record(self, trial: Trial, values: Mapping[str, Any], done: TrialResult | None = None) -> None:
        if self.problem is not None or trial.trial_id in self._recorded:
            return
        now = datetime.now(UTC)
        row = {
            "trial_id": trial.trial_id,
            "arm": trial.arm,
            "factor": trial.factor,
            "level": trial.level,
            "seed": trial.seed,
            "fold": trial.fold,
            "stage": trial.stage,
            "number": trial.number,
            "started": self._started.get(trial.trial_id, now),
            "ended": now,
            "spec": json.dumps(trial.spec.to_dict(), sort_keys=True),
            **self._conditions,
            **values,
        }
        try:
            self._ledger.append(row, done.epochs if done else (), done.predictions if done else ())
            self._recorded.add(trial.trial_id)
            if done is not None and done.embeddings:
                embeddings.write(self._ledger.folder, trial.trial_id, done.embeddings, self._say)
            shutil.rmtree(self._station.checkpoint(trial.trial_id), ignore_errors=True)
            self._ended(row | {"epochs": done.epochs if done else ()})
        except ActrecError as error:
            self.problem = error
        if (
            done is not None and trial.stage in ("", ABLATE) and trial.arm != PLACEBO
        ):  # which is meant to do what the baseline does
            other = self._seen.setdefault((trial.seed, str(row["fingerprint"])), trial.arm)
            if other != trial.arm and trial.arm not in self._told:
                self._told.add(trial.arm)
                self._say(
                    f"note: {trial.arm!r} does exactly what {other!r} does (seed {trial.seed}): "
                    "what it changes takes no effect on this model and data"
                )
        self._progress.ended(trial.trial_id, ok=done is not None)


def _why(trial: Any) -> str:
    """The last line of what Tune knows of a trial's failure, from where it writes that. ``get_error`` reads a
    copy, which is made now and then."""
    try:
        lines = Path(trial.error_file or "").read_text(encoding="utf-8").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "no reason was given"


class StopOnProblem(tune.Stopper):
    """Ends the sweep when its recorder has a problem."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._recorder.problem is not None


def _fingerprints(ledger: Ledger, trials: Mapping[str, Trial]) -> dict[tuple[int, str], str]:
    rows = ledger.read("trials", columns=["trial_id", "arm", "seed", "status", "fingerprint"]).to_pylist()
    return {
        (row["seed"], row["fingerprint"]): row["arm"]
        for row in rows
        if row["status"] == OK
        and row["trial_id"] in trials
        and trials[row["trial_id"]].stage in ("", ABLATE)
        and row["arm"] != PLACEBO
    }

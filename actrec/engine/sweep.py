"""The trials of one launch under Ray Tune, from a list of them to rows in the ledger."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.execution.placement_groups import PlacementGroupFactory
from ray.tune.schedulers import FIFOScheduler

from actrec.engine.conditions import Conditions
from actrec.engine.fleet import Setup
from actrec.engine.messages import RunEpoch
from actrec.engine.options import RunOptions
from actrec.engine.placement import SUPERVISOR_CPUS, Allocation
from actrec.engine.progress import Display, TrialProgress
from actrec.engine.recorder import Recorder, StopOnProblem
from actrec.engine.registry import GroupRegistry
from actrec.engine.search import Feeder, Growing
from actrec.engine.station import Station
from actrec.engine.stream import Stream
from actrec.engine.tracking import callbacks
from actrec.engine.trainable import Settings, WarmTrial
from actrec.errors import LedgerError
from actrec.results.ledger import Ledger
from actrec.study.plan import Trial

SCRATCH = ".ray"  # what Tune and Train note for themselves; of no use afterwards


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Runs trials of one study; see :class:`actrec.engine.run.RunOptions` for what is not said here.

    Attributes:
        setup: makes what carries out a worker's commands; None: what trains.
    """

    study: str
    folder: Path
    ledger: Ledger
    token: str
    allocation: Allocation
    conditions: Conditions
    display: Display
    options: RunOptions
    setup: Setup | None = None

    def run(
        self,
        trials: Sequence[Trial],
        command: Callable[[Trial], RunEpoch],
        *,
        planned: int,
        streams: Mapping[Path, Stream],
        growing: Growing | None = None,
    ) -> Recorder:
        """Trains ``trials``, of ``planned`` in all; the others are done, or come from ``growing``.

        Args:
            command: what a worker is told of a trial.
            growing: a search that proposes further trials as others end.

        Raises:
            LedgerError, WorkerLostError: what ended the sweep early.
            KeyboardInterrupt: after Ctrl-C, once Tune has stopped.
        """
        station = Station(
            self.folder,
            self.token,
            self.allocation.threads,
            self.options.checkpoint_s,
            self.options.modes,
            self.options.stall_s,
            self.options.halve_batch,
        )
        grouped = self.allocation.workers > 1
        registry: Any = ray.remote(GroupRegistry).options(num_cpus=0).remote() if grouped else None
        by_id = {trial.trial_id: trial for trial in trials}
        already = planned - (growing.left if growing else len(trials))
        epochs = {trial.trial_id: trial.spec.optim.epochs for trial in trials}
        progress = TrialProgress(self.display, planned=planned, already=already, epochs=epochs)
        recorder = Recorder(
            self.ledger,
            station,
            by_id,
            asdict(self.conditions),
            progress,
            registry,
            self.display.say,
            ended=growing.ended if growing else lambda row: None,
        )

        def config(trial: Trial) -> dict[str, Any]:
            by_id[trial.trial_id] = trial
            return {"trial": trial.trial_id, "command": command(trial)}

        feeder = Feeder(growing.proposals, config, self.allocation.concurrent) if growing else None
        commands = {} if growing else {trial.trial_id: command(trial) for trial in trials}
        with scratch(self.ledger) as folder, interrupts():
            settings = Settings(
                self.study, commands, station, self.allocation, folder, registry, streams, self.setup
            )
            trackers = callbacks(self.options.track, self.study, self.folder, by_id, self.display.say)
            # Trackers first: the recorder takes results out.
            self._tuner(settings, feeder or list(by_id), [*trackers, recorder], folder).fit()
        recorder.check()
        return recorder

    def _tuner(
        self, settings: Settings, source: Feeder | list[str], told: list[tune.Callback], storage: Path
    ) -> tune.Tuner:
        """Of the trials of a search, or of those with the given ids; ``told`` ends with the recorder."""
        recorder = told[-1]
        assert isinstance(recorder, Recorder)
        grouped = self.allocation.workers > 1
        # The workers of a group have a placement group of their own, which Ray Train makes.
        bundle = {"CPU": SUPERVISOR_CPUS if grouped else self.allocation.cpus_per_worker}
        if not grouped and self.allocation.gpus_per_worker:
            bundle["GPU"] = self.allocation.gpus_per_worker
        # As a part of the class: with_parameters would leave it in the object store for as long as the
        # driver lives.
        bound = type("BoundTrial", (WarmTrial,), {"settings": settings})
        feeder, ids = (source, []) if isinstance(source, Feeder) else (None, source)
        return tune.Tuner(
            tune.with_resources(bound, PlacementGroupFactory([bundle])),
            param_space={} if feeder else {"trial": tune.grid_search(ids)},
            tune_config=tune.TuneConfig(
                reuse_actors=True,
                search_alg=feeder,
                num_samples=feeder.left if feeder else 1,
                max_concurrent_trials=None if feeder else self.allocation.concurrent,
                scheduler=_NoTheft(),  # type: ignore[no-untyped-call]
                trial_name_creator=lambda trial: trial.config["trial"],
                trial_dirname_creator=lambda trial: trial.config["trial"],
            ),
            run_config=tune.RunConfig(
                name=self.study,
                storage_path=str(storage),
                callbacks=told,
                stop=StopOnProblem(recorder),
                failure_config=tune.FailureConfig(max_failures=self.options.max_failures),
                verbose=0,
            ),
        )


class _NoTheft(FIFOScheduler):
    """First come, first served, each to the actor that was started for it.

    Tune's own way has a trial whose actor is still starting taken over by the first actor that is free, and
    ends the starting one. With trials that are shorter than the start of a process, no second actor would
    ever come up. Of a scheduler that names no trial to run, Tune gives free actors to new trials.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        return None


@contextmanager
def scratch(ledger: Ledger) -> Iterator[Path]:
    """A folder for Ray: Ray Train insists on a place that all nodes see, as the study's folder is. It stays
    if another has claimed that meanwhile, who has one of the same name.

    Raises:
        LedgerError: if it cannot be made.
    """
    folder = ledger.folder.absolute() / SCRATCH
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir()
    except OSError as error:
        raise LedgerError(f"cannot write to {ledger.folder}: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        if ledger.is_mine():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def interrupts() -> Iterator[None]:
    """Raises KeyboardInterrupt at its end if Ctrl-C (or SIGTERM) came meanwhile.

    Tune takes the signal, stops in order and returns as if it were done. It puts back the handler that it
    found, ours, only when the signal comes: so that is how we know.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ours(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, ours)
    # Schedulers end a job with SIGTERM: that is an interrupt too.
    ended = signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        yield
        came = signal.getsignal(signal.SIGINT) is ours
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, ended)
    if came:
        raise KeyboardInterrupt

"""Running a study: what is missing is decoded, trained and recorded; what is there is left alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.execution.placement_groups import PlacementGroupFactory

from actrec.data import synthetic
from actrec.data.manifest import Manifest
from actrec.engine import cache
from actrec.engine.cache import ClipKey, Filled
from actrec.engine.cluster import Cluster, connect
from actrec.engine.placement import SUPERVISOR_CPUS, Allocation, allocate
from actrec.engine.progress import Display, TrialProgress
from actrec.engine.provenance import data_record, hardware, study_record
from actrec.engine.recorder import Recorder, StopOnProblem
from actrec.engine.registry import GroupRegistry
from actrec.engine.stream import Stream
from actrec.engine.trainable import Settings, WarmTrial
from actrec.engine.worker import RunEpoch, Station
from actrec.errors import ActrecError
from actrec.results import parquet
from actrec.results.files import write_json
from actrec.results.ledger import Ledger
from actrec.results.schema import OK, table
from actrec.spec import override
from actrec.stats.effects import effects
from actrec.study.factors import Study
from actrec.study.plan import Trial, plan

BUILTIN = "builtin"
SCRATCH = ".ray"  # what Tune and Train note for themselves; of no use afterwards


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """How a study is run; nothing here changes a result.

    Attributes:
        out: the study's folder.
        fresh: sets earlier results aside and starts anew.
        retry_failed: runs trials again that have a failed row.
        workers, gpus_per_worker, max_concurrent: see :func:`actrec.engine.placement.allocate`.
        address: of a Ray cluster; see :func:`actrec.engine.cluster.connect`.
        stream: decode in every epoch anew instead of keeping clips.
        max_failures: lost workers that a trial survives before it counts as failed.
        checkpoint_s: see :class:`~actrec.engine.worker.Station`.
    """

    out: Path
    fresh: bool = False
    retry_failed: bool = False
    workers: int = 1
    gpus_per_worker: float | None = None
    max_concurrent: int | None = None
    address: str | None = None
    stream: bool = False
    max_failures: int = 3
    checkpoint_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: trials planned, and in the ledger as ok and failed, and what was decoded now."""

    planned: int
    ok: int
    failed: int
    filled: Filled

    @property
    def missing(self) -> int:
        return self.planned - self.ok - self.failed


def load_manifest(path: str) -> Manifest:
    """A manifest by path, or the ``builtin`` one, whose videos are made where they are missing.

    Raises:
        ManifestError: if it cannot be read.
    """
    return Manifest.read(synthetic.build() if path == BUILTIN else path)


def with_data(study: Study, path: str, manifest: Manifest) -> Study:
    """The study on a manifest; the manifest's content becomes part of every trial's id."""
    base = override(study.base, {"data.manifest": path, "data.digest": manifest.digest})
    return dataclasses.replace(study, base=base)


def run_study(study: Study, manifest: Manifest, options: RunOptions, display: Display) -> Outcome:
    """Runs what is missing of a study, whose data is ``manifest`` (see :func:`with_data`).

    Raises:
        SpecError, StudyError, ModelError: on a plan that cannot be run, before anything is spent.
        DataError: if clips cannot be decoded or kept.
        ClusterError, PlacementError: if there is no cluster, or no room on it for one trial.
        LedgerError: if results cannot be written.
        KeyboardInterrupt: after an orderly stop; what is done is recorded.
    """
    trials = plan(study)
    keys = {trial.trial_id: cache.clip_key(manifest, trial.spec, cache.cache_root()) for trial in trials}
    ledger = Ledger(options.out)
    token = ledger.claim()
    if options.fresh and (old := ledger.set_aside("index.html", "checkpoints")):
        display.say(f"earlier results are now in {old}")
    for problem in ledger.problems:
        display.say(f"note: {problem}")
    done = ledger.finished() if options.retry_failed else ledger.done()
    pending = [trial for trial in trials if trial.trial_id not in done]
    launch = _Launch(study, options, display, ledger, token, trials, keys)
    if not pending:
        display.say(f"all {len(trials)} trials are done already: nothing to decode, nothing to train")
        return launch.conclude({}, Filled(0, 0, 0, ()), 0)

    record = study_record(study, trials, manifest, study.base.data.manifest)
    write_json(options.out / "study.json", record | launch.earlier)
    started, filled, failure = time.monotonic(), Filled(0, 0, 0, ()), None
    try:
        with connect(options.address) as cluster:
            allocation = launch.allocate(cluster, len(pending))
            record["hardware"] = hardware(cluster.nodes[: cluster.up], str(allocation))
            display.say(f"Ray: {cluster.address}, logs in {cluster.logs}; trials: {allocation}")
            filled = launch.sweep(pending, allocation)
    except (ActrecError, KeyboardInterrupt) as error:
        failure = error
    outcome = launch.conclude(record, filled, time.monotonic() - started)
    if failure is not None:
        raise failure
    if outcome.missing:
        raise KeyboardInterrupt
    return outcome


@dataclass
class _Launch:
    """One launch of a study: the pieces that its steps share."""

    study: Study
    options: RunOptions
    display: Display
    ledger: Ledger
    token: str
    trials: Sequence[Trial]
    keys: Mapping[str, ClipKey]

    @property
    def earlier(self) -> dict[str, Any]:
        """What earlier launches left in study.json: a list of them, and their sums."""
        try:
            found = json.loads((self.options.out / "study.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {"launches": []}
        return {"launches": found.get("launches", [])}

    def allocate(self, cluster: Cluster, trials: int) -> Allocation:
        return allocate(
            cluster.nodes,
            workers=self.options.workers,
            gpus_per_worker=self.options.gpus_per_worker,
            max_concurrent=self.options.max_concurrent,
            trials=trials,
            stream=self.options.stream,
        )

    def sweep(self, pending: Sequence[Trial], allocation: Allocation) -> Filled:
        """Decodes what is missing, then trains every pending trial."""
        needed = {self.keys[trial.trial_id].folder: self.keys[trial.trial_id] for trial in pending}
        streams: dict[Path, Stream] = {}
        if self.options.stream:
            for folder, key in needed.items():
                videos = tuple(cache.videos_of(key.manifest))
                streams[folder] = Stream(folder.name, key.clip, key.manifest.class_names, videos)
            filled = Filled(len(needed), sum(len(stream.videos) for stream in streams.values()), 0, ())
        else:
            show = partial(self.display.update, "videos decoded")
            filled = cache.fill(needed.values(), show)
            self.display.say(
                f"decoded {filled.decoded} videos, {filled.reused} were there "
                f"({filled.videos // filled.clip_keys} videos × {filled.clip_keys} clip keys)"
            )
        recorder = self._tune(pending, allocation, streams)
        recorder.check()
        return dataclasses.replace(filled, decoded=filled.decoded + recorder.decoded)

    def _tune(
        self, pending: Sequence[Trial], allocation: Allocation, streams: Mapping[Path, Stream]
    ) -> Recorder:
        station = Station(
            self.options.out.absolute(), self.token, allocation.threads, self.options.checkpoint_s
        )
        grouped = allocation.workers > 1
        registry: Any = ray.remote(GroupRegistry).options(num_cpus=0).remote() if grouped else None
        progress = TrialProgress(
            self.display,
            planned=len(self.trials),
            already=len(self.trials) - len(pending),
            epochs={trial.trial_id: trial.spec.optim.epochs for trial in pending},
        )
        recorder = Recorder(
            self.ledger,
            station,
            {trial.trial_id: trial for trial in pending},
            progress,
            registry,
            self.display.say,
        )
        commands = {trial.trial_id: self._command(trial) for trial in pending}
        # Ray Train insists on a place that every node sees, and so must the study's folder be.
        scratch = self.options.out.absolute() / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        settings = Settings(self.study.name, commands, station, allocation, scratch, registry, streams)
        bundle = {"CPU": SUPERVISOR_CPUS if grouped else allocation.cpus_per_worker}
        if not grouped and allocation.gpus_per_worker:
            bundle["GPU"] = allocation.gpus_per_worker
        trainable = tune.with_resources(
            tune.with_parameters(WarmTrial, settings=settings), PlacementGroupFactory([bundle])
        )
        tuner = tune.Tuner(
            trainable,
            param_space={"trial": tune.grid_search(list(commands))},
            tune_config=tune.TuneConfig(
                reuse_actors=True,
                max_concurrent_trials=allocation.concurrent,
                trial_name_creator=lambda trial: trial.config["trial"],
                trial_dirname_creator=lambda trial: trial.config["trial"],
            ),
            run_config=tune.RunConfig(
                name=self.study.name,
                storage_path=str(scratch),
                callbacks=[recorder],
                stop=StopOnProblem(recorder),
                failure_config=tune.FailureConfig(max_failures=self.options.max_failures),
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return recorder

    def _command(self, trial: Trial) -> RunEpoch:
        key = self.keys[trial.trial_id]
        return RunEpoch(trial.trial_id, trial.spec.to_dict(), key.folder, key.manifest.class_names)

    def conclude(self, record: dict[str, Any], filled: Filled, seconds: float) -> Outcome:
        """Writes effects and provenance, and folds the ledger."""
        self.ledger.compact()
        rows = self.ledger.read("trials").to_pylist()
        planned = {trial.trial_id for trial in self.trials}
        rows = [row for row in rows if row["trial_id"] in planned]
        found = table("effects", [dataclasses.asdict(row) for row in effects(rows, self.study.arms)])
        parquet.replace(self.options.out / "effects.parquet", found)
        ok = sum(row["status"] == OK for row in rows)
        if record:
            self._write_record(record, filled, seconds)
        return Outcome(len(planned), ok, len(rows) - ok, filled)

    def _write_record(self, record: dict[str, Any], filled: Filled, seconds: float) -> None:
        launch = {"started": record["started"], "seconds": round(seconds, 1), **data_record(filled)}
        launches = [*self.earlier["launches"], launch]
        record["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
        record["wall_seconds"] = sum(entry["seconds"] for entry in launches)
        record["decodes"] = data_record(filled) | {"decoded": sum(entry["decoded"] for entry in launches)}
        known = {entry["video_id"] for entry in record["manifest"]["undecodable"]}
        record["manifest"]["undecodable"] += [
            {"video_id": video_id, "path": path, "reason": reason}
            for video_id, path, reason in filled.undecodable
            if video_id not in known
        ]
        write_json(self.options.out / "study.json", record | {"launches": launches})

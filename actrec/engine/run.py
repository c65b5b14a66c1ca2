"""Running a study: what is missing is decoded, trained and recorded; what is there is left alone."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.tune.error import TuneError

from actrec.data import synthetic
from actrec.data.manifest import Manifest
from actrec.data.sets import Hold
from actrec.engine import cache, features, sharing
from actrec.engine.cache import ClipKey, Filled
from actrec.engine.cluster import Cluster, check_shared, connect
from actrec.engine.outcomes import read_outcomes
from actrec.engine.placement import Allocation, allocate
from actrec.engine.progress import Display
from actrec.engine.provenance import hardware, joined_record, launch_record, plan_record, run_record
from actrec.engine.stream import Stream
from actrec.engine.sweep import Conditions, Sweep
from actrec.errors import ActrecError, DataError, EngineError, PlacementError, StudyError
from actrec.results import parquet
from actrec.results.files import write_json
from actrec.results.ledger import Ledger
from actrec.results.schema import OK, table
from actrec.spec import override
from actrec.stats.effects import effects
from actrec.study.factors import Study
from actrec.study.plan import Trial, plan
from actrec.training.learner import PLAIN, Modes

BUILTIN = "builtin"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """How a study is run.

    What changes how trials are trained (workers, device, stream, modes) must stay the same over a study's
    launches.

    Attributes:
        out: the study's folder.
        only: ids of the trials to run; none: all of the plan.
        fresh: sets earlier results aside and starts anew.
        retry_failed: runs trials again that have a failed row.
        workers, gpus_per_worker, max_concurrent: see :func:`actrec.engine.placement.allocate`.
        address: of a Ray cluster; see :func:`actrec.engine.cluster.connect`.
        stream: decode in every epoch anew instead of keeping clips.
        share: compute what frozen stages make of each clip once for all epochs and trials.
        modes: how the arithmetic is carried out.
        max_failures: lost workers that a trial survives before it counts as failed.
        checkpoint_s: see :class:`~actrec.engine.worker.Station`.
    """

    out: Path
    only: tuple[str, ...] = ()
    fresh: bool = False
    retry_failed: bool = False
    workers: int = 1
    gpus_per_worker: float | None = None
    max_concurrent: int | None = None
    address: str | None = None
    stream: bool = False
    share: bool = True
    modes: Modes = PLAIN
    max_failures: int = 3
    checkpoint_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: trials planned, and in the ledger as ok and failed; what was decoded now, and how
    many clips were sent through shared frozen stages now."""

    planned: int
    ok: int
    failed: int
    filled: Filled
    prefix_forwards: int = 0

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
    """The study on a manifest, whose content becomes part of every trial's id.

    Raises:
        SpecError, ManifestError: if the manifest has not the groups for the study's cross-validation.
    """
    base = override(study.base, {"data.manifest": path, "data.digest": manifest.digest})
    return dataclasses.replace(study, base=base, folds=manifest.folds(study.cv))


def run_study(study: Study, manifest: Manifest, options: RunOptions, display: Display) -> Outcome:
    """Runs what is missing of a study, whose data is ``manifest`` (see :func:`with_data`).

    Raises:
        SpecError, StudyError, ModelError: on a plan that cannot be run, before anything is spent; StudyError
            also if earlier trials were trained under other conditions.
        DataError: if a split is empty, or clips cannot be decoded or kept.
        ClusterError, PlacementError: if there is no cluster, or no room on it for one trial.
        EngineError: if Ray fails, or workers cannot be kept alive.
        LedgerError: if results cannot be written.
        KeyboardInterrupt: after an orderly stop; what is done is recorded.
    """
    trials = plan(study)
    wanted = _wanted(trials, options.only)
    if study.cv and options.stream:
        raise StudyError("a cross-validation is for sets small enough to keep decoded: leave out --stream")
    if not manifest.root.is_dir():
        raise DataError(
            f"the videos' folder {manifest.root} is not there; if it was moved, build the manifest again"
        )
    found = cache.clip_keys(manifest, [trial.spec for trial in trials], cache.cache_root())
    keys = {trial.trial_id: key for trial, key in zip(trials, found, strict=True)}
    for selection in {id(key.manifest): key.manifest for key in keys.values()}.values():
        _check_splits(selection)
    _check_folder(options.out, study.name)
    ledger = Ledger(options.out)
    token = ledger.claim()
    if options.fresh and (old := ledger.set_aside("index.html", "checkpoints")):
        display.say(f"earlier results are now in {old}")
    for problem in ledger.problems:
        display.say(f"note: {problem}")
    ledger.compact()  # what a killed launch left in parts: from here on everybody reads one file a table
    done = ledger.finished() if options.retry_failed else ledger.done()
    pending = [trial for trial in wanted if trial.trial_id not in done]
    launch = _Launch(study, manifest, options, display, ledger, token, trials, keys)
    if not pending:
        display.say(f"all {len(wanted)} trials are done already: nothing to decode, nothing to train")
        return launch.conclude()

    failure: ActrecError | KeyboardInterrupt | None = None
    try:
        with connect(options.address) as cluster:
            launch.run(cluster, pending)
    except (ActrecError, KeyboardInterrupt) as error:
        failure = error
    except (ray.exceptions.RayError, TuneError) as error:
        failure = EngineError(f"Ray failed: {' '.join(str(error).split())[-300:]}")
    outcome = launch.conclude()
    if failure is not None:
        raise failure
    if missing := {trial.trial_id for trial in wanted} - ledger.done():
        raise EngineError(f"Ray Tune ended with {len(missing)} of {len(wanted)} trials not run")
    return outcome


def _wanted(trials: Sequence[Trial], only: Sequence[str]) -> list[Trial]:
    """The trials of the plan that are to be run."""
    planned = {trial.trial_id: trial for trial in trials}
    for key in only:
        if key not in planned:
            raise StudyError(f"no trial {key!r} in this plan: the report lists the {len(planned)} there are")
    return [planned[key] for key in only] if only else list(trials)


def _check_folder(folder: Path, name: str) -> None:
    """Results go into a new folder or into this study's own: nobody else's files are written over."""
    ours = (folder / "owner.json").exists()
    if not ours and any((folder / file).exists() for file in ("study.json", "index.html", "trials.parquet")):
        raise StudyError(f"{folder} holds files of something else; give another folder with --out")
    other = read_record(folder).get("name", name)
    if other != name:
        raise StudyError(
            f"{folder} holds the study {other!r}, this is {name!r}; give another folder with --out"
        )


def read_record(folder: Path) -> dict[str, Any]:
    """What earlier launches left in study.json; nothing, if it cannot be read."""
    try:
        found = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _check_splits(manifest: Manifest) -> None:
    """Training needs videos, selection validation videos, and a verdict test videos."""
    for split in ("train", "val", "test"):
        if not len(manifest.column("video_id", split)):
            raise DataError(
                f"the data has no readable video in split {split!r}: a study needs train, val and test"
            )


def _check_modes(options: RunOptions, allocation: Allocation) -> None:
    """Torch synchronises batch statistics between GPUs alone."""
    if options.modes.sync_batchnorm and (allocation.workers < 2 or not allocation.gpus_per_worker):
        device = "GPU" if allocation.gpus_per_worker else "CPU"
        raise PlacementError(
            f"--sync-batchnorm with {allocation.workers} worker(s) a trial, each on a {device}: it needs "
            "--workers-per-trial of 2 or more, and a GPU for each (torch has none for CPUs)"
        )


@dataclass
class _Launch:
    """One launch of a study: the pieces that its steps share, and what it has to say of itself."""

    study: Study
    manifest: Manifest
    options: RunOptions
    display: Display
    ledger: Ledger
    token: str
    trials: Sequence[Trial]
    keys: Mapping[str, ClipKey]

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self._filled = Filled(0, 0, 0, ())
        self._prefix_forwards = 0
        self._holds: list[Hold] = []  # of the sets that trials use
        self._earlier = read_record(self.options.out)
        self._record: dict[str, Any] = {}

    def run(self, cluster: Cluster, pending: Sequence[Trial]) -> None:
        """Decodes what is missing, then trains every pending trial."""
        allocation = allocate(
            cluster.nodes,
            workers=self.options.workers,
            gpus_per_worker=self.options.gpus_per_worker,
            max_concurrent=self.options.max_concurrent,
            trials=len(pending),
            stream=self.options.stream,
        )
        _check_modes(self.options, allocation)
        conditions = Conditions.of(allocation, self.options.modes, stream=self.options.stream)
        self._check_conditions(conditions)
        self.display.say(f"Ray: {cluster}; trials: {allocation}")
        self._record = run_record() | {"hardware": hardware(cluster.nodes[: cluster.up], str(allocation))}
        self._write_effects()  # with the record: a page must not show this plan with another's effects
        self._write_record()
        check_shared([self.options.out.absolute(), cache.cache_root()])
        streams = self._decode(pending)
        self._write_record()  # so that what was decoded is known, whatever happens next
        shared = self._share(cluster, pending, allocation)
        self._write_record()
        self._train(pending, allocation, conditions, streams, shared)

    def conclude(self) -> Outcome:
        """Folds the ledger, and writes effects and provenance."""
        for hold in self._holds:
            hold.release()
        self.ledger.compact()
        rows = self._write_effects()
        self._write_record(ended=True)
        ok = sum(row["status"] == OK for row in rows)
        return Outcome(len(self.trials), ok, len(rows) - ok, self._filled, self._prefix_forwards)

    def _write_effects(self) -> list[dict[str, Any]]:
        """Writes effects.parquet; returns the rows of the planned trials that are done."""
        planned = {trial.trial_id: trial for trial in self.trials}
        # What a trial is an arm of is said by the plan, not by its row: other designs may share the trial.
        rows = [
            row | {"arm": planned[row["trial_id"]].arm, "seed": planned[row["trial_id"]].seed}
            for row in self.ledger.read("trials", trial_ids=planned.keys()).to_pylist()
        ]
        cells = {row["trial_id"]: (row["arm"], row["seed"]) for row in rows}
        judged = effects(
            rows,
            self.study.arms,
            outcomes=read_outcomes(self.ledger, cells),
            metric=self.study.metric,
            margin=self.study.margin,
        )
        found = [dataclasses.asdict(effect) for effect in judged]
        parquet.replace(self.options.out / "effects.parquet", table("effects", found))
        return rows

    def _check_conditions(self, conditions: Conditions) -> None:
        """Trials that are compared must be trained alike."""
        columns = ["trial_id", *(field.name for field in dataclasses.fields(Conditions))]
        for row in self.ledger.read("trials", columns=columns).to_pylist():
            earlier = Conditions(**{name: row[name] for name in columns[1:]})
            if row["trial_id"] in self.keys and earlier.contradicts(conditions):
                raise StudyError(
                    f"earlier trials of {self.study.name!r} were trained with {earlier}, now it would be "
                    f"{conditions}: their results cannot be compared; use the same options, or --fresh"
                )

    def _decode(self, pending: Sequence[Trial]) -> Mapping[Path, Stream]:
        """Fills the clip cache; with ``--stream``, only says what will be streamed."""
        needed = {self.keys[trial.trial_id].folder: self.keys[trial.trial_id] for trial in pending}
        if self.options.stream:
            streams = {
                folder: Stream(folder.name, key.clip, key.manifest.class_names, key.videos)
                for folder, key in needed.items()
            }
            self._filled = Filled(len(needed), sum(len(stream.videos) for stream in streams.values()), 0, ())
            return streams
        self._holds += cache.reserve(list(needed.values()), cache.cache_root(), self.display.say)
        self._filled = cache.fill(
            needed.values(), partial(self.display.update, "videos decoded"), self.display.say
        )
        each = self._filled.videos // self._filled.clip_keys
        ways = f" ({each} videos × {self._filled.clip_keys} ways of reading them)"
        self.display.say(
            f"{self._filled.videos} videos ready{ways if self._filled.clip_keys > 1 else ''}: "
            f"{self._filled.decoded} decoded now, {self._filled.reused} from the cache"
        )
        return {}

    def _share(
        self, cluster: Cluster, pending: Sequence[Trial], allocation: Allocation
    ) -> Mapping[str, Path]:
        """Computes what trials share of their frozen stages: trial id → the features that it trains on."""
        if not self.options.share:
            return {}
        wanted = {trial.trial_id for trial in pending}
        found = sharing.find(self.trials, self.keys, "cuda" if allocation.gpus_per_worker else "cpu")
        found = [one for one in found if not wanted.isdisjoint(trial.trial_id for trial in one.trials)]
        if found and self.options.stream:
            names = ", ".join(dict.fromkeys(one.name for one in found))
            self.display.say(f"note: with --stream, {names} are computed anew in every epoch of every trial")
            return {}
        chosen, lines = sharing.decide(found, self.keys)
        for line in lines:
            self.display.say(line)
        self._holds += features.reserve(chosen, self.display.say)
        for clips, total in features.compute(chosen, allocation, cluster.nodes):
            self._prefix_forwards += clips
            self.display.update("clips through frozen stages", self._prefix_forwards, total)
        self._record["sharing"] = {"lines": lines, "prefix_forwards": self._prefix_forwards}
        return {trial.trial_id: one.folder for one in chosen for trial in one.trials}

    def _train(
        self,
        pending: Sequence[Trial],
        allocation: Allocation,
        conditions: Conditions,
        streams: Mapping[Path, Stream],
        shared: Mapping[str, Path],
    ) -> None:
        sweep = Sweep(
            study=self.study.name,
            folder=self.options.out.absolute(),
            ledger=self.ledger,
            token=self.token,
            allocation=allocation,
            conditions=conditions,
            modes=self.options.modes,
            display=self.display,
            max_failures=self.options.max_failures,
            checkpoint_s=self.options.checkpoint_s,
        )
        already = len(self.trials) - len(pending)
        seen = sweep.run(pending, self.keys, streams, shared, already=already)
        paths = {video.video_id: video.path for stream in streams.values() for video in stream.videos}
        self._filled = dataclasses.replace(
            self._filled,
            decoded=self._filled.decoded + seen.decoded,
            undecodable=(
                *self._filled.undecodable,
                *((video_id, paths[video_id], why) for video_id, why in sorted(seen.undecodable.items())),
            ),
        )

    def _write_record(self, *, ended: bool = False) -> None:
        """Writes study.json, with this launch in it if anything runs."""
        plan_part = plan_record(self.study, self.trials, self.manifest)
        run_part, launch = dict(self._record), None
        if run_part:
            seconds = round(time.monotonic() - self._started, 1)
            launch = launch_record(run_part["started"], seconds, self.manifest.digest, self._filled)
            if ended:
                run_part["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
        record = joined_record(self._earlier, plan_part, run_part, launch)
        write_json(self.options.out / "study.json", record)

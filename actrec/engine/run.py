"""Running a study: what is missing is decoded, trained and recorded; what is there is left alone."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray
from ray.tune.error import TuneError

from actrec.data import synthetic
from actrec.data.manifest import Manifest
from actrec.engine import cache, embeddings, thumbnails, verdicts
from actrec.engine.cache import ClipKey, Filled
from actrec.engine.cluster import Cluster, check_shared, connect
from actrec.engine.folder import check_folder, read_record
from actrec.engine.placement import Allocation, allocate
from actrec.engine.prepare import Feed, Supply, choose_feed
from actrec.engine.progress import Display
from actrec.engine.provenance import hardware, joined_record, launch_record, plan_record, run_record
from actrec.engine.sweep import Conditions, Sweep
from actrec.engine.verdicts import look
from actrec.errors import ActrecError, DataError, EngineError, PlacementError, StudyError
from actrec.results.files import write_json
from actrec.results.ledger import Ledger
from actrec.results.schema import OK, TABLES
from actrec.spec import override
from actrec.study import rounds
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
        stream: decode in every epoch anew instead of keeping clips; None: only if they cannot be kept.
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
    stream: bool | None = None
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
        LedgerError: if another process runs a study in this folder, or results cannot be written.
        KeyboardInterrupt: after an orderly stop; what is done is recorded.
    """
    if study.cv and options.stream:
        raise StudyError("a cross-validation is for sets small enough to keep decoded: leave out --stream")
    # Those of later rounds are known once the results of earlier ones are read.
    earlier = {} if options.fresh else read_record(options.out)
    later = {row["trial_id"] for row in earlier.get("plan", ())}
    wanted = _wanted(plan(study), [key for key in options.only if key not in later])
    if not manifest.root.is_dir():
        raise DataError(
            f"the videos' folder {manifest.root} is not there; if it was moved, build the manifest again"
        )
    _check_splits(manifest, wanted)
    check_folder(options.out, study.name)
    ledger = Ledger(options.out)
    token = ledger.claim(display.say)
    try:
        return _run_claimed(study, manifest, options, display, ledger, token)
    finally:
        ledger.release()


def _run_claimed(
    study: Study, manifest: Manifest, options: RunOptions, display: Display, ledger: Ledger, token: str
) -> Outcome:
    """:func:`run_study`, once nobody else may write."""
    if options.fresh and (old := ledger.set_aside("index.html", "checkpoints", "embeddings")):
        display.say(f"earlier results are now in {old}")
    ledger.compact()  # what a killed launch left in parts: from here on everybody reads one file a table
    for problem in ledger.problems:
        display.say(f"note: {problem}")
    launch = _Launch(study, manifest, options, display, ledger, token)
    pending = launch.pending()
    if not pending:
        display.say("all trials are done already: nothing to decode, nothing to train")
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
    return outcome


def _wanted(trials: Sequence[Trial], only: Sequence[str]) -> list[Trial]:
    """The trials of the plan that are to be run."""
    planned = {trial.trial_id: trial for trial in trials}
    for key in only:
        if key not in planned:
            raise StudyError(f"no trial {key!r} in this plan: the report lists the {len(planned)} there are")
    return [planned[key] for key in only] if only else list(trials)


def _check_splits(manifest: Manifest, trials: Sequence[Trial]) -> None:
    """Training needs videos, selection validation videos, and a verdict test videos."""
    for spec in {trial.spec.data: trial.spec.data for trial in trials}.values():
        selection = manifest.select(spec)
        for split in ("train", "val", "test"):
            if not len(selection.column("video_id", split)):
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

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self._supply = Supply(self.display)
        self._tried: set[str] = set()
        self._keys: dict[str, ClipKey] = {}
        self._earlier = read_record(self.options.out)
        self._record: dict[str, Any] = {}

    def pending(self) -> list[Trial]:
        """What the plan has still to run, now that some trials have ended."""
        rows = self._ended()
        self._now = rounds.current(self.study, rows, look(self.study, self.ledger))
        if not self.options.only:
            return list(self._now.pending)
        ended = {row["trial_id"] for row in rows}
        return [t for t in _wanted(self._now.trials, self.options.only) if t.trial_id not in ended]

    def run(self, cluster: Cluster, pending: list[Trial]) -> None:
        """Runs round after round until nothing is pending."""
        self._round(cluster, pending)
        while left := self.pending():
            if left == pending:
                raise EngineError(
                    f"Ray Tune ended with {len(left)} of {len(self._now.trials)} trials not run"
                )
            pending = left
            self.display.say(f"next round: {len(pending)} further trials, {len(self._now.trials)} in all")
            self._round(cluster, pending)

    def conclude(self) -> Outcome:
        """Folds the ledger, and writes effects, provenance and what the report shows of the videos."""
        trials = self._now.trials
        self._draw()
        self._supply.release()
        self.ledger.compact()
        rows = verdicts.write(self.options.out, self.study, self._now, self.ledger)
        self._write_record(ended=True)
        ok = sum(row["status"] == OK for row in rows)
        return Outcome(len(trials), ok, len(rows) - ok, self._supply.filled, self._supply.forwards)

    def _draw(self) -> None:
        """Writes what the report shows of the videos. A machine that cannot read them can still conclude."""
        try:
            clips = self._key(self._now.trials[0]).folder
        except ActrecError as error:
            self.display.say(f"note: the report lacks pictures of the videos: {error}")
            return
        thumbnails.write(
            self.options.out,
            self.manifest,
            clips,
            say=self.display.say,
            all_tested=bool(self.study.cv),
        )

    def _ended(self) -> list[dict[str, Any]]:
        """The rows of trials that are not to run again."""
        wanted = ("trial_id", "status", f"val_{self.study.metric}")
        columns = [name for name in wanted if name in TABLES["trials"].names]
        rows = self.ledger.read("trials", columns=columns).to_pylist()
        again = self.options.retry_failed
        return [row for row in rows if row["status"] == OK or not again or row["trial_id"] in self._tried]

    def _round(self, cluster: Cluster, pending: Sequence[Trial]) -> None:
        """Decodes what is missing, computes what is shared, then trains every pending trial."""
        keys = [self._key(trial) for trial in pending]
        feed = self._feed(keys)
        allocation = allocate(
            cluster.nodes,
            workers=self.options.workers,
            gpus_per_worker=self.options.gpus_per_worker,
            max_concurrent=self.options.max_concurrent,
            trials=len(pending),
            stream=feed == "stream",
        )
        _check_modes(self.options, allocation)
        conditions = Conditions.of(allocation, self.options.modes, stream=feed == "stream")
        self._check_conditions(conditions)
        if not self._record:
            self.display.say(f"Ray: {cluster}; trials: {allocation}")
            self._record = run_record()
            self._record["hardware"] = hardware(cluster.nodes[: cluster.up], str(allocation))
            check_shared([self.options.out.absolute(), cache.cache_root()])
        # With the record: a page must not show this plan with another's effects.
        verdicts.write(self.options.out, self.study, self._now, self.ledger)
        self._write_record()
        self._supply.decode(keys, feed)
        self._write_record()  # so that what was decoded is known, whatever happens next
        if self.options.share:
            planned = {trial.trial_id: self._key(trial) for trial in self._now.trials}
            self._supply.share(self._now.trials, pending, planned, cluster, allocation)
            self._write_record()
        self._train(pending, allocation, conditions)

    def _key(self, trial: Trial) -> ClipKey:
        """A trial's clip key. Those of all planned trials are found at once."""
        if trial.trial_id not in self._keys:
            new = [each for each in self._now.trials if each.trial_id not in self._keys]
            found = cache.clip_keys(self.manifest, [each.spec for each in new], cache.cache_root())
            self._keys |= {each.trial_id: key for each, key in zip(new, found, strict=True)}
        return self._keys[trial.trial_id]

    def _feed(self, keys: Sequence[ClipKey]) -> Feed:
        if self.options.stream is not None or self.study.cv:
            return "stream" if self.options.stream else "cache"
        planned = {trial.trial_id for trial in self._now.trials}
        rows = self.ledger.read("trials", columns=["feed"], trial_ids=planned).to_pylist()
        return choose_feed(keys, next((row["feed"] for row in rows if row["feed"]), None), self.display)

    def _check_conditions(self, conditions: Conditions) -> None:
        """Trials that are compared must be trained alike."""
        columns = [field.name for field in dataclasses.fields(Conditions)]
        planned = {trial.trial_id for trial in self._now.trials}
        for row in self.ledger.read("trials", columns=columns, trial_ids=planned).to_pylist():
            earlier = Conditions(**{name: row[name] for name in columns})
            if earlier.contradicts(conditions):
                raise StudyError(
                    f"earlier trials of {self.study.name!r} were trained with {earlier}, now it would be "
                    f"{conditions}: their results cannot be compared; use the same options, or --fresh"
                )

    def _train(self, pending: Sequence[Trial], allocation: Allocation, conditions: Conditions) -> None:
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
        already = len(self._now.trials) - len(pending)
        supply = self._supply
        mapped = embeddings.first_seeds(self._now.trials)
        seen = sweep.run(
            pending, self._keys, supply.streams, supply.features, already=already, embedded=mapped
        )
        supply.streamed(seen.decoded, seen.undecodable)
        self._tried |= {trial.trial_id for trial in pending}

    def _write_record(self, *, ended: bool = False) -> None:
        """Writes study.json, with this launch in it if anything runs."""
        plan_part = plan_record(self.study, self._now, self.manifest)
        run_part, launch = dict(self._record), None
        if run_part:
            seconds = round(time.monotonic() - self._started, 1)
            launch = launch_record(run_part["started"], seconds, self.manifest.digest, self._supply.filled)
            run_part["sharing"] = {
                "lines": self._supply.decisions,
                "prefix_forwards": self._supply.forwards,
            }
            if ended:
                run_part["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
        record = joined_record(self._earlier, plan_part, run_part, launch)
        write_json(self.options.out / "study.json", record)

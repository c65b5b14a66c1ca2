"""Running a study: what is missing is decoded, trained and recorded; what is there is left alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import closing

import ray
from ray.tune.error import TuneError

from actrec.data import synthetic
from actrec.data.manifest import Manifest
from actrec.engine import loggers
from actrec.engine.cluster import connect
from actrec.engine.folder import check_folder, read_record
from actrec.engine.launching import Launch, wanted_of
from actrec.engine.launching import Outcome as Outcome
from actrec.engine.options import RunOptions as RunOptions
from actrec.engine.progress import Display
from actrec.engine.station import KEPT
from actrec.errors import ActrecError, DataError, EngineError, StudyError
from actrec.results.ledger import Ledger
from actrec.spec import override
from actrec.study import rounds
from actrec.study.changes import check_unchanged
from actrec.study.factors import Study
from actrec.study.plan import Trial

BUILTIN = "builtin"


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
            also if the folder has another study of that name, or its trials were trained under other
            conditions.
        DataError: if a split is empty, or clips cannot be decoded or kept.
        ClusterError, PlacementError: if there is no cluster, or no room on it for one trial.
        EngineError: if Ray fails, or workers cannot be kept alive.
        LedgerError: if another process runs a study in this folder, or results cannot be written.
        KeyboardInterrupt: after an orderly stop; what is done is recorded.
    """
    if study.cv and options.stream:
        raise StudyError("a cross-validation is for sets small enough to keep decoded: leave out --stream")
    for name in options.track:
        loggers.check(name)
    # Those of later rounds are known once the results of earlier ones are read.
    earlier = {} if options.fresh else read_record(options.out)
    later = {row["trial_id"] for row in earlier.get("plan", ())}
    wanted = wanted_of(rounds.current(study, ()).trials, [key for key in options.only if key not in later])
    if not manifest.root.is_dir():
        raise DataError(
            f"the videos' folder {manifest.root} is not there; if it was moved, build the manifest again"
        )
    _check_splits(manifest, wanted)
    check_folder(options.out, study.name)
    check_unchanged(earlier.get("study"), study, extend=options.extend)
    ledger = Ledger(options.out)
    token = ledger.claim(display.say)
    try:
        with display.publishing(ledger):
            return _run_claimed(study, manifest, options, display, ledger, token)
    finally:
        ledger.release()


def _run_claimed(
    study: Study, manifest: Manifest, options: RunOptions, display: Display, ledger: Ledger, token: str
) -> Outcome:
    """:func:`run_study`, once nobody else may write."""
    if options.fresh and (old := ledger.set_aside("index.html", "checkpoints", KEPT, "embeddings")):
        display.say(f"earlier results are now in {old}")
    ledger.compact()  # what a killed launch left in parts: from here on everybody reads one file a table
    for problem in ledger.problems:
        display.say(f"note: {problem}")
    with closing(Launch(study, manifest, options, display, ledger, token)) as launch:
        pending = launch.pending()
        if pending:
            return _run_pending(launch, pending, options)
        display.say("all trials are done already: nothing to decode, nothing to train")
        return launch.conclude()


def _run_pending(launch: Launch, pending: list[Trial], options: RunOptions) -> Outcome:
    """Runs what is missing on a cluster, and concludes however that ends."""
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


def _check_splits(manifest: Manifest, trials: Sequence[Trial]) -> None:
    """Training needs videos, selection validation videos, and a verdict test videos."""
    for spec in {trial.spec.data: trial.spec.data for trial in trials}.values():
        selection = manifest.select(spec)
        for split in ("train", "val", "test"):
            if not len(selection.column("video_id", split)):
                raise DataError(
                    f"the data has no readable video in split {split!r}: a study needs train, val and test"
                )

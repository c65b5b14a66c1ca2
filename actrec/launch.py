"""The command line that every experiment script shares.

A script defines ``study() -> Study`` and ends with ``sys.exit(main(study, __doc__))``.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from actrec.arguments import AUTO, parser_of
from actrec.engine.progress import Display
from actrec.engine.run import RunOptions, load_manifest, run_study, with_data
from actrec.engine.warm import warmed
from actrec.errors import ActrecError, StudyError
from actrec.models import weights
from actrec.report.page import build_report
from actrec.report.tables import load
from actrec.report.words import answer
from actrec.results.reader import Reader
from actrec.spec import assignment, override
from actrec.study.factors import RESERVED, Study
from actrec.study.greedy import ADAPTIVE
from actrec.study.plan import describe
from actrec.study.race import MAX_SEEDS
from actrec.study.rounds import current
from actrec.study.search import Search, space_of
from actrec.training.learner import Modes

_ELSEWHERE = RESERVED | dict.fromkeys(("data.manifest", "data.digest"), "use --data")  # not by --set
INTERRUPTED = 130  # exit status, as shells have it


def main(study: Callable[[], Study], doc: str | None = None, argv: Sequence[str] | None = None) -> int:
    """Runs the study that ``study`` makes, from the command line; returns the exit status.

    0: every trial is ok. 1: some failed, and the report says which. 2: the command or the study is wrong.
    130: interrupted; the same command goes on.
    """
    display = Display()
    try:
        made = study()
        arguments = parser_of(made, doc).parse_args(argv)
        if arguments.weights_dir is not None:
            os.environ[weights.VARIABLE] = str(arguments.weights_dir.absolute())
        with display:
            return _run(_changed(made, arguments), arguments, display)
    except KeyboardInterrupt:
        print("\nstopped; what is done is kept, and the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except ActrecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(study: Study, arguments: argparse.Namespace, display: Display) -> int:
    manifest = load_manifest(arguments.data)
    study = with_data(study, arguments.data, manifest)
    out = arguments.out or Path("reports") / study.name
    if arguments.warm_start is not None:
        study = warmed(study, out, arguments.warm_start, fresh=arguments.fresh)
    trials = current(study, ()).trials
    counts = {split: len(manifest.column("video_id", split)) for split in ("train", "val", "test")}
    if arguments.dry_run:
        print(describe(study, trials, counts))
        return 0
    options = RunOptions(
        out=out,
        only=tuple(arguments.only or ()),
        fresh=arguments.fresh,
        retry_failed=arguments.retry_failed,
        extend=arguments.extend,
        workers=arguments.workers_per_trial,
        gpus_per_worker=arguments.gpus_per_worker,
        max_concurrent=arguments.max_concurrent,
        address=arguments.address,
        stream=arguments.stream,
        share=not arguments.no_share,
        modes=Modes(compiled=arguments.compile, sync_batchnorm=arguments.sync_batchnorm),
        max_failures=arguments.max_failures,
        stall_s=arguments.stall,
        halve_batch=arguments.halve_batch,
        track=tuple(arguments.track),
    )
    display.say(f"{study.name}: {_size(study, len(trials))} on {sum(counts.values())} videos → {out}")
    before = _stamp(out)
    try:
        outcome = run_study(study, manifest, options, display)
    finally:
        # Of what this launch wrote: one that was refused has no business with another's page.
        if _stamp(out) != before and Reader(out).done():
            page = build_report(out)
            display.say(f"{answer(load(out))}\nreport: {page}")
    pruned = f", {outcome.pruned} stopped early" if outcome.pruned else ""
    failed = f", {outcome.failed} failed (the report says why)" if outcome.failed else ""
    display.say(f"{outcome.ok} of {outcome.planned} trials ok{pruned}{failed}")
    return 1 if outcome.failed else 0


def _stamp(out: Path) -> int | None:
    """Which ``study.json`` there is."""
    path = out / "study.json"
    return path.stat().st_mtime_ns if path.exists() else None


def _size(study: Study, first: int) -> str:
    if study.search is not None:
        return f"a search of {study.search.trials} trials, then what it leads to,"
    return f"{first} trials" + " in the first round" * bool(study.design in ADAPTIVE or study.max_seeds)


def _changed(made: Study, arguments: argparse.Namespace) -> Study:
    """The study with what the command line changes."""
    changes = dict(assignment(text) for text in arguments.set)
    varied = [factor.path for factor in made.factors] + list(made.search.space if made.search else ())
    for path in changes:
        if path in _ELSEWHERE:
            raise StudyError(f"--set {path}: {_ELSEWHERE[path]}")
        if any(f"{path}.".startswith(f"{one}.") or one.startswith(f"{path}.") for one in varied):
            raise StudyError(f"--set {path}: the study varies it ({', '.join(varied)})")
    if arguments.epochs is not None:
        changes["optim.epochs"] = arguments.epochs
    if arguments.decoder is not None:
        changes["clip.decoder"] = arguments.decoder
    seeds = made.seeds if arguments.seeds is None else tuple(range(arguments.seeds))
    cv = made.cv if arguments.cv is None else arguments.cv
    most = made.max_seeds if arguments.more_seeds is None else arguments.more_seeds
    if most == AUTO:
        most = max(MAX_SEEDS, len(seeds))
    base = override(made.base, changes)
    study = dataclasses.replace(made, base=base, seeds=seeds, cv=cv, max_seeds=most, search=None)
    return _searching(study, made.search, arguments)


def _searching(study: Study, search: Search | None, arguments: argparse.Namespace) -> Study:
    """The study with its search, if it has one or the command line asks for one."""
    names = ("sampler", "objectives", "stopping", "parallel", "population", "confirm")
    changes = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    if search is None and arguments.search is None:
        if changes:
            raise StudyError(f"--{next(iter(changes))} is for a search: add --search N")
        return study
    if arguments.search is not None:
        changes["trials"] = arguments.search
    if search is not None:
        return dataclasses.replace(study, search=dataclasses.replace(search, **changes))
    return dataclasses.replace(
        study,
        name=f"{study.name}_search",
        base=study.baseline,
        factors=(),
        design="one_at_a_time",
        search=Search(space=space_of(study.factors), **changes),
    )

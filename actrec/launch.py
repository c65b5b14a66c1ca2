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

from actrec.engine.progress import Display
from actrec.engine.run import BUILTIN, RunOptions, load_manifest, run_study, with_data
from actrec.errors import ActrecError, StudyError
from actrec.models import weights
from actrec.report.page import build_report
from actrec.report.tables import load
from actrec.report.words import answer
from actrec.results.ledger import Ledger
from actrec.spec import assignment, override
from actrec.study.factors import RESERVED, Study
from actrec.study.greedy import ADAPTIVE
from actrec.study.plan import describe, plan
from actrec.study.race import MAX_SEEDS
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
        arguments = _parser(made, doc).parse_args(argv)
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
    trials = plan(study)
    counts = {split: len(manifest.column("video_id", split)) for split in ("train", "val", "test")}
    if arguments.dry_run:
        print(describe(study, trials, counts))
        return 0
    out = arguments.out or Path("reports") / study.name
    options = RunOptions(
        out=out,
        only=tuple(arguments.only or ()),
        fresh=arguments.fresh,
        retry_failed=arguments.retry_failed,
        workers=arguments.workers_per_trial,
        gpus_per_worker=arguments.gpus_per_worker,
        max_concurrent=arguments.max_concurrent,
        address=arguments.address,
        stream=arguments.stream,
        share=not arguments.no_share,
        modes=Modes(compiled=arguments.compile, sync_batchnorm=arguments.sync_batchnorm),
        max_failures=arguments.max_failures,
    )
    grows = study.design in ADAPTIVE or study.max_seeds
    first = " in the first round" if grows else ""
    display.say(f"{study.name}: {len(trials)} trials{first} on {sum(counts.values())} videos → {out}")
    try:
        outcome = run_study(study, manifest, options, display)
    finally:
        if (out / "study.json").exists() and Ledger(out).done():
            page = build_report(out)
            display.say(f"{answer(load(out))}\nreport: {page}")
    failed = f", {outcome.failed} failed (the report says why)" if outcome.failed else ""
    display.say(f"{outcome.ok} of {outcome.planned} trials ok{failed}")
    return 1 if outcome.failed else 0


def number(text: str) -> int:
    """A command-line number that is at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}: must be at least 1")
    return value


def _changed(study: Study, arguments: argparse.Namespace) -> Study:
    """The study with what the command line changes."""
    changes = dict(assignment(text) for text in arguments.set)
    varied = [factor.path for factor in study.factors]
    for path in changes:
        if path in _ELSEWHERE:
            raise StudyError(f"--set {path}: {_ELSEWHERE[path]}")
        if any(f"{path}.".startswith(f"{one}.") or one.startswith(f"{path}.") for one in varied):
            raise StudyError(f"--set {path}: the study varies it ({', '.join(varied)})")
    if arguments.epochs is not None:
        changes["optim.epochs"] = arguments.epochs
    if arguments.decoder is not None:
        changes["clip.decoder"] = arguments.decoder
    seeds = study.seeds if arguments.seeds is None else tuple(range(arguments.seeds))
    cv = study.cv if arguments.cv is None else arguments.cv
    most = study.max_seeds if arguments.more_seeds is None else arguments.more_seeds
    return dataclasses.replace(study, base=override(study.base, changes), seeds=seeds, cv=cv, max_seeds=most)


def _most_seeds(text: str) -> int:
    return MAX_SEEDS if text == "auto" else number(text)


def _parser(study: Study, doc: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="The same command goes on where an earlier one stopped, and runs only what is missing.",
    )
    what = parser.add_argument_group("what is run")
    what.add_argument(
        "--data",
        metavar="M.parquet",
        default=BUILTIN,
        help="a manifest, made by `actrec data build` (default: the built-in videos, made on first use)",
    )
    what.add_argument(
        "--seeds",
        type=number,
        metavar="N",
        help=f"seeds an arm (default: {len(study.seeds)}); more go on from fewer",
    )
    what.add_argument(
        "--more-seeds",
        type=_most_seeds,
        metavar="auto|N",
        help="then run further seeds of the arms whose verdict is still open, up to N in all "
        f"(auto: {MAX_SEEDS}); arms that are settled get no more",
    )
    what.add_argument(
        "--epochs", type=number, metavar="N", help=f"epochs a trial (default: {study.base.optim.epochs})"
    )
    what.add_argument(
        "--decoder",
        choices=("auto", "decord", "torchcodec", "pyav"),
        help="default: auto, which is decord where it is installed, else pyav",
    )
    what.add_argument(
        "--cv",
        metavar="K",
        help="cross-validate by group: a number of folds, or `leave-one-group-out`; each arm and seed is "
        "trained once a fold (default: the data's own splits)",
    )
    what.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help="change a value of every trial, such as clip.num_frames=16; may be repeated (actrec/spec.py has "
        "the paths)",
    )
    what.add_argument(
        "--weights-dir",
        type=Path,
        metavar="DIR",
        help="where published weights lie (default: ACTREC_WEIGHTS, else the user's data folder); "
        "`actrec models` names the files",
    )
    what.add_argument(
        "--only", nargs="+", metavar="TRIAL", help="run these trials alone; their ids are in the report"
    )
    what.add_argument("--dry-run", action="store_true", help="print the plan and its cost; run nothing")

    where = parser.add_argument_group("where results go")
    where.add_argument("--out", type=Path, metavar="DIR", help=f"default: reports/{study.name}")
    where.add_argument(
        "--fresh", action="store_true", help="start anew; earlier results are set aside, not deleted"
    )
    where.add_argument("--retry-failed", action="store_true", help="run trials again that failed")

    how = parser.add_argument_group("how it is run")
    how.add_argument(
        "--workers-per-trial", type=number, default=1, metavar="W", help="data-parallel workers (default: 1)"
    )
    how.add_argument(
        "--gpus-per-worker",
        type=float,
        metavar="F",
        help="may be a fraction, to pack trials on one GPU (default: 1 where there are GPUs, else 0)",
    )
    how.add_argument(
        "--max-concurrent", type=number, metavar="N", help="trials side by side (default: as many as fit)"
    )
    how.add_argument(
        "--address",
        metavar="ADDR",
        help="a Ray cluster, or `local` to start one here in any case (default: RAY_ADDRESS, else one that "
        "runs on this machine, else a local one)",
    )
    how.add_argument(
        "--stream",
        action=argparse.BooleanOptionalAction,
        help="decode in every epoch anew (default: only if the decoded clips would not fit on the disk)",
    )
    how.add_argument(
        "--no-share",
        action="store_true",
        help="let every trial compute its frozen stages itself, in every epoch",
    )
    how.add_argument("--compile", action="store_true", help="train with torch.compile")
    how.add_argument(
        "--sync-batchnorm",
        action="store_true",
        help="BatchNorm over all workers of a trial together (GPUs only)",
    )
    how.add_argument(
        "--max-failures", type=int, default=3, metavar="N", help="lost workers a trial survives (default: 3)"
    )
    return parser

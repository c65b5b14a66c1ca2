"""The flags that every experiment script shares."""

from __future__ import annotations

import argparse
from pathlib import Path

from actrec.engine.loggers import TRACKERS
from actrec.engine.run import BUILTIN
from actrec.engine.station import STALL_S
from actrec.study.early import STOPPING
from actrec.study.factors import Study
from actrec.study.race import MAX_SEEDS
from actrec.study.search import OBJECTIVES, PBT, SAMPLERS, Search

AUTO = "auto"  # of --more-seeds: MAX_SEEDS, or as many as the study begins with


def number(text: str) -> int:
    """A command-line number that is at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}: must be at least 1")
    return value


def _most_seeds(text: str) -> int | str:
    return text if text == AUTO else number(text)


def parser_of(study: Study, doc: str | None) -> argparse.ArgumentParser:
    """The command line of a study's script, whose docstring is ``doc``."""
    parser = argparse.ArgumentParser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="The same command goes on where an earlier one stopped, and runs only what is missing.",
    )
    _what(parser.add_argument_group("what is run"), study)
    _search(parser.add_argument_group("searching"), study.search)
    _where(parser.add_argument_group("where results go"), study)
    _how(parser.add_argument_group("how it is run"))
    return parser


def _what(what: argparse._ArgumentGroup, study: Study) -> None:
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
        help=f"seeds an arm (default: {len(study.seeds)}) (with --extend, more go on from fewer)",
    )
    what.add_argument(
        "--more-seeds",
        type=_most_seeds,
        metavar="auto|N",
        help="then run further seeds of the arms whose verdict is still open, up to N in all "
        f"({AUTO}: {MAX_SEEDS}); arms that are settled get no more",
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


def _search(group: argparse._ArgumentGroup, search: Search | None) -> None:
    default = search or Search(space={})
    group.add_argument(
        "--search",
        type=number,
        metavar="N",
        help="search N trials with Optuna, confirm the best with fresh seeds, then ablate around the winner"
        + (f" (default: {search.trials})" if search else "; searched are the values of the study's factors"),
    )
    group.add_argument(
        "--sampler",
        choices=(*SAMPLERS, PBT),
        help="what proposes them; pbt: population based training, N parts of longer trials "
        f"(default: {default.sampler})",
    )
    group.add_argument(
        "--population",
        type=number,
        metavar="P",
        help=f"members of --sampler pbt; N must be a multiple of it (default: {default.population})",
    )
    group.add_argument(
        "--objectives",
        nargs="+",
        choices=tuple(OBJECTIVES),
        metavar="NAME",
        help="one, or several to trade off, val_top1 first: "
        f"{', '.join(OBJECTIVES)} (default: {' '.join(default.objectives)})",
    )
    group.add_argument(
        "--stopping",
        choices=tuple(STOPPING),
        help=f"stop what looks poor on validation (default: {default.stopping})",
    )
    group.add_argument(
        "--parallel",
        type=number,
        metavar="N",
        help="most trials of the search side by side; each is proposed knowing all but the last N before it "
        f"(default: {default.parallel})",
    )
    group.add_argument(
        "--confirm",
        type=int,
        metavar="K",
        help=f"train the K best again with fresh seeds; 0: only search (default: {default.confirm})",
    )
    group.add_argument(
        "--warm-start",
        type=Path,
        metavar="DIR",
        help="tell the sampler of the trials of an earlier study in DIR that this one could propose",
    )


def _where(where: argparse._ArgumentGroup, study: Study) -> None:
    where.add_argument("--out", type=Path, metavar="DIR", help=f"default: reports/{study.name}")
    where.add_argument(
        "--fresh", action="store_true", help="start anew; earlier results are set aside, not deleted"
    )
    where.add_argument(
        "--extend",
        action="store_true",
        help="go on with a study that has grown since: more levels, factors, seeds or trials of a search",
    )
    where.add_argument("--retry-failed", action="store_true", help="run trials again that failed")


def _how(how: argparse._ArgumentGroup) -> None:
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
        "--max-concurrent",
        type=number,
        metavar="N",
        help="at most N trials side by side (default: what fits)",
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
        "--stall",
        type=number,
        default=int(STALL_S),
        metavar="S",
        help="seconds without a sign of life after which a trial's workers are ended, and the trial tried "
        f"again (default: {STALL_S:.0f}); more than its longest batch may take",
    )
    how.add_argument(
        "--halve-batch",
        action="store_true",
        help="begin a trial that runs out of memory anew with half its batch size; its row says so",
    )
    how.add_argument(
        "--track",
        nargs="+",
        choices=tuple(TRACKERS),
        default=[],
        metavar="NAME",
        help=f"also log trials to {', '.join(TRACKERS)} (extras of the package)",
    )
    how.add_argument(
        "--max-failures", type=int, default=3, metavar="N", help="lost workers a trial survives (default: 3)"
    )

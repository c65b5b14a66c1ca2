"""How good our searches are, on functions whose best value is known, beside Optuna alone.

    python benchmarks/search_quality.py            # about 6 minutes on 2 cores; --quick: 2

**Through the engine.** Searches of 60 trials run on a Ray of their own, four trials side by side that end in
any order. Their workers evaluate a function in place of training; everything else is what a study has. The
driver is killed (-9) twice on the way, and the same command goes on. Every trial must be the one that a
search in this process proposes, which evaluates one trial after the other: proposals are a function of the
ledger, and not of who was first.

**Regret.** So it is enough to measure searches in this process: 60 trials, Branin, Hartmann 6 and a function
with categories and a condition, over many seeds. The peers are the same sampler of Optuna, with the same
first trial, without us: ``batches``, four asked for, then four told; ``workers``, four workers that each ask
when their trial has ended, after a random time; ``sequential``, each told before the next is asked for, which
no search with trials side by side can know.

Prints one JSON object. ``functions``: the mean regret (best value found less the best there is, over the
function's range). ``vs_…``: ours over that peer's, the geometric mean over the functions, and its 95 %
bootstrap interval over seeds. ``engine.differing``: trials that were not the expected ones.
"""

from __future__ import annotations

import heapq
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from actrec.engine.cluster import connect
from actrec.engine.conditions import Conditions
from actrec.engine.fleet import Handler
from actrec.engine.messages import EpochDone, RunEpoch, TrialResult
from actrec.engine.options import RunOptions
from actrec.engine.placement import allocate
from actrec.engine.progress import Display
from actrec.engine.search import Growing, Storage
from actrec.engine.sweep import Sweep
from actrec.results.ledger import Ledger
from actrec.results.schema import OK
from actrec.seeding import numpy_rng
from actrec.spec import TrialSpec
from actrec.study.plan import Trial
from actrec.study.proposals import SEARCH, Proposals
from actrec.study.space import params, suggest
from actrec.training.learner import PLAIN
from benchmarks.common import emit, parser, scratch
from benchmarks.driven import Home
from benchmarks.known_functions import PROBLEMS, Problem

TRIALS, SIDE_BY_SIDE = 60, 4
KILLS = (TRIALS // 3, 2 * TRIALS // 3)  # the driver is killed when so many trials have ended
RESAMPLES = 10_000


# Through the engine: the driver, a process of its own.


@dataclass(frozen=True)
class Evaluation:
    """Makes a worker that evaluates a function where others train. How long it takes is another in every
    process, so that trials end in another order every time."""

    name: str

    def __call__(self, rank: int, world_size: int, post: Any) -> Handler:
        def evaluate(command: RunEpoch) -> EpochDone:
            time.sleep(numpy_rng(os.getpid(), command.trial_id).exponential(0.2))
            value = PROBLEMS[self.name].value(TrialSpec.from_dict(command.spec))
            return EpochDone(1, 1, 0, 0, {}, {}, TrialResult({"val_top1": 1 - value}, (), ()))

        return evaluate


def drive(name: str, seed: str, out: str) -> None:
    """Runs a search from where its ledger is to its end."""
    study, display = PROBLEMS[name].study(int(seed), TRIALS, SIDE_BY_SIDE), Display()
    ledger, options = Ledger(out), RunOptions(out=Path(out), address="local")
    token = ledger.claim(display.say)
    proposals = Proposals(study, ledger.read("trials").to_pylist())
    storage = Storage(options.out, study, display.say)
    with display, connect(options.address, num_cpus=SIDE_BY_SIDE) as cluster:
        allocation = allocate(cluster.nodes, max_concurrent=SIDE_BY_SIDE)
        sweep = Sweep(
            study=study.name,
            folder=options.out,
            ledger=ledger,
            token=token,
            allocation=allocation,
            conditions=Conditions.of(allocation, PLAIN, stream=False),
            display=display,
            options=options,
            setup=Evaluation(name),
        )
        sweep.run(
            proposals.pending,
            lambda trial: RunEpoch(trial.trial_id, trial.spec.to_dict(), Path(), ()),
            planned=TRIALS,
            streams={},
            growing=Growing(proposals, storage, lambda: None),
        )
    ledger.release()


def through_engine(folder: Path, name: str, seed: int) -> dict[str, int]:
    """A search by drivers that are killed, against one in this process."""
    home, out, left = Home(folder), folder / "out", list(KILLS)
    command = [sys.executable, __file__, "--drive", name, str(seed), str(out)]
    try:
        for _ in range(len(KILLS) + 1):
            driver = home.start(command)
            while driver.poll() is None:
                time.sleep(0.1)
                if left and len(Ledger(out).done()) >= left[0]:
                    left.pop(0)
                    driver.send_signal(signal.SIGKILL)
            if driver.returncode == 0:
                break
            assert driver.returncode == -signal.SIGKILL, home.log.read_text()[-2000:]
    finally:
        home.clear()
    expected = {trial.number: trial.trial_id for trial, _ in ours(PROBLEMS[name], seed)}
    rows = Ledger(out).read("trials", columns=["number", "trial_id", "status"]).to_pylist()
    found = {row["number"]: row["trial_id"] for row in rows if row["status"] == OK}
    differing = sum(found.get(number) != key for number, key in expected.items())
    return {"trials": len(rows), "kills": len(KILLS) - len(left), "differing": differing}


# In this process.


def ours(problem: Problem, seed: int, parallel: int = SIDE_BY_SIDE) -> Iterator[tuple[Trial, float]]:
    """The trials of a search, and their values."""
    proposals = Proposals(problem.study(seed, TRIALS, parallel), ())
    while proposals.pending:
        trial = proposals.pending[0]
        value = problem.value(trial.spec)
        row = {"stage": SEARCH, "number": trial.number, "spec": trial.spec.to_dict(), "status": OK}
        proposals.update([{**row, "val_top1": 1 - value}])
        yield trial, value


def alone(problem: Problem, seed: int) -> tuple[optuna.Study, Callable[[optuna.Trial], float]]:
    """Optuna's study with the same sampler and first trial, and what evaluates a trial of it."""
    study = problem.study(seed, TRIALS, SIDE_BY_SIDE)
    assert study.search is not None
    space, base = study.search.space, study.base
    made = optuna.create_study(direction="maximize", sampler=study.search.make_sampler())
    made.enqueue_trial(params(space, base) or {})
    return made, lambda trial: problem.value(suggest(space, base, trial))


def batches(problem: Problem, seed: int, size: int) -> float:
    """The best value that Optuna finds when it is asked for ``size`` trials at a time."""
    search, evaluate = alone(problem, seed)
    for _ in range(TRIALS // size):
        asked = [search.ask() for _ in range(size)]
        values = [evaluate(trial) for trial in asked]
        for trial, value in zip(asked, values, strict=True):
            search.tell(trial, 1 - value)
    return 1 - search.best_value


def workers(problem: Problem, seed: int, spread: float = 0.5) -> float:
    """The best value that Optuna finds when four workers ask it, each when its trial has ended.

    Args:
        spread: standard deviation of the logarithm of how long trials take. Where all take equally long, the
            search is ours, trial by trial.
    """
    (search, evaluate), rng, now = alone(problem, seed), numpy_rng(seed, "durations"), 0.0
    running: list[tuple[float, int, float]] = []
    for number in range(TRIALS + SIDE_BY_SIDE):
        if number >= SIDE_BY_SIDE:
            now, ended, value = heapq.heappop(running)
            search.tell(ended, 1 - value)
        if number < TRIALS:
            trial = search.ask()
            value = evaluate(trial)
            heapq.heappush(running, (now + rng.lognormal(0.0, spread), trial.number, value))
    return 1 - search.best_value


SEARCHES: dict[str, Callable[[Problem, int], float]] = {
    "ours": lambda problem, seed: min(value for _, value in ours(problem, seed)),
    "batches": lambda problem, seed: batches(problem, seed, SIDE_BY_SIDE),
    "workers": workers,
    "sequential": lambda problem, seed: batches(problem, seed, 1),
}


def ratio(regrets: dict[str, dict[str, NDArray[np.float64]]], peer: str) -> list[float]:
    """Ours over a peer's mean regret, the geometric mean over the functions, with its 95 % interval.

    Args:
        regrets: function → search → (S,): of each seed.
    """
    rng = numpy_rng(0, "bootstrap")
    measured, drawn = 0.0, np.zeros(RESAMPLES)
    for of in regrets.values():
        measured += np.log(of["ours"].mean() / of[peer].mean())
        seeds = rng.integers(len(of[peer]), size=(RESAMPLES, len(of[peer])))
        drawn += np.log(of["ours"][seeds].mean(axis=1) / of[peer][seeds].mean(axis=1))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return [round(float(np.exp(value / len(regrets))), 3) for value in (measured, low, high)]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, help="a function and search (default: 200; quick: 40)")
    arguments.add_argument("--drive", nargs=3, metavar=("FUNCTION", "SEED", "OUT"), help="one search on Ray")
    options = arguments.parse_args()
    if options.drive:
        drive(*options.drive)
        return
    engine = []
    with scratch() as folder:
        for seed, name in enumerate(["mixed"] if options.quick else PROBLEMS):
            (home := folder / name).mkdir()
            engine.append(through_engine(home, name, seed))
            print(name, engine[-1], file=sys.stderr)
    regrets = {}
    for name, problem in PROBLEMS.items():
        seeds = range(options.seeds or (40 if options.quick else 200))
        regrets[name] = {
            kind: np.array([search(problem, seed) for seed in seeds]) for kind, search in SEARCHES.items()
        }
    emit(
        {
            "engine": {key: sum(each[key] for each in engine) for key in engine[0]},
            **{f"vs_{peer}": ratio(regrets, peer) for peer in SEARCHES if peer != "ours"},
            "seeds": len(seeds),
            "functions": {
                name: {kind: float(values.mean()) for kind, values in of.items()}
                for name, of in regrets.items()
            },
        }
    )


if __name__ == "__main__":
    main()

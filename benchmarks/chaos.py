"""Kills a sweep of 40 trials at random, again and again, and compares what is left with an undisturbed one.

    python benchmarks/chaos.py --seeds 5           # about 30 minutes on 2 cores; --quick: one seed, 6
    python benchmarks/chaos.py --seed 3            # one run, with the kills that 3 draws

Seed by seed it takes turns: a study of 8 arms × 5 seeds; a search of 24 trials with early stopping, and the
confirmation and ablation that follow it; the same two with two workers a trial. Each is run undisturbed
first. Then the same command is started again and again until it says that it is done, while a generator
chooses when to kill what: the driver (-9, Ctrl-C, SIGTERM), the actor of a trial, a worker of a group, the
raylet, which is a node of the cluster. Whenever the driver is down, some of what it left on the disk is
damaged: a checkpoint, a trial's part file or Optuna's journal cut in half, a half-written part left aside.
A gate keeps the sweep from outrunning a kill that is due: it goes on by at most three trials meanwhile.

Prints one JSON object, and exits with 0 only if, in every run, the same trials are there, each once, all of
their columns but times and host, all epochs, all predictions and Optuna's storage are the same to the last
bit, every kill has struck, nothing runs any more, and no checkpoint is left.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from actrec.data import synthetic
from actrec.engine.search import STORAGE
from actrec.files import ASIDE
from actrec.results.ledger import Ledger
from actrec.seeding import numpy_rng
from benchmarks.chaos_study import SIDE_BY_SIDE, compare, drive
from benchmarks.common import emit, parser, scratch
from benchmarks.driven import Home, wait
from benchmarks.gate import Gate

SCENES = (("study", 1), ("search", 1), ("study", 2), ("search", 2))  # what is run, with how many workers
KILLS = 12
TITLES = {"actor": "ray::ResourceTrainable", "worker": "ray::RayTrainWorker", "raylet": "/raylet"}
SIGNALS = {"driver": signal.SIGKILL, "interrupt": signal.SIGINT, "terminate": signal.SIGTERM}
HANGS_S = 300.0  # without a further trial
LEFT_S = 60.0
AHEAD = 2  # trials that may end while a kill is due, and one that was in its last epoch then
# What must be 0.
WRONG = (
    *("lost", "added", "duplicated", "differing", "storage_differing"),
    *("hung", "unfinished", "kills_left", "left_running", "left_behind"),
)


@dataclass(frozen=True)
class Kill:
    """``kind`` is killed ``delay`` seconds after ``after`` trials have ended; ``pick`` in [0, 1) chooses
    among several."""

    kind: str
    after: int
    delay: float
    pick: float


@dataclass
class Story:
    """What happened to a run."""

    launches: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    damaged: Counter[str] = field(default_factory=Counter)
    hung: int = 0
    kills_left: int = 0
    unfinished: int = 1


def kills(seed: int, workers: int, trials: int) -> list[Kill]:
    """Every kind at least once, no two between the same two trials."""
    rng = numpy_rng(seed, "chaos")
    kinds = ["driver", "interrupt", "terminate", "actor", "raylet", *(["worker"] if workers > 1 else [])]
    drawn = [*kinds, *rng.choice(kinds, KILLS - len(kinds))]
    last = trials - AHEAD - SIDE_BY_SIDE
    after = [0, *sorted(rng.choice(np.arange(1, last), KILLS - 1, replace=False).tolist())]
    order = rng.permutation(drawn).tolist()
    # The first within the start, however long that takes; the others in a trial, between two, or at the gate.
    delays = [rng.uniform(0, 15), *rng.uniform(0, 2, KILLS - 1).tolist()]
    return [Kill(*each, rng.uniform()) for each in zip(order, after, delays, strict=True)]


def run(home: Home, command: Sequence[str], out: Path, plan: Sequence[Kill], seed: int) -> Story:
    """Starts ``command`` until it says that it is done, and kills and damages meanwhile."""
    story, queue, rng = Story(), list(plan), numpy_rng(seed, "damage")
    _let_on(home.gate, out, queue)
    while story.launches < 2 * len(plan) + 5:
        driver = home.start(command)
        story.launches += 1
        seen, since = -1, time.monotonic()
        while driver.poll() is None:
            time.sleep(0.1)
            ended = len(Ledger(out).done())
            if ended != seen:
                seen, since = ended, time.monotonic()
            if queue and ended >= queue[0].after and _strike(home, driver, queue[0]):
                story.kills[queue.pop(0).kind] += 1
                _let_on(home.gate, out, queue)
            if time.monotonic() - since > HANGS_S and driver.poll() is None:
                story.hung += 1
                driver.kill()
        if driver.returncode == 0:
            story.unfinished = 0
            break
        story.damaged.update(_damage(out, rng))
    story.kills_left = len(queue)
    return story


def _let_on(gate: Gate, out: Path, queue: Sequence[Kill]) -> None:
    """Lets the sweep go on until the next kill is due, and a little further; to its end after the last."""
    if queue:
        gate.close(out, queue[0].after + AHEAD)
    else:
        gate.open()


def _strike(home: Home, driver: subprocess.Popen[bytes], kill: Kill) -> bool:
    """Whether there was something to kill, its delay later."""
    if wait(lambda: driver.poll() is not None, kill.delay):
        return False
    if kill.kind in SIGNALS:
        driver.send_signal(SIGNALS[kill.kind])
        wait(lambda: driver.poll() is not None, LEFT_S)
        return True
    with suppress(psutil.NoSuchProcess, IndexError):
        # Not what an earlier, killed driver has left.
        ours = {process.pid for process in psutil.Process(driver.pid).children(recursive=True)}
        found = [process for process in home.processes(TITLES[kill.kind]) if process.pid in ours]
        found[int(kill.pick * len(found))].kill()
        return True
    return False


def _damage(out: Path, rng: np.random.Generator) -> list[str]:
    """Damages some of what a driver has left, at most one thing of a kind; returns of which kinds."""
    parts = sorted(path for path in (out / "parts").glob("*") if not path.name.startswith(ASIDE))
    checkpoints = sorted((out / "checkpoints").glob("*/epoch-*/tensors.safetensors"))
    there = {"checkpoint": checkpoints, "part": parts, "aside": parts, "journal": sorted(out.glob(STORAGE))}
    damaged = [kind for kind, paths in there.items() if paths and rng.uniform() < 0.7]
    for kind in damaged:
        path = there[kind][int(rng.integers(len(there[kind])))]
        half = path.read_bytes()[: path.stat().st_size // 2]
        (path.with_name(f"{ASIDE}{path.name}-torn") if kind == "aside" else path).write_bytes(half)
    return damaged


def scene(folder: Path, data: Path, kind: str, workers: int, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The runs of one kind of sweep: undisturbed, then once for each seed."""
    home = Home(folder)

    def command(out: Path) -> list[str]:
        return [sys.executable, __file__, "--drive", kind, str(workers), str(data), str(out)]

    rows = []
    try:
        begun = time.monotonic()
        assert run(home, command(folder / "whole"), folder / "whole", (), 0).launches == 1
        seconds = {"undisturbed_s": round(time.monotonic() - begun, 1)}
        expected = len(Ledger(folder / "whole").done())
        for seed in seeds:
            out, begun = folder / f"seed{seed}", time.monotonic()
            story = run(home, command(out), out, kills(seed, workers, expected), seed)
            seconds["seconds"] = round(time.monotonic() - begun, 1)
            left = home.left(LEFT_S)
            found = compare(folder / "whole", out)
            rows.append(
                {
                    "seed": seed,
                    "kind": kind,
                    "workers": workers,
                    **found,
                    **vars(story),
                    "left_running": len(left),
                    "left_behind": len([*out.glob("checkpoints/*"), *out.glob("**/.aside-*")]),
                    **seconds,
                }
            )
            print(rows[-1], *left, file=sys.stderr, flush=True)
    finally:
        home.clear()
        print(home.log.read_text(), file=sys.stderr)
    return rows


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--seed", type=int, help="of a single run")
    arguments.add_argument("--seeds", type=int, help="runs, with seeds from 0 on (default: 5; quick: 1)")
    arguments.add_argument("--kind", choices=("study", "search"), help="runs of this kind alone")
    arguments.add_argument("--workers", type=int, help="runs with so many workers a trial alone")
    arguments.add_argument(
        "--drive", nargs=4, metavar=("KIND", "WORKERS", "DATA", "OUT"), help="what is killed"
    )
    options = arguments.parse_args()
    if options.drive:
        return drive(*options.drive)
    count = options.seeds or (1 if options.quick else 5)
    seeds = range(count) if options.seed is None else [options.seed]
    scenes = [
        (kind, workers)
        for kind, workers in SCENES
        if options.kind in (None, kind) and options.workers in (None, workers)
    ]
    with scratch() as folder:
        data = synthetic.build(folder / "videos", videos=48, size=32, frames=(6, 10))
        rows = []
        for number, (kind, workers) in enumerate(scenes):
            own = [seed for seed in seeds if seed % len(scenes) == number]
            if own:
                (home := folder / f"{kind}{workers}").mkdir()
                rows += scene(home, data, kind, workers, own)
    totals = {key: sum(row[key] for row in rows) for key in WRONG}
    struck = sum((Counter(row["kills"]) for row in rows), Counter[str]())
    damaged = sum((Counter(row["damaged"]) for row in rows), Counter[str]())
    emit({**totals, "kills": dict(struck), "damaged": dict(damaged), "runs": rows})
    return int(any(totals.values()))


if __name__ == "__main__":
    sys.exit(main())

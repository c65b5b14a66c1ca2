"""A small study whose workers hang inside a batch, as a process of its own.

``python hanging.py '{"path": MANIFEST, "out": DIR, "workers": 1, "stall_s": 20, "hangs": {"1": ["spin"]}}'``:
the first attempt at the trial of seed 1 spins, its second goes well. Prints, as JSON, what came of the study
and which of the processes that hung are still there after it, with Ray still running. With ``die_between`` an
actor kills itself once, between two trials.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import ray

from actrec.data.manifest import Manifest
from actrec.engine.progress import Display
from actrec.engine.run import RunOptions, run_study, with_data
from actrec.engine.trainable import WarmTrial
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.factors import Study
from actrec.training.batch import Batch
from actrec.training.task import TrainStats
from actrec.training.trial import TrialRun

LEFT_S = 60.0


def spin() -> None:
    """Takes a whole core, as a loop that never ends does."""
    while True:
        pass


def hold() -> None:
    """Waits in C with Python's lock held: nothing else of Python's runs in the process."""
    ctypes.PyDLL(None).sleep(100_000)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


HOW: dict[str, Callable[[], None]] = {"spin": spin, "hold": hold}
Hangs = dict[str, list[str]]  # seed → how each attempt at its trial hangs; later ones do not


def do_harm(notes: Path, hangs: Hangs, die_between: bool) -> None:
    """Makes this process one whose training hangs; each hang leaves a file ``<seed>-<process id>``."""
    plain, reset = TrialRun.train_epoch, WarmTrial.reset_config

    def stuck(run: TrialRun, batches: Iterable[Batch]) -> Iterator[Batch]:
        for number, batch in enumerate(batches):
            attempts = hangs.get(str(run.spec.seed), [])[len(list(notes.glob(f"{run.spec.seed}-*"))) :]
            if attempts and (run.epoch, number, run.rank) == (1, 1, 0):
                (notes / f"{run.spec.seed}-{os.getpid()}").touch()
                HOW[attempts[0]]()
            yield batch

    def train_epoch(run: TrialRun, batches: Iterable[Batch], *, steps: int) -> TrainStats:
        return plain(run, stuck(run, batches), steps=steps)

    def reset_config(trial: WarmTrial, new_config: dict[str, Any]) -> bool:
        if die_between and not list(notes.iterdir()):
            (notes / f"between-{os.getpid()}").touch()
            die()
        return reset(trial, new_config)

    TrialRun.train_epoch = train_epoch  # type: ignore[assignment, method-assign]
    WarmTrial.reset_config = reset_config  # type: ignore[assignment, method-assign]


def main(
    path: str, out: str, workers: int, stall_s: float, hangs: Hangs, die_between: bool = False
) -> dict[str, object]:
    folder = Path(out)
    notes = folder.parent / "hung"
    notes.mkdir()
    manifest = Manifest.read(path)
    spec = TrialSpec(
        clip=ClipSpec(sampling="uniform", num_frames=4, height=16, width=16),
        model=ModelSpec(name="frame_transformer", width=16, layers=1, attention_heads=2),
        optim=OptimSpec(epochs=3, batch_size=8),
    )
    study = Study(name="hanging", base=spec, factors=(), seeds=tuple(map(int, hangs)), placebo=False)
    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": lambda: do_harm(notes, hangs, die_between)},
    )
    options = RunOptions(out=folder, workers=workers, stall_s=stall_s, max_failures=1, checkpoint_s=0.0)
    outcome = run_study(with_data(study, path, manifest), manifest, options, Display())
    hung = [path.name.split("-") for path in sorted(notes.iterdir())]
    until = time.monotonic() + LEFT_S
    while (left := [pid for _, pid in hung if psutil.pid_exists(int(pid))]) and time.monotonic() < until:
        time.sleep(0.1)
    seeds = [seed for seed, _ in hung]
    return {"ok": outcome.ok, "failed": outcome.failed, "hung": seeds, "left": left}


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))

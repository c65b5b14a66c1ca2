"""What a whole study costs: actrec, the Ray pattern, Optuna with a DataLoader, and the arithmetic alone.

    python benchmarks/sweep.py                     # about 9 minutes on 2 cores; --quick: 5

The study is the default one, 13 arms × 5 seeds of `experiments/ablate_regularization.py`, on the built-in
videos. The same trials are run in four ways:

- **actrec**: the command itself, in a process of its own, with an empty clip cache: all of it.
- **Ray's documented pattern**: a Tune function that calls ``TorchTrainer(...).fit()`` on Ray datasets. In
  its favour the videos are decoded once for all trials, trials run side by side, and Ray is given twice the
  CPUs that there are, so that nothing waits for a place.
- **Optuna** with a torch DataLoader: ``study.optimize`` over the same trials in one process, decord decoding
  in as many workers as cores, every epoch anew.
- **bare loops**: the limit. As many processes as cores, all clips in the memory of each, no engine.

Of the second and third a few trials are run; a straight line through them gives the whole study.

Prints one JSON object. ``vs_ray_pattern`` and ``vs_optuna_dataloader``: how many times longer they take for
the whole study, actrec's start-up, decoding and report counted. ``startup_s``: from actrec's start to its
first trial's, of which ``decode_s`` is decoding. ``of_limit``: the bare loops' time over actrec's from its
first trial's start to its last one's end; ``of_limit_with_startup``: over all of it.
``max_difference_top1``: the largest difference of a trial's test top-1 between actrec and the bare loops,
0 but for trials on shared features.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actrec.data import synthetic
from actrec.data.manifest import Manifest
from actrec.engine.cache import clip_keys, videos_of
from actrec.engine.cluster import connect
from actrec.engine.run import BUILTIN, with_data
from actrec.results.ledger import Ledger
from actrec.spec import TrialSpec
from actrec.study.plan import plan
from actrec.training.task import Task
from benchmarks import peers, ray_pattern
from benchmarks.common import CORES, emit, parser, scratch
from experiments.ablate_regularization import study

ROOT = Path(__file__).resolve().parents[1]
Named = tuple[str, TrialSpec]


@dataclass(frozen=True)
class Command:
    """How actrec's own command went, in seconds.

    Attributes:
        total_s: of the whole process.
        startup_s: until the first trial started.
        decode_s: of that.
        trials_s: from there until the last trial ended.
        top1: of the test videos, by trial id.
    """

    total_s: float
    startup_s: float
    decode_s: float
    trials_s: float
    top1: dict[str, float]


def command(out: Path, seeds: int) -> Command:
    """Runs the study as a user does."""
    script = ROOT / "experiments" / "ablate_regularization.py"
    words = [sys.executable, str(script), "--address", "local", "--out", str(out), "--seeds", str(seeds)]
    began, times = time.time(), {}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        for line in process.stderr:
            for word in ("Ray: ", "videos ready: "):
                if word in line:
                    times[word] = time.time()
            print(line, end="", file=sys.stderr)
    total = time.time() - began
    assert process.returncode == 0, f"{' '.join(words)} failed"
    rows = Ledger(out).read("trials", columns=["trial_id", "started", "ended", "test_top1"]).to_pylist()
    started = min(row["started"] for row in rows).timestamp()
    return Command(
        total_s=total,
        startup_s=started - began,
        decode_s=times["videos ready: "] - times["Ray: "],
        trials_s=max(row["ended"] for row in rows).timestamp() - started,
        top1={row["trial_id"]: row["test_top1"] for row in rows},
    )


def some(trials: Sequence[Named], count: int) -> list[Named]:
    """So many of them, spread over the list, for arms differ in what they cost."""
    return [trials[place] for place in np.linspace(0, len(trials) - 1, count).round().astype(int)]


def difference(one: dict[str, float], other: dict[str, float]) -> float:
    """The largest difference between trials that both have."""
    return max(abs(one[name] - other[name]) for name in one.keys() & other.keys())


def measure(folder: Path, seeds: int, few: int) -> dict[str, Any]:
    """All figures; ``few`` trials of the Ray pattern and of Optuna."""
    path = synthetic.build()
    manifest = Manifest.read(path)
    made = with_data(dataclasses.replace(study(), seeds=tuple(range(seeds))), BUILTIN, manifest)
    planned = plan(made)
    trials = [(trial.trial_id, trial.spec) for trial in planned]
    videos = videos_of(manifest)
    names = manifest.class_names
    counts = np.bincount([video.label for video in videos if video.split == "train"], minlength=len(names))
    task = Task(names, tuple(counts.tolist()))

    ours = command(folder / "out", seeds)
    key = clip_keys(manifest, [planned[0].spec], folder / "cache")[0]
    limit = peers.bare(trials, key.folder, names, CORES, threads=1)
    optuna = peers.with_optuna(some(trials, few), videos, task, CORES)
    with connect("local", num_cpus=2 * CORES + 2):
        pattern = ray_pattern.run(some(trials, max(few, 2 * CORES)), videos, task, folder / "ray", CORES)

    of_all = {"ray_pattern": pattern, "optuna_dataloader": optuna}
    return {
        "trials": len(trials),
        **{f"vs_{name}": ran.seconds(len(trials)) / ours.total_s for name, ran in of_all.items()},
        "of_limit": limit.seconds(len(trials)) / ours.trials_s,
        "of_limit_with_startup": limit.seconds(len(trials)) / ours.total_s,
        "startup_s": ours.startup_s,
        "decode_s": ours.decode_s,
        "trials_s": ours.trials_s,
        "total_s": ours.total_s,
        "limit_s": limit.seconds(len(trials)),
        **{f"{name}_trial_s": ran.trial_s for name, ran in of_all.items()},
        **{f"{name}_startup_s": ran.startup_s for name, ran in of_all.items()},
        **{f"{name}_trials_run": len(ran.top1) for name, ran in of_all.items()},
        "max_difference_top1": difference(ours.top1, limit.top1),
        **{f"max_difference_top1_{name}": difference(ours.top1, ran.top1) for name, ran in of_all.items()},
    }


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, help="of the study (default: 5; quick: 1)")
    arguments.add_argument("--few", type=int, help="trials of the two peers (default: 6; quick: 3)")
    options = arguments.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with scratch() as folder:
        emit(
            measure(
                folder,
                options.seeds or (1 if options.quick else 5),
                options.few or (3 if options.quick else 6),
            )
        )


if __name__ == "__main__":
    main()

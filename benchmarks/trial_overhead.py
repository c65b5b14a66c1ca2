"""What a trial costs before it does any work: ours against the pattern that Ray documents, in one run.

    python benchmarks/trial_overhead.py            # about 4 minutes on 2 cores

Each trial trains one epoch of a tiny model on the same few small clips. Ours: one study, trials one after
another on warm workers, with 1 and with 2 of them. Ray's: a Tune function that calls
``TorchTrainer(...).fit()`` on a Ray dataset, decoded before. A trial's cost is the mean time between the ends
of two trials, without the cold start.

Prints one JSON object: ``warm_s`` (1 worker), ``warm_2_workers_s``, ``ray_pattern_s``, ``ratio`` (of the last
to the first), and the machine.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from actrec.data import synthetic
from actrec.data.manifest import Manifest
from actrec.engine.cache import videos_of
from actrec.engine.cluster import connect
from actrec.engine.progress import Display
from actrec.engine.run import RunOptions, run_study, with_data
from actrec.models.zoo import resolve
from actrec.results.ledger import Ledger
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec, override
from actrec.study.factors import Study
from actrec.training.task import Task
from benchmarks import ray_pattern
from benchmarks.common import CORES, emit, parser, per_trial, scratch

SPEC = TrialSpec(
    clip=ClipSpec(sampling="uniform", num_frames=2, height=8, width=8),
    model=ModelSpec(name="frame_transformer", width=16, layers=1, attention_heads=2),
    optim=OptimSpec(epochs=1, batch_size=64),
)


def ours(manifest: Path, scratch: Path, trials: int, workers: int) -> list[float]:
    """When each trial ended, in seconds since the epoch."""
    study = Study(name="overhead", base=SPEC, factors=(), seeds=tuple(range(trials)), placebo=False)
    found = Manifest.read(manifest)
    out = scratch / f"workers-{workers}"
    options = RunOptions(out=out, workers=workers, max_concurrent=1)
    outcome = run_study(with_data(study, str(manifest), found), found, options, Display())
    assert outcome.ok == trials, f"{outcome.failed} trials failed"
    return sorted(row["ended"].timestamp() for row in Ledger(out).read("trials").to_pylist())


def documented(manifest: Manifest, scratch: Path, trials: int) -> float:
    """Seconds that a trial of Ray's documented pattern takes, on clips that are decoded already."""
    videos = videos_of(manifest)
    counts = Counter(video.label for video in videos if video.split == "train")
    names = manifest.class_names
    task = Task(names, tuple(counts[label] for label in range(len(names))))
    spec = override(SPEC, {"model": resolve(SPEC.model)})
    seeds = [(f"seed-{seed}", override(spec, {"seed": seed})) for seed in range(trials)]
    return ray_pattern.run(seeds, videos, task, scratch / "pattern", 1).trial_s


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--trials", type=int, default=12, help="of ours, for each number of workers")
    arguments.add_argument("--ray-trials", type=int, help="of Ray's pattern (default: 4; quick: 3)")
    options = arguments.parse_args()
    ray_trials = options.ray_trials or (3 if options.quick else 4)
    with scratch() as folder:
        manifest = synthetic.build(folder / "videos", videos=48, size=32, frames=(6, 10))
        with connect("local", num_cpus=max(2, CORES)):
            one = ours(manifest, folder, options.trials, 1)
            two = ours(manifest, folder, options.trials, 2)
            pattern = documented(Manifest.read(manifest), folder, ray_trials)
    warm = per_trial(one, 1)
    emit(
        {
            "warm_s": warm,
            "warm_2_workers_s": per_trial(two, 1),
            "ray_pattern_s": pattern,
            "ratio": pattern / warm,
            "trials": {"ours": options.trials, "ray_pattern": ray_trials},
        }
    )


if __name__ == "__main__":
    main()

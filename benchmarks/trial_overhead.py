"""What a trial costs before it does any work: ours against the pattern that Ray documents, in one run.

    python benchmarks/trial_overhead.py            # about 4 minutes on 2 cores

Each trial trains one epoch of a tiny model on the same few small clips. Ours: one study, trials one after
another on warm workers, with 1 and with 2 of them. Ray's: a Tune function that calls
``TorchTrainer(...).fit()`` on a Ray dataset. A trial's cost is the mean time between the ends of two trials,
without the cold start.

Prints one JSON object: ``warm_s`` (1 worker), ``warm_2_workers_s``, ``ray_pattern_s``, ``ratio`` (of the last
to the first), and the machine.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ray
import ray.data
import ray.train
import torch
from ray import tune
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from actrec.data import synthetic
from actrec.data.clipset import Video, decode_video
from actrec.data.manifest import Manifest
from actrec.engine.cache import videos_of
from actrec.engine.cluster import connect
from actrec.engine.progress import Display
from actrec.engine.run import RunOptions, run_study, with_data
from actrec.models.zoo import build, resolve
from actrec.results.ledger import Ledger
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.factors import Study
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


def ray_pattern(videos: list[Video], scratch: Path, trials: int) -> list[float]:
    """The same for Ray's documented pattern."""

    def decode_row(row: dict[str, Any]) -> dict[str, Any]:
        video: Video = row["video"]
        return {"clip": decode_video(video, SPEC.clip)[0], "label": video.label}

    def train_loop(config: dict[str, Any]) -> None:
        model = build(resolve(SPEC.model), num_classes=10, num_frames=SPEC.clip.num_frames)
        model = ray.train.torch.prepare_model(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"])
        shard = ray.train.get_dataset_shard("train")
        loss = torch.zeros(())
        for batch in shard.iter_torch_batches(batch_size=SPEC.optim.batch_size):
            clips = batch["clip"].permute(0, 4, 1, 2, 3).float() / 255
            loss = torch.nn.functional.cross_entropy(model(clips), batch["label"])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        ray.train.report({"loss": loss.item()})

    def trial(config: dict[str, Any]) -> None:
        TorchTrainer(
            train_loop,
            train_loop_config=config,
            scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 0.5}),
            datasets={"train": ray.data.from_items([{"video": video} for video in videos]).map(decode_row)},
            run_config=ray.train.RunConfig(
                name=f"pattern-{config['lr']}",
                storage_path=str(scratch),
                callbacks=[TuneReportCallback()],  # type: ignore[no-untyped-call, list-item]
            ),
        ).fit()

    ends: list[float] = []

    class Clock(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            ends.append(time.time())

    tune.Tuner(
        tune.with_resources(trial, {"cpu": 0.3}),
        param_space={"lr": tune.grid_search([1e-3 * (1 + number) for number in range(trials)])},
        tune_config=tune.TuneConfig(max_concurrent_trials=1),
        run_config=tune.RunConfig(storage_path=str(scratch), verbose=0, callbacks=[Clock()]),
    ).fit()
    assert len(ends) == trials, f"{trials - len(ends)} of Ray's trials failed"
    return ends


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
            videos = [video for video in videos_of(Manifest.read(manifest)) if video.split == "train"]
            pattern = ray_pattern(videos, folder, ray_trials)
    warm, documented = per_trial(one, 1), per_trial(pattern, 1)
    emit(
        {
            "warm_s": warm,
            "warm_2_workers_s": per_trial(two, 1),
            "ray_pattern_s": documented,
            "ratio": documented / warm,
            "trials": {"ours": options.trials, "ray_pattern": ray_trials},
        }
    )


if __name__ == "__main__":
    main()

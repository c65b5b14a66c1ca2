"""Trials in the pattern that Ray documents: a Tune function → ``TorchTrainer(...).fit()`` → Ray Data."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray.data
import ray.train
import torch
from ray import tune
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from actrec.data.video_clips import Video, decode_video
from actrec.spec import TrialSpec
from actrec.training.batch import Batch
from actrec.training.task import Task
from benchmarks.common import per_trial
from benchmarks.peers import Ran, batch_of, run_trial

SPLITS = ("train", "val", "test")


def run(
    trials: Sequence[tuple[str, TrialSpec]],
    videos: Sequence[Video],
    task: Task,
    storage: Path,
    side_by_side: int,
) -> Ran:
    """The trials, so many side by side; Ray is connected. All of them read videos in the same way."""
    specs = dict(trials)
    clip = trials[0][1].clip

    def decode_row(row: dict[str, Any]) -> dict[str, Any]:
        video = videos[row["video"]]
        return {"clip": decode_video(video, clip)[0], "label": video.label, "video": row["video"]}

    start = time.perf_counter()
    data = {
        split: ray.data.from_items([{"video": n} for n, video in enumerate(videos) if video.split == split])
        .map(decode_row)
        .materialize()
        for split in SPLITS
    }

    def train_loop(config: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        spec = specs[config["trial"]]
        size = spec.optim.batch_size

        def batches(split: str, **shuffle: Any) -> Iterator[Batch]:
            shard = ray.train.get_dataset_shard(split)
            for rows in shard.iter_torch_batches(batch_size=size, **shuffle):
                yield batch_of(rows["clip"], rows["label"], rows["video"].tolist())

        def train(epoch: int) -> Iterator[Batch]:
            return batches("train", local_shuffle_buffer_size=8 * size, local_shuffle_seed=epoch)

        steps = -(-sum(video.split == "train" for video in videos) // size)
        top1 = run_trial(spec, task, train, steps, batches)
        ray.train.report({"top1": top1, "trial": config["trial"]})

    def trial(config: dict[str, Any], data: Mapping[str, ray.data.Dataset]) -> None:
        TorchTrainer(
            train_loop,
            train_loop_config=config,
            scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 0.5}),
            datasets=dict(data),
            run_config=ray.train.RunConfig(
                name=f"pattern-{config['trial']}",
                storage_path=str(storage),
                callbacks=[TuneReportCallback()],  # type: ignore[no-untyped-call, list-item]
            ),
        ).fit()

    ends: list[float] = []
    top1: dict[str, float] = {}

    class Clock(tune.Callback):
        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            top1[result["config"]["trial"]] = result["top1"]

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            ends.append(time.perf_counter())

    tune.Tuner(
        tune.with_resources(tune.with_parameters(trial, data=data), {"cpu": 0.3}),
        param_space={"trial": tune.grid_search(list(specs))},
        tune_config=tune.TuneConfig(max_concurrent_trials=side_by_side),
        run_config=tune.RunConfig(storage_path=str(storage), verbose=0, callbacks=[Clock()]),
    ).fit()
    assert len(ends) == len(specs), f"{len(specs) - len(ends)} of the Ray pattern's trials failed"
    each = per_trial(ends, side_by_side)
    return Ran(max(ends) - start - len(specs) * each, each, top1)

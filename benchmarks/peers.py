"""The same trials as others would run them: Ray's documented pattern, Optuna with a DataLoader, bare loops.

All of them train with the same :class:`~actrec.training.trial.TrialRun`; they differ in what starts a trial
and in where its clips come from.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from torch.utils.data import DataLoader, Dataset

from actrec.data.clipset import ClipSet
from actrec.data.decode import resize
from actrec.data.video_clips import UInt8, Video, frames_of
from actrec.seeding import derive, numpy_rng
from actrec.spec import ClipSpec, TrialSpec
from actrec.training.batch import Batch
from actrec.training.feed import eval_items, task_of, train_items
from actrec.training.task import Task
from actrec.training.trial import TrialRun

TrainBatches = Callable[[int], Iterable[Batch]]  # epoch → its batches
SplitBatches = Callable[[str], Iterable[Batch]]


@dataclass(frozen=True)
class Ran:
    """How some trials went.

    Attributes:
        startup_s: until the first trial could begin.
        trial_s: seconds that each further trial takes.
        top1: of the test videos, by trial id.
    """

    startup_s: float
    trial_s: float
    top1: dict[str, float]

    def seconds(self, trials: int) -> float:
        """For so many trials, by a straight line through those that ran."""
        return self.startup_s + trials * self.trial_s


def run_trial(spec: TrialSpec, task: Task, train: TrainBatches, steps: int, split: SplitBatches) -> float:
    """Trains, validates each epoch, and tests; returns the test top-1."""
    run = TrialRun(spec, task)
    while not run.finished:
        run.train_epoch(train(run.epoch), steps=steps)
        run.finish_epoch(run.evaluate(split("val")))
    run.restore_best()
    return run.evaluate(split("test")).metrics()["top1"]


def batch_of(clips: torch.Tensor, labels: torch.Tensor, videos: Sequence[int]) -> Batch:
    """A batch of whole videos, named by their numbers."""
    return Batch(
        clips, labels, [f"{video:06}" for video in videos], torch.ones(len(videos), dtype=torch.bool)
    )


# -- plain Optuna over a torch DataLoader --------------------------------------------------------------------


def read_with_decord(video: Video, clip: ClipSpec) -> UInt8:
    """The usual few lines: one clip, uint8 (T, H, W, 3)."""
    import decord

    frames = decord.VideoReader(video.path, num_threads=1).get_batch(frames_of(video, clip)[0]).asnumpy()
    return np.stack([resize(frame, (clip.height, clip.width)) for frame in frames])


@dataclass(frozen=True)
class Videos(Dataset[tuple[torch.Tensor, int, int]]):
    """Videos that are decoded when they are asked for: (clip, label, number)."""

    videos: Sequence[Video]
    clip: ClipSpec
    read: Callable[[Video, ClipSpec], UInt8] = read_with_decord

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int, int]:
        video = self.videos[number]
        return torch.from_numpy(self.read(video, self.clip)), video.label, number


def loader(videos: Videos, batch: int, workers: int, shuffle: int | None = None) -> DataLoader[Any]:
    """Workers stay up from epoch to epoch; ``shuffle`` is a seed."""
    return DataLoader(
        videos,
        batch_size=batch,
        shuffle=shuffle is not None,
        generator=None if shuffle is None else torch.Generator().manual_seed(shuffle),
        num_workers=workers,
        persistent_workers=True,
    )


def with_optuna(
    trials: Sequence[tuple[str, TrialSpec]], videos: Sequence[Video], task: Task, workers: int
) -> Ran:
    """One trial after another, each with its own loaders, decoding every epoch in ``workers`` processes."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    specs, ends, top1 = dict(trials), [time.perf_counter()], {}

    def objective(trial: optuna.Trial) -> float:
        name = trial.suggest_categorical("trial", list(specs))
        spec = specs[name]
        loaders = {
            split: loader(
                Videos([video for video in videos if video.split == split], spec.clip),
                spec.optim.batch_size,
                workers,
                shuffle=derive(spec.seed, "order") if split == "train" else None,
            )
            for split in ("train", "val", "test")
        }

        def batches(split: str) -> Iterator[Batch]:
            for clips, labels, numbers in loaders[split]:
                yield batch_of(clips, labels, numbers.tolist())

        top1[name] = run_trial(spec, task, lambda _: batches("train"), len(loaders["train"]), batches)
        ends.append(time.perf_counter())
        return top1[name]

    study = optuna.create_study(direction="maximize")
    for name in specs:
        study.enqueue_trial({"trial": name})
    study.optimize(objective, n_trials=len(specs))
    return Ran(0.0, (ends[-1] - ends[0]) / len(specs), top1)


# -- bare loops over tensors in memory -----------------------------------------------------------------------


def bare(
    trials: Sequence[tuple[str, TrialSpec]],
    clips: Path,
    class_names: tuple[str, ...],
    processes: int,
    threads: int,
) -> Ran:
    """Each process has all clips in its memory, and runs nothing but the loops of one trial after another."""
    context = multiprocessing.get_context("spawn")
    waiting: Queue[Any] = context.Queue()
    found: Queue[tuple[str, float]] = context.Queue()
    ready = context.Barrier(processes + 1)
    for trial in [*trials, *[None] * processes]:
        waiting.put(trial)
    crew = [
        context.Process(target=_bare_process, args=(waiting, found, ready, clips, class_names, threads))
        for _ in range(processes)
    ]
    for process in crew:
        process.start()
    ready.wait()
    start = time.perf_counter()
    top1 = dict(found.get() for _ in trials)
    seconds = time.perf_counter() - start
    for process in crew:
        process.join()
    return Ran(0.0, seconds / len(trials), top1)


def _bare_process(
    waiting: Queue[Any],
    found: Queue[tuple[str, float]],
    ready: Barrier,
    folder: Path,
    class_names: tuple[str, ...],
    threads: int,
) -> None:
    torch.set_num_threads(threads)
    clips = ClipSet.open(folder)
    pixels = torch.from_numpy(clips.gather(np.arange(clips.count.sum())))
    task = task_of(clips, class_names)

    def batch(owners: np.ndarray, rows: np.ndarray) -> Batch:
        return Batch(
            pixels[rows],
            torch.from_numpy(clips.labels[owners]),
            [clips.video_ids[owner] for owner in owners],
            torch.ones(len(rows), dtype=torch.bool),
        )

    def cut(owners: np.ndarray, rows: np.ndarray, size: int) -> Iterator[Batch]:
        for first in range(0, len(rows), size):
            yield batch(owners[first : first + size], rows[first : first + size])

    def run(spec: TrialSpec) -> float:
        size = spec.optim.batch_size

        def train(epoch: int) -> Iterator[Batch]:
            owners, rows = train_items(clips, epoch)
            order = numpy_rng(spec.seed, "order", epoch).permutation(len(rows))
            return cut(owners[order], rows[order], size)

        steps = -(-len(train_items(clips, 0)[1]) // size)
        return run_trial(
            spec, task, train, steps, lambda split: cut(*eval_items(clips, clips.videos(split)), size)
        )

    ready.wait()
    while (trial := waiting.get()) is not None:
        name, spec = trial
        found.put((name, run(spec)))

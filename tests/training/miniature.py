"""A trial small enough for a unit test: 21 clips of 4×16×16, each class brighter than the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from actrec.spec import TrialSpec, override
from actrec.training.batch import Batch
from actrec.training.task import Task
from actrec.training.trial import TrialRun

CLASSES, CLIPS, BATCH = 3, 21, 10  # the last batch is one clip: with two workers, one has padding alone
TASK = Task(("dark", "grey", "bright"), (12, 6, 3))
LABELS = np.repeat(np.arange(CLASSES), TASK.train_counts)


def spec(changes: Mapping[str, Any] | None = None) -> TrialSpec:
    """Two epochs of three steps, the last of them uneven."""
    small = {
        "clip.num_frames": 4,
        "model.width": 16,
        "optim.epochs": 2,
        "optim.batch_size": BATCH,
        "optim.lr": 3e-3,
    }
    return override(TrialSpec(), {**small, **(changes or {})})


def batches(epoch: int = 0, *, rank: int = 0, world_size: int = 1, seed: int = 0) -> list[Batch]:
    """One worker's parts of an epoch's batches, in an order that the epoch decides; cut in turns, padded."""
    rng = np.random.default_rng(seed)
    clips = rng.normal(60 + 60 * LABELS[:, None, None, None, None], 40, (CLIPS, 4, 16, 16, 3))
    pixels = torch.from_numpy(clips.clip(0, 255).astype(np.uint8))
    order = np.random.default_rng(epoch).permutation(CLIPS)
    found = []
    for first in range(0, CLIPS, BATCH):
        chosen = order[first : first + BATCH]
        each = -(-len(chosen) // world_size)
        places = np.arange(each) * world_size + rank
        rows = chosen[places % len(chosen)]
        found.append(
            Batch(
                clips=pixels[rows],
                labels=torch.from_numpy(LABELS[rows]),
                video_ids=[f"v{row:02d}" for row in rows],
                valid=torch.from_numpy(places < len(chosen)),
            )
        )
    return found


def step(run: TrialRun) -> None:
    """One epoch, trained and validated."""
    cut = {"rank": run.rank, "world_size": run.world_size}
    training = batches(run.epoch, **cut)
    run.train_epoch(training, steps=len(training))
    run.finish_epoch(run.evaluate(batches(seed=1, **cut)))


def trained(changes: Mapping[str, Any] | None = None, epochs: int | None = None) -> TrialRun:
    """A trial after all of its epochs, or so many."""
    run = TrialRun(spec(changes), TASK)
    while not run.finished and (epochs is None or run.epoch < epochs):
        step(run)
    return run


def outcome(run: TrialRun) -> dict[str, Tensor]:
    """All that a trial comes to, but for the time it took: weights and statistics, history, test scores."""
    tally = run.evaluate(batches(seed=2, rank=run.rank, world_size=run.world_size))
    history = [[s.train.loss, s.train.top1, s.train.lr, *s.val.values()] for s in run.history]
    state = {name: value.detach().clone() for name, value in run.model.state_dict().items()}
    return {
        **state,
        "history": torch.tensor(history, dtype=torch.float64),
        "scores": torch.from_numpy(tally.mean_scores()),
    }


def differences(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """The names under which two outcomes differ in any bit."""
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


def work(rank: int, world_size: int, folder: str, all_changes: Sequence[Mapping[str, Any]]) -> None:
    """A worker of several: trains each trial and leaves its outcome, or its error, for the test to read."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size
    )
    for number, changes in enumerate(all_changes):
        target = Path(folder) / f"{number}-{rank}"
        run = TrialRun(spec(changes), TASK, rank=rank, world_size=world_size)
        try:
            while not run.finished:
                step(run)
                if run.epoch == 1:
                    run.save(Path(folder) / f"first-{number}-{rank}")  # rank 0 alone writes, on its own disk
        except Exception as error:
            target.with_suffix(".error").write_text(f"{type(error).__name__}: {error}")
            continue
        run.save(Path(folder) / f"checkpoint-{number}")
        values: dict[str, Any] = {name: value.numpy() for name, value in outcome(run).items()}
        np.savez(target.with_suffix(".npz"), **values, fingerprint=np.array(run.fingerprint()))
        for name, start in (("resumed", ""), ("taken", "first")):
            again = TrialRun(spec({**changes, "start": start}), TASK, rank=rank, world_size=world_size)
            (again.take_over if start else again.load)(Path(folder) / f"first-{number}-{rank}")
            while not again.finished:
                step(again)
            values = {name: value.numpy() for name, value in outcome(again).items()}
            np.savez(target.with_suffix(f".{name}.npz"), **values, fingerprint=np.array(again.fingerprint()))
    distributed.destroy_process_group()

"""The fingerprint follows what the program consumed: each knob shows, and what changes nothing does not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from actrec.data.augment import build_augment
from actrec.errors import TrialError
from actrec.seeding import torch_rng
from actrec.spec import AugmentSpec
from actrec.training.task import Task
from actrec.training.trial import TrialRun
from tests.training.miniature import TASK, batches, spec, step, trained


@cache
def fingerprint(changes: tuple[tuple[str, Any], ...] = (), task: Task = TASK) -> str:
    torch.set_num_threads(1)
    run = TrialRun(spec(dict(changes)), task)
    run.train_epoch(batches(), steps=3)
    return run.fingerprint()


@pytest.mark.parametrize(
    "changes",
    [
        {"augment": AugmentSpec(hflip=0.5)},
        {"augment": AugmentSpec(erasing=0.5)},
        {"augment": AugmentSpec(jitter=0.1)},
        {"augment": AugmentSpec(size=12)},
        {"model.dropout": 0.3},
        {"model.attention_heads": 2},
        {"model.attention_heads": 0},
        {"model.motion": False},
        {"model.layers": 2},
        {"freeze.strategy": "backbone"},
        {"freeze.strategy": "frozen_norm"},
        {"freeze.strategy": "first_k", "freeze.k": 1},
        {"loss.class_weights": "balanced"},
        {"loss.class_weights": "sqrt"},
        {"loss.label_smoothing": 0.1},
        {"loss.kind": "focal"},
        {"loss.kind": "focal", "loss.gamma": 1.0},
        {"optim.name": "sgd"},
        {"optim.lr": 2e-3},
        {"optim.weight_decay": 0.0},
        {"optim.schedule": "constant"},
        {"optim.warmup_epochs": 0.5},
        {"optim.clip_norm": 1.0},
        {"optim.epochs": 3},
        {"optim.patience": 2},
        {"seed": 1},
    ],
    ids=str,
)
def test_a_knob_that_takes_effect_shows(changes: dict[str, Any]) -> None:
    assert fingerprint(tuple(changes.items())) != fingerprint()


@pytest.mark.parametrize(
    "changes",
    [
        {"placebo": 1},
        {"placebo": 7},
        {"freeze.strategy": "first_k", "freeze.k": 0},  # no stage at all
        {"freeze.k": 2},  # of a strategy that is not chosen
        {"loss.gamma": 5.0},  # of the focal loss, which is not chosen
        {"optim.momentum": 0.5},  # of SGD
        {"optim.gamma": 0.5},  # of the exponential schedule
        {"augment.min_scale": 0.1},  # of a crop that is not chosen
        {"model.attention_heads": 4},  # what the card says anyway
    ],
    ids=str,
)
def test_what_changes_nothing_does_not_show(changes: dict[str, Any]) -> None:
    assert fingerprint(tuple(changes.items())) == fingerprint()


def test_class_weights_of_a_balanced_set_change_nothing() -> None:
    even = Task(TASK.class_names, (7, 7, 7))
    assert fingerprint((("loss.class_weights", "balanced"),), even) == fingerprint((), even)


def draws(count: int, changes: dict[str, Any] | None = None) -> str:
    """The fingerprint of two epochs on ``count`` stored draws of every video: the first epoch's are alike."""
    run = TrialRun(spec(changes), TASK)
    while not run.finished:
        training = [replace(batch, clips=batch.clips + run.epoch % count) for batch in batches(run.epoch)]
        run.train_epoch(training, steps=len(training))
        run.finish_epoch(run.evaluate(batches(seed=1)))
    return run.fingerprint()


def test_clips_that_differ_after_the_first_epoch_show() -> None:
    assert draws(1) != draws(2)
    assert draws(1) == draws(1, {"placebo": 1})


@pytest.mark.parametrize(
    ("seed", "probability", "epoch", "number"),
    [(4, 0.06, 0, 1), (3, 0.05, 1, 0)],  # found by trying seeds; the test makes sure of them
)
def test_a_flip_that_first_fires_after_the_first_batch_shows(
    seed: int, probability: float, epoch: int, number: int
) -> None:
    plain, rare = ({"seed": seed, "augment.hflip": p, "optim.epochs": epoch + 1} for p in (0.0, probability))
    flipped = []
    for past in range(epoch + 1):
        one, other = (torch_rng(seed, "augment", past, 0) for _ in range(2))
        augment = build_augment(spec(rare).augment, mean=(0.5,) * 3, std=(0.5,) * 3, train=True)
        keep = build_augment(spec(plain).augment, mean=(0.5,) * 3, std=(0.5,) * 3, train=True)
        for place, batch in enumerate(batches(past)):
            if not torch.equal(augment(batch.clips, one), keep(batch.clips, other)):
                flipped.append((past, place))
    assert flipped[0] == (epoch, number)
    assert trained(rare).fingerprint() != trained(plain).fingerprint()


def test_a_placebo_has_its_baselines_over_all_epochs() -> None:
    assert trained({"placebo": 1}).fingerprint() == trained().fingerprint()


def test_every_epoch_enters() -> None:
    run = TrialRun(spec(), TASK)
    step(run)
    first = run.fingerprint()
    step(run)
    assert run.fingerprint() != first


def test_there_is_none_before_the_first_epoch() -> None:
    with pytest.raises(TrialError, match="before its first epoch"):
        TrialRun(spec(), TASK).fingerprint()


def test_taking_it_leaves_no_trace() -> None:
    """The probe runs in train mode, yet the running statistics have seen the three batches alone."""
    run = TrialRun(spec(), TASK)
    run.train_epoch(batches(), steps=3)
    assert run.model.get_buffer("stem.1.num_batches_tracked").item() == 3

"""The fingerprint follows what the program consumed: each knob shows, and what changes nothing does not."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from actrec.errors import TrialError
from actrec.spec import AugmentSpec
from actrec.training.task import Task
from actrec.training.trial import TrialRun
from tests.training.miniature import TASK, batches, spec


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


def test_there_is_none_before_the_first_step() -> None:
    with pytest.raises(TrialError, match="before its first step"):
        TrialRun(spec(), TASK).fingerprint()


def test_taking_it_leaves_no_trace() -> None:
    """The probe runs in train mode, yet the running statistics have seen the three batches alone."""
    run = TrialRun(spec(), TASK)
    run.train_epoch(batches(), steps=3)
    assert run.model.get_buffer("stem.1.num_batches_tracked").item() == 3

"""Schedules by hand-derived values; optimisers against their plain implementations."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from actrec.spec import OptimSpec
from actrec.training.optim import lr_factor, make_optimizer, set_lr


def test_constant() -> None:
    spec = OptimSpec(schedule="constant", epochs=3)
    assert [lr_factor(spec, step, 2) for step in range(6)] == [1.0] * 6


def test_exponential_falls_once_an_epoch() -> None:
    spec = OptimSpec(schedule="exponential", gamma=0.5, epochs=3)
    assert [lr_factor(spec, step, 2) for step in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_cosine_without_warm_up() -> None:
    # Two epochs of two steps: the steps lie at 0, 1/4, 1/2 and 3/4 of the way; (1 + cos πx) / 2 of these.
    spec = OptimSpec(schedule="cosine", epochs=2)
    expected = [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]
    assert [lr_factor(spec, step, 2) for step in range(4)] == pytest.approx(expected, abs=1e-15)


def test_warm_up_over_a_fraction_of_an_epoch_then_cosine_over_the_rest() -> None:
    # Four steps an epoch, half an epoch of warm-up: two steps up, 1/2 and 1. The cosine then has 1.5 epochs,
    # six steps, left, of which step 2 is the first: (1 + cos(π·i/6)) / 2 at i = 0…5.
    spec = OptimSpec(schedule="cosine", warmup_epochs=0.5, epochs=2)
    expected = [0.5, 1.0] + [(1 + math.cos(math.pi * i / 6)) / 2 for i in range(6)]
    assert [lr_factor(spec, step, 4) for step in range(8)] == pytest.approx(expected, abs=1e-15)


def test_a_part_of_a_longer_training_has_the_schedule_of_the_whole() -> None:
    whole, part = OptimSpec(warmup_epochs=0.5, epochs=4), OptimSpec(warmup_epochs=0.5, epochs=2, horizon=4)
    assert [lr_factor(part, step, 4) for step in range(8)] == [lr_factor(whole, step, 4) for step in range(8)]
    longer = OptimSpec(warmup_epochs=0.5, epochs=6, horizon=4)
    assert [lr_factor(longer, step, 4) for step in range(16)] == [
        lr_factor(whole, step, 4) for step in range(16)
    ]
    assert [lr_factor(longer, step, 4) for step in range(16, 24)] == [0.0] * 8, "there it stays"


@pytest.mark.parametrize("schedule", ["constant", "exponential", "cosine"])
def test_warm_up_as_long_as_training_only_rises(schedule: Any) -> None:
    spec = OptimSpec(schedule=schedule, gamma=1.0, warmup_epochs=2.0, epochs=2)
    assert [lr_factor(spec, step, 2) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])


@pytest.mark.parametrize(
    ("name", "reference", "extra"),
    [
        ("adam", torch.optim.Adam, {}),
        ("adamw", torch.optim.AdamW, {}),
        ("sgd", torch.optim.SGD, {"momentum": 0.8}),
    ],
)
def test_optimisers_are_pytorchs(name: Any, reference: Any, extra: dict[str, float]) -> None:
    start = torch.randn(5, generator=torch.Generator().manual_seed(0))
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    group = {"params": [ours], "lr_mult": 1.0, "names": ["w"]}
    optimizer = make_optimizer(OptimSpec(name=name, lr=0.1, weight_decay=0.2, momentum=0.8), [group])
    plain = reference([theirs], lr=0.1, weight_decay=0.2, foreach=False, **extra)
    for _ in range(5):
        for parameter, stepper in ((ours, optimizer), (theirs, plain)):
            stepper.zero_grad()
            (parameter**2).sum().backward()  # type: ignore[no-untyped-call]
            stepper.step()
    torch.testing.assert_close(ours, theirs)


def test_each_group_has_its_own_multiple_of_the_learning_rate() -> None:
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr_mult": multiplier, "names": ["w"]}
        for multiplier in (1.0, 0.1)
    ]
    optimizer = make_optimizer(OptimSpec(), groups)
    set_lr(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.05]

"""Every freezing strategy on every architecture: what is frozen stays as it was, what is not moves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import pytest
import torch
from torch import nn

from actrec.errors import ModelError, SpecError
from actrec.fields import field_types
from actrec.models.card import ModelCard
from actrec.models.zoo import ZOO, build, find
from actrec.spec import FreezeSpec, ModelSpec, TrialSpec, override
from actrec.training.batch import Batch
from actrec.training.freeze import NORMALISATION, apply, rules
from actrec.training.task import Task
from actrec.training.trial import TrialRun

SIDE = 32
Counting = Literal["first_k", "last_k"]
COUNTING: tuple[Counting, ...] = get_args(Counting)
TASK = Task(("a", "b", "c"), (2, 2, 2))


def frames(card: ModelCard) -> int:
    return card.num_frames if card.fixed_frames else 2


def before_head(card: ModelCard) -> list[str]:
    stages = list(card.stages)
    return stages[: stages.index(card.head)]


def strategies(counts: Iterable[int]) -> Iterator[FreezeSpec]:
    """Every strategy; those that count stages, with each of ``counts``."""
    for strategy in get_args(field_types(FreezeSpec)["strategy"]):
        for k in counts if strategy in COUNTING else (0,):
            yield FreezeSpec(strategy=strategy, k=k)


CASES = [
    pytest.param(name, freeze, id=f"{name}-{freeze.strategy}-{freeze.k}")
    for name in ZOO
    for freeze in strategies([1])
]


def normalisation(model: nn.Module) -> set[str]:
    """Parameters of normalisation layers."""
    return {
        f"{prefix}.{name}"
        for prefix, module in model.named_modules()
        if isinstance(module, NORMALISATION)
        for name, _ in module.named_parameters(recurse=False)
    }


def frozen(freeze: FreezeSpec, card: ModelCard, model: nn.Module) -> set[str]:
    """The parameters that a strategy freezes, by its definition in FreezeSpec."""
    stages = {
        name: stage
        for name, _ in model.named_parameters()
        for stage, pattern in card.stages.items()
        if re.fullmatch(pattern, name)
    }
    norms = normalisation(model)
    match freeze.strategy:
        case "none":
            return set()
        case "backbone":
            return {name for name, stage in stages.items() if stage in card.backbone}
        case "head_only":
            return {name for name, stage in stages.items() if stage != card.head}
        case "first_k":
            return {name for name, stage in stages.items() if stage in before_head(card)[: freeze.k]}
        case "last_k":
            trained = before_head(card)[::-1][: freeze.k]
            return {name for name, stage in stages.items() if stage not in (*trained, card.head)}
        case "norm_only":
            return {name for name, stage in stages.items() if stage != card.head} - norms
        case "frozen_norm":
            return norms


@pytest.mark.parametrize("card", ZOO.values(), ids=ZOO)
def test_every_strategy_freezes_what_its_definition_says(card: ModelCard) -> None:
    with torch.device("meta"):
        model = build(ModelSpec(name=card.name), num_classes=3, num_frames=frames(card))
    for freeze in strategies(range(len(before_head(card)) + 1)):
        expected = frozen(freeze, card, model)
        if freeze.strategy in ("norm_only", "frozen_norm") and not normalisation(model):
            with pytest.raises(ModelError, match="no normalisation layers"):
                rules(freeze, card, model)
        else:
            apply(rules(freeze, card, model), model)
            assert {name for name, value in model.named_parameters() if not value.requires_grad} == expected


@pytest.mark.parametrize(("name", "freeze"), CASES)
def test_an_epoch_moves_what_is_trained_and_nothing_else(name: str, freeze: FreezeSpec) -> None:
    torch.set_num_threads(1)
    card = find(name)
    spec = override(
        TrialSpec(),
        {
            "model": ModelSpec(name=name),
            "freeze": freeze,
            "clip.num_frames": frames(card),
            "optim.lr": 0.01,
            "optim.schedule": "constant",
        },
    )
    with torch.device("meta"):
        plain = build(spec.model, num_classes=3, num_frames=frames(card))
    if freeze.strategy in ("norm_only", "frozen_norm") and not normalisation(plain):
        return  # refused: see above
    run = TrialRun(spec, TASK)
    expected = frozen(freeze, card, run.model)
    before = {key: value.clone() for key, value in run.model.state_dict().items()}
    rng = torch.Generator().manual_seed(0)
    batch = Batch(
        clips=torch.randint(0, 256, (3, frames(card), SIDE, SIDE, 3), generator=rng, dtype=torch.uint8),
        labels=torch.tensor([0, 1, 2]),
        video_ids=list("xyz"),
        valid=torch.ones(3, dtype=torch.bool),
    )
    run.train_epoch([batch, batch], steps=2)
    after = run.model.state_dict()
    moved = {key for key, _ in run.model.named_parameters() if not torch.equal(after[key], before[key])}
    assert moved == {key for key, _ in run.model.named_parameters()} - expected
    statistics = {key for key, _ in run.model.named_buffers() if "running" in key or "num_batches" in key}
    for key in statistics:
        owner = key.rpartition(".")[0]
        assert torch.equal(after[key], before[key]) == (f"{owner}.weight" in expected), key


@pytest.mark.parametrize("strategy", COUNTING)
@pytest.mark.parametrize("card", ZOO.values(), ids=ZOO)
def test_more_stages_than_there_are_names_the_valid_range(card: ModelCard, strategy: Counting) -> None:
    with torch.device("meta"):
        model = build(ModelSpec(name=card.name), num_classes=3, num_frames=frames(card))
    last = len(before_head(card))
    with pytest.raises(SpecError, match=rf"must be in \[0, {last}\]"):
        rules(FreezeSpec(strategy=strategy, k=last + 1), card, model)

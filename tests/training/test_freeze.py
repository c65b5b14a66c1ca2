"""Freezing rules: exact coverage, the strategies, and frozen layers that stay in eval."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actrec.errors import ModelError, SpecError
from actrec.models.card import ModelCard
from actrec.spec import FreezeSpec, ModelSpec
from actrec.training.freeze import Rule, apply, frozen_modules, rules, set_train_mode


def build(spec: ModelSpec, *, num_classes: int, num_frames: int) -> nn.Module:
    return nn.Sequential(
        nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.Dropout(0.5)),
        nn.Sequential(nn.Conv3d(4, 4, 1), nn.BatchNorm3d(4)),
        nn.Sequential(nn.LayerNorm(4), nn.Linear(4, num_classes)),
    )


CARD = ModelCard(
    name="tiny",
    summary="two convolutions",
    build=build,
    num_frames=4,
    stride=1,
    crop=8,
    stages={"first": r"0\..*", "second": r"1\..*", "head": r"2\..*"},
    backbone=("first", "second"),
    head="head",
)


def model() -> nn.Module:
    return build(ModelSpec(), num_classes=2, num_frames=4)


def trained(strategy: str, k: int = 0) -> set[str]:
    """The names of the parameters that a strategy leaves to train."""
    tiny = model()
    apply(rules(FreezeSpec(strategy=strategy, k=k), CARD, tiny), tiny)  # type: ignore[arg-type]
    return {name for name, parameter in tiny.named_parameters() if parameter.requires_grad}


FIRST = {"0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias"}
SECOND = {"1.0.weight", "1.0.bias", "1.1.weight", "1.1.bias"}
HEAD = {"2.0.weight", "2.0.bias", "2.1.weight", "2.1.bias"}
NORMS = {"0.1.weight", "0.1.bias", "1.1.weight", "1.1.bias", "2.0.weight", "2.0.bias"}


@pytest.mark.parametrize(
    ("strategy", "k", "expected"),
    [
        ("none", 0, FIRST | SECOND | HEAD),
        ("backbone", 0, HEAD),
        ("head_only", 0, HEAD),
        ("first_k", 0, FIRST | SECOND | HEAD),
        ("first_k", 1, SECOND | HEAD),
        ("first_k", 2, HEAD),
        ("norm_only", 0, NORMS | HEAD),
        ("frozen_norm", 0, (FIRST | SECOND | HEAD) - NORMS),
    ],
)
def test_each_strategy_trains_exactly_its_parameters(strategy: str, k: int, expected: set[str]) -> None:
    assert trained(strategy, k) == expected


def test_first_k_beyond_the_stages_names_the_valid_range() -> None:
    with pytest.raises(SpecError, match=r"freeze\.k=3.*first, second.*\[0, 2\]"):
        rules(FreezeSpec(strategy="first_k", k=3), CARD, model())


@pytest.mark.parametrize("strategy", ["norm_only", "frozen_norm"])
def test_normalisation_strategies_refuse_a_model_without_any(strategy: str) -> None:
    with pytest.raises(ModelError, match="tiny has no normalisation layers"):
        rules(FreezeSpec(strategy=strategy), CARD, nn.Sequential(nn.Linear(2, 2)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([Rule(r"0\..*", None), Rule(r"1\..*", 1.0)], r"'2\.0\.weight'.*matches no rule"),
        ([Rule(".*", 1.0), Rule(r"1\..*", None)], r"'1\.0\.weight'.*matches '\.\*', '1"),
        ([Rule(".*", 1.0), Rule("backbone.*", None)], "match no parameter: 'backbone"),
        ([Rule(".*", None)], "every parameter is frozen"),
    ],
)
def test_rules_that_do_not_cover_exactly_are_refused(given: list[Rule], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        apply(given, model())


def test_groups_carry_the_learning_rate_multiplier_and_every_trained_parameter_once() -> None:
    tiny = model()
    groups = apply([Rule(r"0\..*", None), Rule(r"1\..*", 0.1), Rule(r"2\..*", 1.0)], tiny)
    assert {group["lr_mult"]: set(group["names"]) for group in groups} == {0.1: SECOND, 1.0: HEAD}
    parameters = dict(tiny.named_parameters())
    for group in groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            assert parameter is parameters[name]


def test_a_frozen_stage_is_deterministic_and_keeps_its_statistics_while_the_rest_trains() -> None:
    tiny = nn.ModuleList(model().children())
    apply(rules(FreezeSpec(strategy="first_k", k=1), CARD, tiny), tiny)
    frozen = frozen_modules(tiny)
    clips = torch.randn(2, 3, 4, 8, 8)
    outputs = []
    for _ in range(2):
        set_train_mode(tiny, frozen)  # as before every epoch: model.train() alone would wake them up
        outputs.append(tiny[0](clips))
        tiny[1](outputs[-1])
    assert torch.equal(*outputs)
    batches = {name: int(value) for name, value in tiny.named_buffers() if "num_batches" in name}
    assert batches == {"0.1.num_batches_tracked": 0, "1.1.num_batches_tracked": 2}
    assert tiny[1].training
    assert tiny[2].training


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm1d(2),
        nn.BatchNorm2d(2),
        nn.BatchNorm3d(2),
        nn.SyncBatchNorm(2),
        nn.InstanceNorm3d(2, affine=True, track_running_stats=True),
    ],
)
def test_frozen_norm_stops_running_statistics_of_every_kind(norm: nn.Module) -> None:
    linear = nn.Linear(2, 2)
    network = nn.Sequential(norm, linear)
    apply(rules(FreezeSpec(strategy="frozen_norm"), CARD, network), network)
    set_train_mode(network, frozen_modules(network))
    assert not norm.training
    assert linear.training
    assert not any(parameter.requires_grad for parameter in norm.parameters())


@pytest.mark.parametrize("layer", [nn.LSTM(3, 4, batch_first=True), nn.GRU(3, 4, num_layers=2)])
def test_a_frozen_recurrent_layer_stays_in_train_mode_where_that_changes_nothing(layer: nn.RNNBase) -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Sequential(layer, nn.Dropout(0.5)))
    layer.requires_grad_(False)
    inputs = network[0](torch.randn(2, 5, 3))
    layer.eval()
    expected, _ = layer(inputs)
    set_train_mode(network, frozen_modules(network))
    assert layer.training
    assert not network[1].training
    states, _ = layer(inputs)
    assert torch.equal(states, expected)


def test_a_frozen_recurrent_layer_with_dropout_is_in_eval() -> None:
    layer = nn.LSTM(3, 4, num_layers=2, dropout=0.5).requires_grad_(False)
    set_train_mode(layer, frozen_modules(layer))
    assert not layer.training

"""Freezing as ordered rules: every parameter matches exactly one rule, every rule at least one parameter.

The rule list is that of big_vision's optimiser masks, made strict: a rule that matches nothing, or two
rules that match the same parameter, is an error and never a silent surprise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase  # BatchNorm 1d/2d/3d, SyncBatchNorm, InstanceNorm

from actrec.errors import ModelError, SpecError
from actrec.models.card import ModelCard
from actrec.spec import FreezeSpec

NORMALISATION = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to the parameters whose whole name matches ``pattern``.

    Attributes:
        pattern: a regular expression over names such as ``"cnn.0.weight"``.
        lr_mult: factor on the learning rate; None freezes.
    """

    pattern: str
    lr_mult: float | None


def rules(freeze: FreezeSpec, card: ModelCard, model: nn.Module) -> tuple[Rule, ...]:
    """The rules of a freezing strategy for one architecture.

    Raises:
        SpecError: on a ``k`` beyond the stages before the head; it names the valid range.
        ModelError: if the strategy is about normalisation layers and the model has none.
    """
    stages = list(card.stages)
    match freeze.strategy:
        case "none":
            return (Rule(".*", 1.0),)
        case "norm_only":
            head = card.stages[card.head]
            norm = _normalisation(card, model, outside=head)
            return Rule(norm, 1.0), Rule(head, 1.0), Rule(_neither(norm, head), None)
        case "frozen_norm":
            norm = _normalisation(card, model)
            return Rule(norm, None), Rule(_neither(norm), 1.0)
        case "backbone":
            frozen = set(card.backbone)
        case "head_only":
            frozen = set(stages) - {card.head}
        case "first_k" | "last_k":
            before = stages[: stages.index(card.head)]
            if freeze.k > len(before):
                raise SpecError(
                    f"freeze.k={freeze.k}: {card.name} has {len(before)} stages before its head "
                    f"({', '.join(before)}); must be in [0, {len(before)}]"
                )
            frozen = set(before[: freeze.k if freeze.strategy == "first_k" else len(before) - freeze.k])
    return tuple(Rule(card.stages[stage], None if stage in frozen else 1.0) for stage in stages)


def apply(rules: Sequence[Rule], model: nn.Module) -> list[dict[str, Any]]:
    """Sets ``requires_grad`` on every parameter and returns the optimiser's groups.

    A group is a dict of ``params``, ``lr_mult`` and, for reading, ``names``; one for each ``lr_mult``.

    Raises:
        ModelError: if a parameter matches no rule or several, a rule matches no parameter, or all is frozen.
    """
    unused = dict.fromkeys(rule.pattern for rule in rules)
    groups: dict[float, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        found = [rule for rule in rules if re.fullmatch(rule.pattern, name)]
        if len(found) != 1:
            patterns = ", ".join(repr(rule.pattern) for rule in found) or "no rule"
            raise ModelError(
                f"parameter {name!r} must match exactly one freezing rule; it matches {patterns}"
            )
        unused.pop(found[0].pattern, None)
        multiplier = found[0].lr_mult
        parameter.requires_grad_(multiplier is not None)
        if multiplier is not None:
            group = groups.setdefault(multiplier, {"params": [], "lr_mult": multiplier, "names": []})
            group["params"].append(parameter)
            group["names"].append(name)
    if unused:
        raise ModelError(f"freezing rules that match no parameter: {', '.join(map(repr, unused))}")
    if not groups:
        raise ModelError("every parameter is frozen: nothing is left to train")
    return list(groups.values())


def frozen_modules(model: nn.Module) -> tuple[nn.Module, ...]:
    """The modules that have parameters, all of them frozen: the outermost of each."""
    found: list[nn.Module] = []

    def visit(module: nn.Module) -> None:
        trained = [parameter.requires_grad for parameter in module.parameters()]
        if trained and not any(trained):
            found.append(module)
        elif trained:
            for child in module.children():
                visit(child)

    visit(model)
    return tuple(found)


def set_train_mode(model: nn.Module, frozen: Iterable[nn.Module]) -> None:
    """``model.train()``, but for the frozen modules, which stay in eval with all that they contain.

    So frozen normalisation layers of any dimension use and keep their running statistics, and dropout
    inside a frozen stage is off: a frozen prefix computes the same features at every epoch. Dropout that
    stands between modules, outside any frozen one, stays on.

    A frozen recurrent layer without dropout of its own is in train mode: it computes the same in both, but
    cuDNN refuses to pass a gradient through one in eval, as trained layers before it need.
    """
    model.train()
    for module in frozen:
        module.eval()
        for layer in module.modules():
            if isinstance(layer, nn.RNNBase) and not layer.dropout:
                layer.train()


def _normalisation(card: ModelCard, model: nn.Module, outside: str | None = None) -> str:
    """A pattern of the normalisation layers' parameters, less those that ``outside`` matches."""
    names = [
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if isinstance(module, NORMALISATION)
        for name, _ in module.named_parameters(recurse=False)
    ]
    names = [name for name in names if outside is None or not re.fullmatch(outside, name)]
    if not names:
        raise ModelError(f"{card.name} has no normalisation layers that freezing could choose by")
    return "|".join(map(re.escape, names))


def _neither(*patterns: str) -> str:
    """A pattern of the names that none of ``patterns`` matches whole."""
    return "".join(rf"(?!(?:{pattern})\Z)" for pattern in patterns) + ".*"

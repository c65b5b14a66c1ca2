"""Designs: which arms a study of some factors has.

A design is a function. Its first arm is the reference that the others are compared with, and is called
"baseline". An arm assigns a value to every factor, so arms never depend on what the base trial happened to
say, and reordering the factors changes nothing but the order of the arms.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actrec.spec import PRESETS, TrialSpec, override, trial_id

if TYPE_CHECKING:
    from actrec.study.factors import Factor

REFERENCE = "baseline"
PLACEBO = "placebo"
JOIN = " × "


@dataclass(frozen=True)
class Arm:
    """One column of a study: what is trained once a seed.

    Attributes:
        name: short and stable, e.g. ``baseline``, ``augment=hflip``, ``augment=hflip × model.dropout=0.5``.
        factor: the paths in which it departs from the reference, joined with ``×``; empty for the reference.
        level: its values there, as text.
        overrides: path → value for every factor; the arm's trial is ``override(base, overrides)``.
        baseline: the reference's values at ``factor``, as text.
    """

    name: str
    factor: str
    level: str
    overrides: Mapping[str, Any] = field(hash=False)
    baseline: str = ""


Design = Callable[[TrialSpec, Sequence["Factor"]], list[Arm]]


def show(value: Any) -> str:
    """A level as short text: presets by their names, other parts by what differs from their defaults."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = [name for presets in PRESETS.values() for name, preset in presets.items() if preset == value]
        changed = [
            f"{entry.name}={show(getattr(value, entry.name))}"
            for entry in dataclasses.fields(value)
            if getattr(value, entry.name) != getattr(type(value)(), entry.name)
        ]
        return named[0] if named else "(" + ", ".join(changed) + ")"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(show, value)) + "]"
    return str(value)


def one_at_a_time(base: TrialSpec, factors: Sequence[Factor]) -> list[Arm]:
    """Every factor at its baseline; then each level of each factor alone."""
    reference = {factor.path: factor.baseline for factor in factors}
    alone = [{**reference, factor.path: level} for factor in factors for level in factor.levels]
    return _arms(base, [reference, *alone])


def leave_one_out(base: TrialSpec, factors: Sequence[Factor]) -> list[Arm]:
    """Every factor on (the first of its levels); then each taken back to its baseline alone."""
    reference = {factor.path: factor.levels[0] for factor in factors}
    without = [{**reference, factor.path: factor.baseline} for factor in factors]
    return _arms(base, [reference, *without])


def add_one_in(base: TrialSpec, factors: Sequence[Factor]) -> list[Arm]:
    """Every factor at its baseline; then each alone on (the first of its levels); then all on together."""
    reference = {factor.path: factor.baseline for factor in factors}
    alone = [{**reference, factor.path: factor.levels[0]} for factor in factors]
    together = {factor.path: factor.levels[0] for factor in factors}
    return _arms(base, [reference, *alone, together])


def factorial(base: TrialSpec, factors: Sequence[Factor]) -> list[Arm]:
    """Every combination of baselines and levels, in lexicographic order, all baselines first."""
    choices = [(factor.baseline, *factor.levels) for factor in factors]
    combinations = itertools.product(*choices)
    return _arms(base, [dict(zip([f.path for f in factors], values, strict=True)) for values in combinations])


DESIGNS: dict[str, Design] = {
    "one_at_a_time": one_at_a_time,
    "leave_one_out": leave_one_out,
    "add_one_in": add_one_in,
    "factorial": factorial,
}


def _arms(base: TrialSpec, assignments: Sequence[Mapping[str, Any]]) -> list[Arm]:
    """Names the assignments, the first as the reference; of those that give one trial the first stays."""
    reference = assignments[0]
    arms: dict[str, Arm] = {}
    for values in assignments:
        # Sorted, so that a name does not depend on the order of the factors.
        paths = sorted(path for path, value in values.items() if value != reference[path])
        levels = {path: show(values[path]) for path in paths}
        arm = Arm(
            name=JOIN.join(f"{path}={level}" for path, level in levels.items()) or REFERENCE,
            factor=JOIN.join(paths),
            level=JOIN.join(levels.values()),
            overrides=dict(values),
            baseline=JOIN.join(show(reference[path]) for path in paths),
        )
        arms.setdefault(trial_id(override(base, values)), arm)
    return list(arms.values())

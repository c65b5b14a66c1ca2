"""Designs: which arms a study of some factors has.

A design is a function. Its first arm is the reference that the others are compared with, and is called
"baseline". An arm assigns a value to every factor, so arms never depend on what the base trial happened to
say, and reordering the factors changes nothing but the order of the arms (but for ``ablation_path``, which is
about an order). Designs whose arms depend on results are in :mod:`actrec.study.greedy`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from actrec.errors import StudyError
from actrec.spec import PRESETS, TrialSpec, override, trial_id
from actrec.stats.factorial import Factorial
from actrec.study.fractional import LETTERS, Fraction, fraction

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
    return arms(base, [reference, *alone])


def leave_one_out(base: TrialSpec, factors: Sequence[Factor]) -> list[Arm]:
    """Every factor on (the first of its levels); then each taken back to its baseline alone."""
    reference = {factor.path: factor.levels[0] for factor in factors}
    without = [{**reference, factor.path: factor.baseline} for factor in factors]
    return arms(base, [reference, *without])


def add_one_in(base: TrialSpec, factors: Sequence[Factor]) -> list[Arm]:
    """Every factor at its baseline; then each alone on (the first of its levels); then all on together."""
    reference = {factor.path: factor.baseline for factor in factors}
    alone = [{**reference, factor.path: factor.levels[0]} for factor in factors]
    together = {factor.path: factor.levels[0] for factor in factors}
    return arms(base, [reference, *alone, together])


def factorial(base: TrialSpec, factors: Sequence[Factor]) -> list[Arm]:
    """Every combination of baselines and levels, in lexicographic order, all baselines first."""
    choices = [(factor.baseline, *factor.levels) for factor in factors]
    combinations = itertools.product(*choices)
    return arms(base, [dict(zip([f.path for f in factors], values, strict=True)) for values in combinations])


def fractional(base: TrialSpec, factors: Sequence[Factor], *, resolution: int) -> list[Arm]:
    """The combinations of a two-level fraction; see :func:`fraction_of`."""
    ordered = _by_path(factors)
    runs = fraction_of(factors, resolution).levels()
    return arms(
        base,
        [
            {f.path: f.levels[0] if on else f.baseline for f, on in zip(ordered, run, strict=True)}
            for run in runs
        ],
    )


def fraction_of(factors: Sequence[Factor], resolution: int) -> Fraction:
    """The fraction that a study of ``factors`` takes; its letters are the factors, sorted by path.

    Raises:
        StudyError: if a factor has more than two values (it names the factor), or on too many factors.
    """
    for factor in factors:
        if len(factor.levels) != 1:
            values = ", ".join(map(show, (factor.baseline, *factor.levels)))
            raise StudyError(
                f"factor {factor.path!r} has {len(factor.levels) + 1} values ({values}): a fractional "
                "factorial takes two, a baseline and one level; choose one, or use design='factorial'"
            )
    return fraction(len(factors), resolution)


def ablation_path(base: TrialSpec, factors: Sequence[Factor]) -> list[Arm]:
    """From every factor at its baseline to every factor on, one more at a time, in the order of the factors.

    The "+ A, + A + B, …" table of many papers. What a step shows depends on the steps before it.
    """
    here = {factor.path: factor.baseline for factor in factors}
    steps = [here]
    for factor in factors:
        here = {**here, factor.path: factor.levels[0]}
        steps.append(here)
    return arms(base, steps)


RESOLUTIONS = {"fractional_iv": 4, "fractional_v": 5}
FACTORIAL = ("factorial", *RESOLUTIONS)  # those whose main effects can be estimated

DESIGNS: dict[str, Design] = {
    "one_at_a_time": one_at_a_time,
    "leave_one_out": leave_one_out,
    "add_one_in": add_one_in,
    "ablation_path": ablation_path,
    "factorial": factorial,
    **{name: partial(fractional, resolution=number) for name, number in RESOLUTIONS.items()},
}


def explain(design: str, factors: Sequence[Factor]) -> list[str]:
    """What there is to know of a fractional design beside its arms: resolution and aliases, a line each."""
    if design not in RESOLUTIONS:
        return []
    made = fraction_of(factors, RESOLUTIONS[design])
    if not made.generators:
        return [f"{made}: with so few factors no fraction has that resolution"]
    names = dict(zip(LETTERS, [factor.path for factor in _by_path(factors)], strict=False))
    told = [
        " = ".join(JOIN.join(names[letter] for letter in effect) for effect in effects)
        for effects in made.aliases()
    ]
    letters = ", ".join(f"{letter} {name}" for letter, name in names.items())
    return [str(made), letters, *(f"cannot be told apart: {effects}" for effects in told)]


def crossed(factors: Sequence[Factor], arms: Sequence[Arm]) -> Factorial:
    """Which value of which factor each of ``arms`` has, the placebo left out: a factorial, for statistics."""
    values = {factor.path: (factor.baseline, *factor.levels) for factor in factors}
    return Factorial(
        factors={path: [show(value) for value in of_factor] for path, of_factor in values.items()},
        cells={
            arm.name: [of_factor.index(arm.overrides[path]) for path, of_factor in values.items()]
            for arm in arms
            if arm.name != PLACEBO
        },
    )


def arm(reference: Mapping[str, Any], values: Mapping[str, Any]) -> Arm:
    """An assignment of a value to every factor, named by where it departs from the reference."""
    # Sorted, so that a name does not depend on the order of the factors.
    paths = sorted(path for path, value in values.items() if value != reference[path])
    levels = {path: show(values[path]) for path in paths}
    return Arm(
        name=JOIN.join(f"{path}={level}" for path, level in levels.items()) or REFERENCE,
        factor=JOIN.join(paths),
        level=JOIN.join(levels.values()),
        overrides=dict(values),
        baseline=JOIN.join(show(reference[path]) for path in paths),
    )


def arms(base: TrialSpec, assignments: Sequence[Mapping[str, Any]]) -> list[Arm]:
    """Names the assignments, the first as the reference; of those that give one trial the first stays."""
    found: dict[str, Arm] = {}
    for values in assignments:
        found.setdefault(trial_id(override(base, values)), arm(assignments[0], values))
    return list(found.values())


def _by_path(factors: Sequence[Factor]) -> list[Factor]:
    return sorted(factors, key=lambda factor: factor.path)

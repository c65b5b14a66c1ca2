"""Designs that go on from what was found: each round tries changes to the best configuration so far.

They are functions of the results that there are: as long as a round has results missing, they return its
arms and those before it; once it is complete, also those of the next. So a study that was interrupted goes
on as if it had not been.

They select on the validation split alone. Verdicts are about the test split, which they never see.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actrec.spec import TrialSpec
from actrec.study.designs import Arm, arm, arms

if TYPE_CHECKING:
    from actrec.study.factors import Factor

# By how much an arm beats another on validation, more being better; NaN where one failed, None as long as it
# is not known.
Gain = Callable[[Arm, Arm], float | None]


@dataclass(frozen=True, slots=True)
class Grown:
    """The arms of the rounds so far, the reference first, and the way that was taken through them.

    Attributes:
        arms: in the order in which they were asked for.
        path: the best arm of each finished round, after the reference.
    """

    arms: list[Arm]
    path: list[Arm]


Adaptive = Callable[[TrialSpec, Sequence["Factor"], Gain, float], Grown]


def greedy_forward(base: TrialSpec, factors: Sequence[Factor], gain: Gain, margin: float) -> Grown:
    """Starts with every factor at its baseline; each round adds the level that improves validation most.

    Ends when no level improves it by more than ``margin``, or every factor has left its baseline.

    Source: forward selection, e.g. Hastie, Tibshirani & Friedman, "The Elements of Statistical Learning"
    (2nd ed.), section 3.3.2.
    """
    return _grow(base, factors, {factor.path: factor.levels for factor in factors}, gain, margin)


def greedy_path(base: TrialSpec, factors: Sequence[Factor], gain: Gain, margin: float) -> Grown:
    """The ablation path from every factor at its baseline to every factor on (the first of its levels).

    Each round makes the one change that does best on validation, even if none is an improvement, until all
    are made; ``margin`` is not used.

    Source: Fawcett & Hoos, "Analysing differences between algorithm configurations through ablation",
    J. Heuristics 22 (2016).
    """
    return _grow(base, factors, {factor.path: factor.levels[:1] for factor in factors}, gain, -math.inf)


ADAPTIVE: dict[str, Adaptive] = {"greedy_forward": greedy_forward, "greedy_path": greedy_path}


def _grow(
    base: TrialSpec,
    factors: Sequence[Factor],
    levels: Mapping[str, Sequence[Any]],
    gain: Gain,
    least: float,
) -> Grown:
    reference = {factor.path: factor.baseline for factor in factors}
    asked, here, left = [reference], reference, dict(levels)
    path = [arm(reference, reference)]
    while left:
        steps = [(name, {**here, name: level}) for name, options in left.items() for level in options]
        asked += [values for _, values in steps]
        gains = [gain(arm(reference, values), path[-1]) for _, values in steps]
        better = [
            # Among equals the first by name, so that the order of the factors does not matter.
            (-value, arm(reference, values).name, name, values)
            for value, (name, values) in zip(gains, steps, strict=True)
            if value is not None and value > least
        ]
        if None in gains or not better:
            break
        _, _, name, here = min(better, key=lambda entry: entry[:2])
        path.append(arm(reference, here))
        del left[name]
    return Grown(arms(base, asked), path)


def most_arms(design: str, factors: Sequence[Factor]) -> int:
    """How many arms an adaptive design can come to, the baseline counted."""
    counts = sorted(len(factor.levels) if design == "greedy_forward" else 1 for factor in factors)
    return 1 + sum(sum(counts[number:]) for number in range(len(counts)))

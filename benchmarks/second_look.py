"""A second look at the kinds of study in which ``calibration.py`` saw the most wrong verdicts.

The greatest of 200 estimates of a family-wise error is too great: it is of a kind in which chance added to
the errors. So the kinds with the greatest estimates are simulated anew, from random streams of their own,
often enough that the standard error is 0.16 points. Only studies without effects are, and only our verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actrec.seeding import numpy_rng
from actrec.stats.arms import study_effects
from actrec.stats.multiplicity import holm
from actrec.stats.paired import Effect
from benchmarks.simulated import ACCURACY, Cell, Floats, simulate, variances

KINDS, NOISIER_KINDS = 12, 3  # that are looked at again: whose arms vary alike, and whose do not
STUDIES = 20_000


def effects_of(y: Floats, groups: NDArray[np.int64]) -> list[Effect]:
    """The effect of every arm but the first, of (arms + 1, S, V), as a study has it."""
    return study_effects(dict(zip(map(str, range(len(y))), y, strict=True)), "0", groups)


def family_error(cell: Cell, studies: int) -> float:
    """The share of studies without effects that have a wrong verdict."""
    rng = numpy_rng(0, "calibration", "second look", *map(str, asdict(cell).values()))
    alike, groups, wrong = np.full(cell.arms + 1, ACCURACY), cell.groups, 0
    for _ in range(studies):
        effects = effects_of(simulate(cell, alike, variances(cell, rng), rng), groups)
        wrong += bool((holm([effect.p for effect in effects]) <= 0.05).any())
    return wrong / studies


def worst(seen: Mapping[Cell, float]) -> list[Cell]:
    """The kinds with the greatest family-wise errors, the greatest first; those of unequal variance last.

    Args:
        seen: the family-wise error of each kind at the first look.
    """
    order = sorted(seen, key=lambda cell: -seen[cell])
    alike = [cell for cell in order if not cell.noisier]
    return alike[:KINDS] + [cell for cell in order if cell.noisier][:NOISIER_KINDS]


def second_look(
    seen: Mapping[Cell, float], executor: Executor, studies: int = STUDIES
) -> list[dict[str, Any]]:
    """The :func:`worst` kinds, with the family-wise errors of both looks and the second's standard error."""
    cells = worst(seen)
    errors = executor.map(family_error, cells, [studies] * len(cells))
    return [
        {
            "name": str(cell),
            "noisier": cell.noisier,
            "first": seen[cell],
            "family_error": round(error, 4),
            "se": round(math.sqrt(error * (1 - error) / studies), 4),
        }
        for cell, error in zip(cells, errors, strict=True)
    ]


def greatest(looks: Sequence[Mapping[str, Any]], *, noisier: bool = False) -> float | None:
    """The greatest family-wise error of the second look; None where it saw no such kind."""
    return max((look["family_error"] for look in looks if bool(look["noisier"]) == noisier), default=None)


def table(looks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """In Markdown."""
    yield from ("| kind of study | first look | second look | its standard error |", "| --- " * 4 + "|")
    for look in looks:
        yield f"| {look['name']} | {look['first']:.1%} | {look['family_error']:.2%} | {look['se']:.2%} |"

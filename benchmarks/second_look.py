"""A second look at the kinds of study that did worst in ``calibration.py``.

The greatest of 200 estimates is too great: it is of a kind in which chance added to it. So the kinds with the
greatest estimates of the family-wise error, and those with the least and the greatest of the coverage, are
simulated anew, from random streams of their own, often enough that the standard error is 0.16 points at most.
Only studies without effects are, and only our intervals and verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actrec.seeding import numpy_rng
from actrec.stats.arms import study_effects
from actrec.stats.multiplicity import holm
from actrec.stats.paired import Effect
from benchmarks.simulated import ACCURACY, Cell, Floats, simulate, variances

KINDS, NOISIER_KINDS = 12, 3  # that erred most: whose arms vary alike, and whose do not
COVERING_KINDS = 3  # of the least coverage, and of the greatest
STUDIES = 20_000


class Seen(NamedTuple):
    """Of one kind of study: the share of studies without effects that have a wrong verdict, and the share of
    95 % intervals that hold the truth."""

    family_error: float
    coverage: float


def effects_of(y: Floats, groups: NDArray[np.int64]) -> list[Effect]:
    """The effect of every arm but the first, of (arms + 1, S, V), as a study has it."""
    return study_effects(dict(zip(map(str, range(len(y))), y, strict=True)), "0", groups)


def look(cell: Cell, studies: int) -> Seen:
    """Simulates studies without effects."""
    rng = numpy_rng(0, "calibration", "second look", *map(str, asdict(cell).values()))
    alike, groups, wrong, held = np.full(cell.arms + 1, ACCURACY), cell.groups, 0, 0.0
    for _ in range(studies):
        effects = effects_of(simulate(cell, alike, variances(cell, rng), rng), groups)
        wrong += bool((holm([effect.p for effect in effects]) <= 0.05).any())
        held += float(np.mean([effect.low <= 0 <= effect.high for effect in effects]))
    return Seen(wrong / studies, held / studies)


def worst(first: Mapping[Cell, Seen]) -> list[Cell]:
    """The kinds that are looked at again, of what the first look saw: those that erred most, the worst
    first; those of unequal variance that did; those of the least and of the greatest coverage."""
    erring = sorted(first, key=lambda cell: -first[cell].family_error)
    alike = [cell for cell in erring if not cell.noisier]
    covering = sorted(alike, key=lambda cell: first[cell].coverage)
    return list(
        dict.fromkeys(
            [
                *alike[:KINDS],
                *[cell for cell in erring if cell.noisier][:NOISIER_KINDS],
                *covering[:COVERING_KINDS],
                *covering[-COVERING_KINDS:],
            ]
        )
    )


def second_look(
    first: Mapping[Cell, Seen], executor: Executor, studies: int = STUDIES
) -> list[dict[str, Any]]:
    """The :func:`worst` kinds, with what both looks saw and the second's standard errors. That of the
    coverage is as if all intervals of a study held the truth or none: it is at most so."""
    cells = worst(first)
    found = executor.map(look, cells, [studies] * len(cells))
    return [
        {
            "name": str(cell),
            "noisier": cell.noisier,
            "first": first[cell]._asdict(),
            "second": {key: round(value, 4) for key, value in seen._asdict().items()},
            "se": {key: standard_error(value, studies) for key, value in seen._asdict().items()},
        }
        for cell, seen in zip(cells, found, strict=True)
    ]


def standard_error(share: float, studies: int) -> float:
    """Of a share of so many studies."""
    return round(math.sqrt(share * (1 - share) / studies), 4)


def greatest(looks: Sequence[Mapping[str, Any]], *, noisier: bool = False) -> dict[str, float] | None:
    """The greatest family-wise error of the second look, with its standard error; None where it saw no such
    kind."""
    own = [
        (one["second"]["family_error"], one["se"]["family_error"])
        for one in looks
        if bool(one["noisier"]) == noisier
    ]
    return dict(zip(("share", "se"), max(own), strict=True)) if own else None


def table(looks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """In Markdown."""
    yield "| kind of study | wrong verdict, first look | second | its error | coverage, first look | second |"
    yield "| --- " * 6 + "|"
    for one in looks:
        first, second = one["first"], one["second"]
        yield (
            f"| {one['name']} | {first['family_error']:.1%} | {second['family_error']:.2%}"
            f" | {one['se']['family_error']:.2%} | {first['coverage']:.1%} | {second['coverage']:.2%} |"
        )

"""A second look at the kinds of study that did worst in ``calibration.py``.

The greatest of 200 estimates is too great: it is of a kind in which chance added to it. So the kinds with the
greatest estimates of the family-wise error, and those with the least and the greatest of the coverage, are
simulated anew, from random streams of their own, often enough that the standard error is 0.16 points at most.
Only studies without effects are, and only our intervals and verdicts.

A study with a margin asks two questions of each arm: does it differ from 0, is it smaller than the margin? It
errs most where some arms are at 0 and some at the margin, so that either may be answered wrongly. Three kinds
of such studies are simulated too.
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
from actrec.stats.verdicts import NONE, judge_family
from benchmarks.simulated import ACCURACY, Cell, Floats, deviation, simulate, variances

KINDS, NOISIER_KINDS = 12, 3  # that erred most: whose arms vary alike, and whose do not
COVERING_KINDS = 3  # of the least coverage, and of the greatest
STUDIES = 20_000
# With a margin, of so many standard errors of a kind: so far that most of what is false is found to be so.
MARGIN_KINDS = tuple(Cell(seeds, 300, 1, "strong", "weak", 8) for seeds in (3, 5, 10))
MARGIN = 4.5


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


def look_with_margin(cell: Cell, studies: int) -> float:
    """The share of studies with a wrong verdict: every second arm is at 0 and called helps or hurts, or at
    the margin, above and below the baseline in turn, and called of no practical effect."""
    rng = numpy_rng(0, "calibration", "margin", *map(str, asdict(cell).values()))
    margin = min(MARGIN * deviation(cell, rng), 0.2)  # accuracies from 0.5 to 0.9
    truth = np.resize([0, margin, 0, -margin], cell.arms)
    accuracy, groups, wrong = ACCURACY + np.append(0, truth), cell.groups, 0
    for _ in range(studies):
        effects = effects_of(simulate(cell, accuracy, variances(cell, rng), rng), groups)
        wrong += any(
            one.verdict == NONE if at_margin else one.verdict in {"helps", "hurts"}
            for one, at_margin in zip(judge_family(effects, margin), truth, strict=True)
        )
    return wrong / studies


def looks_with_margin(executor: Executor, studies: int = STUDIES) -> list[dict[str, Any]]:
    """The kinds of studies with a margin, as those of :func:`second_look`."""
    found = executor.map(look_with_margin, MARGIN_KINDS, [studies] * len(MARGIN_KINDS))
    return [
        {
            "name": str(cell),
            "noisier": cell.noisier,
            "second": {"family_error": round(wrong, 4)},
            "se": {"family_error": standard_error(wrong, studies)},
        }
        for cell, wrong in zip(MARGIN_KINDS, found, strict=True)
    ]


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

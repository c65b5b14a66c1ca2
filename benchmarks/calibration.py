"""How often intervals hold the truth and verdicts err, in simulated studies where the truth is known.

    python benchmarks/calibration.py               # all cells, about 20 minutes on 2 cores
    python benchmarks/calibration.py --quick       # a few cells, half a minute
    python benchmarks/calibration.py --markdown    # the tables of docs/statistics.md and RESULTS.md too

The studies are those of ``simulated.py``. In half of them no arm differs from the baseline, in the others
every second one does, by about three standard errors. Our intervals and verdicts are those of
``actrec.stats``, called as a study calls them. Beside them, on the same data, all with Holm's correction:
arm-by-arm intervals of ours, and the tests of ``standard_tests.py``. The kinds of study in which ours do
worst are then looked at again, and studies with a margin beside them (``second_look.py``).

Prints one JSON object: ``cells``, ``second_look``, ``with_margin``, the ``summary`` over them, ``seconds``
and the machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import platform
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from actrec.seeding import numpy_rng
from actrec.stats.multiplicity import holm
from actrec.stats.paired import Effect, paired_effect
from benchmarks.least_width import least_width
from benchmarks.second_look import (
    STUDIES,
    Seen,
    effects_of,
    greatest,
    looks_with_margin,
    second_look,
    standard_error,
    table,
)
from benchmarks.simulated import ACCURACY, Cell, all_cells, pilot, quick_cells, simulate, variances
from benchmarks.standard_tests import Floats, Told, mixed_model, t_test

OURS, ALONE = "ours", "alone"
PEERS = ("t_seeds", "t_videos", "mixed", "mixed_t")
METHODS = (OURS, ALONE, *PEERS)
NAMES = {
    "ours": "**actrec**",
    "alone": "actrec, each arm by itself",
    "t_seeds": "paired t over seeds",
    "t_videos": "paired t over videos",
    "mixed": "mixed model, Wald's test",
    "mixed_t": "mixed model, t with S − 1 df",
}


def told(effect: Effect) -> Told:
    """Its difference, half its interval's width, and p."""
    if math.isnan(effect.se):
        return effect.difference, 0.0, 1.0
    return effect.difference, (effect.high - effect.low) / 2, effect.p


def results(y: Floats, groups: NDArray[np.int64]) -> dict[str, list[Told]]:
    """Method → what it tells of every arm."""
    ours = effects_of(y, groups)
    alone = [paired_effect(arm, y[0], groups) for arm in y[1:]] if len(ours) > 1 else ours
    differences = y[1:] - y[0]
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    by_group = np.add.reduceat(differences, starts, axis=2) / np.diff(starts, append=len(groups))
    return {
        OURS: [told(effect) for effect in ours],
        ALONE: [told(effect) for effect in alone],
        "t_seeds": [t_test(d.mean(axis=1)) for d in differences],
        "t_videos": [t_test(d.mean(axis=0)) for d in differences],
        "mixed": [mixed_model(d) for d in by_group],
        "mixed_t": [mixed_model(d, d.shape[0] - 1) for d in by_group],
    }


def run_cell(cell: Cell, studies: int) -> dict[str, Any]:
    """Simulates studies of one kind; the second half of them has arms that differ."""
    rng = numpy_rng(0, "calibration", *map(str, asdict(cell).values()))
    effect, groups = pilot(cell, rng), cell.groups
    covered = {method: np.zeros(cell.arms) for method in METHODS}
    widths, wrong, found = (dict.fromkeys(METHODS, 0.0) for _ in range(3))
    nulls = studies // 2
    for study in range(studies):
        accuracy = np.full(cell.arms + 1, ACCURACY)
        if study >= nulls:
            accuracy[1::2] += effect
        truth = accuracy[1:] - ACCURACY
        y = simulate(cell, accuracy, variances(cell, rng), rng)
        for method, of_arms in results(y, groups).items():
            estimate, half, p = np.array(of_arms).T
            covered[method] += abs(estimate - truth) <= half + 1e-12
            widths[method] += 2 * float(half.mean())
            rejected = holm(p) <= 0.05
            if study < nulls:
                wrong[method] += bool(rejected.any())
            else:
                found[method] += float((rejected & (estimate > 0))[truth > 0].mean())
    n_groups = int(groups[-1]) + 1
    return {
        **asdict(cell),
        "name": str(cell),
        "judged": n_groups >= 20,  # the aim holds for it
        "studies": studies,
        "effect": round(effect, 4),
        **{
            method: {
                "coverage": round(float(covered[method].mean()) / studies, 4),
                "least": round(float(covered[method].min()) / studies, 4),
                "width": round(widths[method] / studies, 5),
                "family_error": round(wrong[method] / nulls, 4),
                "power": round(found[method] / (studies - nulls), 4),
            }
            for method in METHODS
        },
    }


def summary(
    cells: Sequence[dict[str, Any]], looks: Sequence[dict[str, Any]], with_margin: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Over the cells of at least 20 groups; those that miss 93 to 98.5 %, or 5 %, by more than chance has it.

    Of so many cells some lie outside by simulation alone, so a miss has p < 0.001 by a binomial test.
    """
    judged = [cell for cell in cells if cell["judged"]]
    alike = [cell for cell in judged if not cell["noisier"]]
    wide = [c for c in alike if (c["seeds"], c["arms"], c["seed"], c["video"]) == (3, 8, "strong", "weak")]
    return {
        "cells": len(judged),
        "coverage": {method: span(alike, method) for method in METHODS},
        "coverage_4_times_noisier": {
            noisier: span([cell for cell in judged if cell["noisier"] == noisier], OURS)
            for noisier in sorted({cell["noisier"] for cell in judged} - {""})
        },
        "family_error": {method: max(c[method]["family_error"] for c in alike) for method in METHODS},
        "second_look": {
            "coverage": extremes(alike, looks),
            "family_error": greatest(looks),
            "family_error_4_times_noisier": greatest(looks, noisier=True),
            "family_error_with_margin": greatest(with_margin),
        },
        "mean_power": {method: mean_power(alike, method) for method in METHODS},
        "power_where_it_covers": {peer: where_it_covers(alike, peer) for peer in PEERS},
        "power_over_peers_that_cover": over_peers(alike),
        "width_3_seeds_8_arms": [round(c[OURS]["width"] / c[ALONE]["width"], 3) for c in wide],
        "least_width_for_a_noisier_baseline": {s: round(least_width(s), 3) for s in (3, 5, 10)},
        "misses": [
            f"{cell['name']}: coverage {cell[OURS]['coverage']:.3f}"
            for cell in judged
            if missed(cell[OURS]["coverage"], 0.93, cell["studies"], "less")
            or missed(cell[OURS]["coverage"], 0.985, cell["studies"], "greater")
        ],
        "family_misses": [
            f"{cell['name']}: family-wise error {cell[OURS]['family_error']:.3f}"
            for cell in judged
            if missed(cell[OURS]["family_error"], 0.05, cell["studies"] // 2, "greater")
        ],
    }


def extremes(cells: Sequence[dict[str, Any]], looks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The least and the greatest coverage, each with its standard error, of the second look where there was
    one: the extremes of the first are of kinds to which chance did most."""
    seen = {
        cell["name"]: (cell[OURS]["coverage"], standard_error(cell[OURS]["coverage"], cell["studies"]))
        for cell in cells
    }
    again = {one["name"]: (one["second"]["coverage"], one["se"]["coverage"]) for one in looks}
    best = [again.get(name, value) for name, value in seen.items()]
    return {
        side: dict(zip(("share", "se"), pick(best), strict=True))
        for side, pick in (("least", min), ("greatest", max))
    }


def missed(share: float, bound: float, studies: int, side: Literal["less", "greater"]) -> bool:
    return bool(stats.binomtest(round(share * studies), studies, bound, alternative=side).pvalue < 0.001)


def span(cells: Sequence[dict[str, Any]], method: str) -> tuple[float, float]:
    coverage = [cell[method]["coverage"] for cell in cells]
    return min(coverage), max(coverage)


def mean_power(cells: Sequence[dict[str, Any]], method: str) -> float:
    return round(float(np.mean([cell[method]["power"] for cell in cells])), 3)


def where_it_covers(cells: Sequence[dict[str, Any]], peer: str) -> dict[str, float]:
    """Power is worth comparing at equal coverage only: where the peer covers 93 % and errs in at most 7 %."""
    own = [c for c in cells if c[peer]["coverage"] >= 0.93 and c[peer]["family_error"] <= 0.07]
    return {"cells": len(own), "peer": mean_power(own, peer), OURS: mean_power(own, OURS)} if own else {}


def over_peers(cells: Sequence[dict[str, Any]]) -> float | None:
    """Our mean power over that of the best peer whose intervals cover 93 % in every kind of study."""
    peers = [mean_power(cells, peer) for peer in PEERS if span(cells, peer)[0] >= 0.93]
    return round(mean_power(cells, OURS) / max(peers), 3) if peers else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few cells, half a minute")
    parser.add_argument("--markdown", action="store_true", help="print tables too")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    given = parser.parse_args()
    started = time.monotonic()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the processes start: one thread each
    cells = quick_cells() if given.quick else all_cells()
    studies = [600 if given.quick else {1: 2000, 4: 800}.get(cell.arms, 500) for cell in cells]
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as executor:
        found = list(executor.map(run_cell, cells, studies))
        pairs = zip(cells, found, strict=True)
        first = {
            cell: Seen(one[OURS]["family_error"], one[OURS]["coverage"])
            for cell, one in pairs
            if one["judged"]
        }
        again = 1000 if given.quick else STUDIES
        looks = second_look(first, executor, again)
        with_margin = looks_with_margin(executor, again)
    result = {
        "summary": summary(found, looks, with_margin),
        "cells": found,
        "second_look": looks,
        "with_margin": with_margin,
        "seconds": round(time.monotonic() - started),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps(result, indent=1))
    if given.markdown:
        print("\n".join(markdown(result)))


def markdown(result: dict[str, Any]) -> Iterator[str]:
    """The tables of the documentation, and the misses."""
    judged = [cell for cell in result["cells"] if cell["judged"]]
    yield from ("| seeds | method | coverage | family-wise error | power |", "| --- " * 5 + "|")
    for seeds, (method, name) in itertools.product((3, 5, 10), NAMES.items()):
        own = [cell for cell in judged if cell["seeds"] == seeds and not cell["noisier"]]
        if own:
            low, high = span(own, method)
            wrong = max(cell[method]["family_error"] for cell in own)
            power = mean_power(own, method)
            yield f"| {seeds} | {name} | {low:.1%} to {high:.1%} | up to {wrong:.1%} | {power:.0%} |"
    yield from ("", "| where it covers | kinds of study | its power | power of actrec |", "| --- " * 4 + "|")
    for peer, found in result["summary"]["power_where_it_covers"].items():
        if found:
            yield f"| {NAMES[peer]} | {found['cells']} | {found['peer']:.0%} | {found[OURS]:.0%} |"
    yield from (
        "",
        "| four times noisier | seeds | coverage | of the least covered arm |",
        "| --- " * 4 + "|",
    )
    for noisier, seeds in itertools.product(("half", "one", "baseline"), (3, 5, 10)):
        own = [cell for cell in judged if (cell["noisier"], cell["seeds"]) == (noisier, seeds)]
        if own:
            low, high = span(own, OURS)
            least = min(cell[OURS]["least"] for cell in own)
            yield f"| {noisier} | {seeds} | {low:.1%} to {high:.1%} | {least:.1%} |"
    yield ""
    yield from table(result["second_look"])
    worst = result["summary"]["second_look"]["family_error_with_margin"]
    yield from (
        "",
        f"With a margin, half of the arms at it: up to {worst['share']:.2%} ± {worst['se']:.2%} of studies "
        "have a wrong verdict.",
        "",
    )
    yield from ("Kinds of study that miss by more than chance explains, at p < 0.001 (binomial test):", "")
    yield from (f"- {miss}" for kind in ("misses", "family_misses") for miss in result["summary"][kind])


if __name__ == "__main__":
    main()

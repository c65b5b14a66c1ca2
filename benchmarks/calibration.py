"""How often intervals hold the truth and verdicts err, in simulated studies where the truth is known.

    python benchmarks/calibration.py               # all cells, 5 to 10 minutes on 2 cores
    python benchmarks/calibration.py --quick       # a few cells, less than a minute
    python benchmarks/calibration.py --markdown    # the tables of docs/statistics.md and RESULTS.md too

A video is classified rightly where a sum of normal effects is above 0: how good the arm is; how easy the
video, and its group; what the seed does to all arms, to this one, and to this one on this video; what the arm
does to this video and its group. So outcomes are binary, seeds and videos are crossed, and an arm's accuracy
over all seeds and videos is Φ(mean / √(1 + variances)) exactly. In half of the studies no arm differs from
the baseline, in the others every second one does, by about three standard errors.

Our intervals and verdicts are those of ``actrec.stats``, called as a study calls them. Beside them, on the
same data: a paired t test over seeds, one over videos (both with Holm), arm-by-arm intervals of ours, and,
for a few studies of one arm and few videos (it is slow), the mixed model of statsmodels with crossed effects.

Prints one JSON object: ``cells``, the ``summary`` over them, ``mixed``, ``seconds`` and the machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import platform
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from actrec.seeding import numpy_rng
from actrec.stats.arms import study_effects
from actrec.stats.multiplicity import holm
from actrec.stats.paired import Effect, paired_effect, quantile, tail

Floats = NDArray[np.float64]

ACCURACY = 0.7
METHODS = ("ours", "alone", "t_seeds", "t_videos")
# Standard deviations on the latent scale, where noise has 1. At accuracy 0.7 an arm × seed effect of 0.25
# moves the accuracy of a trial by 5 points, one of 0.03 by 0.6.
SEED = {"weak": 0.03, "strong": 0.25}
VIDEO = {"weak": 0.05, "strong": 0.5}
EASE, SEED_OF_VIDEO, SEED_OF_ALL = 1.0, 0.6, 0.1


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of study.

    Attributes:
        seeds, videos, group, arms: how many; ``group`` videos a group, 0: from 1 to 20 (all alike likely).
        seed, video: how strong the effects of arm × seed and arm × video are.
        noisier: whose seed variance is four times the others': ``""`` nobody's, ``half`` of the arms with the
            baseline or without, ``one`` arm's, the ``baseline``'s.
    """

    seeds: int
    videos: int
    group: int
    seed: str
    video: str
    arms: int
    noisier: str = ""

    @property
    def n_groups(self) -> int:
        return len(np.unique(groups_of(self)))

    @property
    def judged(self) -> bool:
        """Whether the aim holds for it: at least 20 groups of videos."""
        return self.n_groups >= 20


def groups_of(cell: Cell) -> NDArray[np.int64]:
    """(V,): the group of each video."""
    if cell.group:
        return np.arange(cell.videos) // cell.group
    sizes = numpy_rng(0, "group sizes").integers(1, 21, cell.videos)
    return np.repeat(np.arange(cell.videos), sizes)[: cell.videos]


def variances(cell: Cell, rng: np.random.Generator) -> Floats:
    """(arms + 1,): of arm × seed, the baseline's first."""
    factor = np.ones(cell.arms + 1)
    if cell.noisier == "half":
        factor[rng.permutation(cell.arms + 1)[: (cell.arms + 1) // 2]] = 4
    elif cell.noisier:
        factor[0 if cell.noisier == "baseline" else -1] = 4
    return factor * SEED[cell.seed] ** 2


def simulate(cell: Cell, accuracy: Floats, seed_variances: Floats, rng: np.random.Generator) -> Floats:
    """(arms + 1, S, V) of 0 and 1, whose expectations over seeds and videos are ``accuracy`` (arms + 1,)."""
    groups, arms, seeds, videos = groups_of(cell), cell.arms + 1, cell.seeds, cell.videos
    n_groups = groups[-1] + 1
    half = np.float32(math.sqrt(0.5))

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape, np.float32)

    def of_videos(*shape: int) -> NDArray[np.float32]:
        """Half of the variance is the group's."""
        return half * (normal(*shape, videos) + normal(*shape, n_groups)[..., groups])

    total = 1 + EASE**2 + SEED_OF_VIDEO**2 + SEED_OF_ALL**2 + seed_variances + VIDEO[cell.video] ** 2
    mean = (stats.norm.ppf(accuracy) * np.sqrt(total)).astype(np.float32)
    common = EASE * of_videos() + SEED_OF_VIDEO * normal(seeds, videos) + SEED_OF_ALL * normal(seeds, 1)
    of_seed = np.sqrt(seed_variances).astype(np.float32)[:, None, None] * normal(arms, seeds, 1)
    latent = mean[:, None, None] + of_seed + VIDEO[cell.video] * of_videos(arms, 1)
    return np.asarray(latent + common + normal(arms, seeds, videos) > 0, np.float64)


def by_t(difference: float, variance: float, df: float) -> tuple[float, float]:
    """Half the width of the 95 % interval, and p."""
    if variance <= 0:
        return 0.0, 1.0 if difference == 0 else 0.0
    se = math.sqrt(variance)
    return quantile(df, 0.975) * se, 2 * tail(df, abs(difference) / se)


def intervals(y: Floats, groups: NDArray[np.int64]) -> dict[str, list[tuple[float, float]]]:
    """Method → (half width, p) of every arm. Values that do not vary give an interval of no width."""

    def of(effect: Effect) -> tuple[float, float]:
        return (0.0, 1.0) if math.isnan(effect.se) else ((effect.high - effect.low) / 2, effect.p)

    arms, seeds, videos = y.shape
    differences = y[1:] - y[:1]
    means, by_seed, by_video = differences.mean((1, 2)), differences.mean(2), differences.mean(1)
    ours = study_effects({str(arm): y[arm] for arm in range(arms)}, "0", groups)
    over_seeds = by_seed.var(1, ddof=1) / seeds
    over_videos = by_video.var(1, ddof=1) / videos
    return {
        "ours": [of(effect) for effect in ours],
        "alone": [of(paired_effect(y[arm], y[0], groups)) for arm in range(1, arms)],
        "t_seeds": [by_t(d, v, seeds - 1) for d, v in zip(means.tolist(), over_seeds.tolist(), strict=True)],
        "t_videos": [
            by_t(d, v, videos - 1) for d, v in zip(means.tolist(), over_videos.tolist(), strict=True)
        ],
    }


def pilot(cell: Cell, rng: np.random.Generator) -> float:
    """A difference of about three standard errors of arms that are compared one by one, at most 0.2."""
    alike, groups = np.full(2, ACCURACY), groups_of(cell)
    one = replace(cell, arms=1, noisier="")
    runs = [simulate(one, alike, variances(one, rng), rng) for _ in range(40)]
    found = [paired_effect(y[1], y[0], groups).difference for y in runs]
    return min(3 * float(np.std(found)), 0.2)


def run_cell(cell: Cell, studies: int) -> dict[str, Any]:
    """Simulates studies of one kind; the second half of them has arms that differ."""
    rng = numpy_rng(0, "calibration", *map(str, asdict(cell).values()))
    effect, groups = pilot(cell, rng), groups_of(cell)
    covered = {method: np.zeros(cell.arms) for method in METHODS}
    widths, wrong, found = (dict.fromkeys(METHODS, 0.0) for _ in range(3))
    for study in range(studies):
        accuracy = np.full(cell.arms + 1, ACCURACY)
        null = study < studies // 2
        if not null:
            accuracy[1::2] += effect
        y = simulate(cell, accuracy, variances(cell, rng), rng)
        estimate, truth = y[1:].mean((1, 2)) - y[0].mean(), accuracy[1:] - ACCURACY
        for method, results in intervals(y, groups).items():
            half, p = np.array(results).T
            covered[method] += abs(estimate - truth) <= half + 1e-12
            widths[method] += 2 * float(half.mean())
            rejected = holm(p) <= 0.05
            if null:
                wrong[method] += bool(rejected.any())
            else:
                found[method] += float((rejected & (estimate > 0))[truth > 0].mean())
    nulls = studies // 2
    return {
        **asdict(cell),
        "n_groups": cell.n_groups,
        "judged": cell.judged,
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


def run_mixed(cell: Cell, studies: int) -> dict[str, Any]:
    """A linear mixed model of the differences, seeds and videos crossed, by REML, with Wald's test."""
    import pandas as pd
    import statsmodels.formula.api as smf  # type: ignore[import-untyped]

    rng = numpy_rng(0, "mixed", *map(str, asdict(cell).values()))
    effect, groups = pilot(cell, rng), groups_of(cell)
    seed, video = np.meshgrid(np.arange(cell.seeds), np.arange(cell.videos), indexing="ij")
    crossed = {"seed": "0 + C(seed)", "video": "0 + C(video)"}
    counts = {name: np.zeros(3) for name in ("mixed", "ours")}  # covered, wrong, found
    for study in range(studies):
        null = study < studies // 2
        accuracy = np.array([ACCURACY, ACCURACY if null else ACCURACY + effect])
        y = simulate(cell, accuracy, variances(cell, rng), rng)
        ours = paired_effect(y[1], y[0], groups)
        frame = pd.DataFrame(
            {"d": (y[1] - y[0]).ravel(), "seed": seed.ravel(), "video": video.ravel(), "all": 1}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says so where a variance is estimated as 0
            fit = smf.mixedlm("d ~ 1", frame, groups="all", vc_formula=crossed, re_formula="0").fit()
        low, high = fit.conf_int().loc["Intercept"]
        truth = accuracy[1] - accuracy[0]
        for name, (a, b, p) in {
            "mixed": (low, high, fit.pvalues["Intercept"]),
            "ours": (ours.low, ours.high, ours.p),
        }.items():
            counts[name] += [a <= truth <= b, null and p <= 0.05, not null and p <= 0.05]
    nulls = studies // 2
    return {
        **asdict(cell),
        "studies": studies,
        **{
            name: {
                "coverage": round(c[0] / studies, 3),
                "family_error": round(c[1] / nulls, 3),
                "power": round(c[2] / (studies - nulls), 3),
            }
            for name, c in counts.items()
        },
    }


def all_cells() -> list[Cell]:
    """Every combination, then unequal groups, then arms of unequal variance."""
    grid = itertools.product((3, 5, 10), (60, 300, 1500), (1, 10), SEED, VIDEO, (1, 4, 12))
    return [
        *(Cell(*values) for values in grid),
        *(Cell(s, 300, 0, seed, video, 1) for s in (3, 5) for seed in SEED for video in VIDEO),
        *(Cell(s, 300, 1, seed, "weak", 8) for s in (3, 5) for seed in SEED),
        *(
            Cell(s, 300, 1, "strong", video, 8, noisier)
            for s in (3, 5, 10)
            for video in VIDEO
            for noisier in ("half", "one", "baseline")
        ),
    ]


def quick_cells() -> list[Cell]:
    return [
        *(Cell(s, 300, 10, seed, video, 1) for s in (3, 10) for seed in SEED for video in VIDEO),
        Cell(3, 300, 1, "strong", "weak", 8),
        Cell(3, 300, 1, "strong", "strong", 8, "half"),
    ]


def summary(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
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
            noisier: span([cell for cell in judged if cell["noisier"] == noisier], "ours")
            for noisier in sorted({cell["noisier"] for cell in judged} - {""})
        },
        "family_error": {m: max(c[m]["family_error"] for c in alike) for m in METHODS},
        "mean_power": {m: round(float(np.mean([c[m]["power"] for c in alike])), 3) for m in METHODS},
        "width_3_seeds_8_arms": [round(c["ours"]["width"] / c["alone"]["width"], 3) for c in wide],
        "misses": [
            f"{name_of(cell)}: coverage {cell['ours']['coverage']:.3f}"
            for cell in judged
            if missed(cell["ours"]["coverage"], 0.93, cell["studies"], "less")
            or missed(cell["ours"]["coverage"], 0.985, cell["studies"], "greater")
        ],
        "family_misses": [
            f"{name_of(cell)}: family-wise error {cell['ours']['family_error']:.3f}"
            for cell in judged
            if missed(cell["ours"]["family_error"], 0.05, cell["studies"] // 2, "greater")
        ],
    }


def missed(share: float, bound: float, studies: int, side: Literal["less", "greater"]) -> bool:
    return bool(stats.binomtest(round(share * studies), studies, bound, alternative=side).pvalue < 0.001)


def span(cells: Sequence[dict[str, Any]], method: str) -> tuple[float, float]:
    coverage = [cell[method]["coverage"] for cell in cells]
    return min(coverage), max(coverage)


def name_of(cell: dict[str, Any]) -> str:
    parts = [
        f"{cell['seeds']} seeds",
        f"{cell['videos']} videos in {cell['n_groups']} groups",
        f"{cell['seed']} seed and {cell['video']} video effects",
        f"{cell['arms']} arms",
        f"{cell['noisier']} 4 × noisier" if cell["noisier"] else "",
    ]
    return ", ".join(filter(None, parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few cells, less than a minute")
    parser.add_argument("--markdown", action="store_true", help="print tables too")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    given = parser.parse_args()
    started = time.monotonic()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the processes start: one thread each
    cells = quick_cells() if given.quick else all_cells()
    studies = [600 if given.quick else {1: 2000, 4: 800}.get(cell.arms, 500) for cell in cells]
    slow = [Cell(s, 60, 1, "strong", "strong", 1) for s in ((3,) if given.quick else (3, 5))]
    with ProcessPoolExecutor(given.workers, get_context("spawn")) as executor:
        mixed = executor.map(run_mixed, slow, [10 if given.quick else 100] * len(slow))
        found = list(executor.map(run_cell, cells, studies))
        result = {
            "summary": summary(found),
            "cells": found,
            "mixed": list(mixed),
            "seconds": round(time.monotonic() - started),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        }
    print(json.dumps(result, indent=1))
    if given.markdown:
        print(markdown(result))


def markdown(result: dict[str, Any]) -> str:
    """The tables of the documentation."""
    names = {
        "ours": "**actrec**",
        "alone": "actrec, each arm by itself",
        "t_seeds": "paired t over seeds",
        "t_videos": "paired t over videos",
    }
    lines = ["| seeds | method | coverage | family-wise error | power |", "| --- " * 5 + "|"]
    for seeds, (method, name) in itertools.product((3, 5, 10), names.items()):
        own = [c for c in result["cells"] if c["judged"] and c["seeds"] == seeds and not c["noisier"]]
        if own:
            low, high = span(own, method)
            wrong = max(cell[method]["family_error"] for cell in own)
            power = float(np.mean([cell[method]["power"] for cell in own]))
            lines.append(f"| {seeds} | {name} | {low:.1%} to {high:.1%} | up to {wrong:.1%} | {power:.0%} |")
    lines += ["", "| four times noisier | seeds | coverage | of the least covered arm |", "| --- " * 4 + "|"]
    for noisier, seeds in itertools.product(("half", "one", "baseline"), (3, 5, 10)):
        own = [c for c in result["cells"] if (c["noisier"], c["seeds"]) == (noisier, seeds)]
        if own:
            low, high = span(own, "ours")
            least = min(cell["ours"]["least"] for cell in own)
            lines.append(f"| {noisier} | {seeds} | {low:.1%} to {high:.1%} | {least:.1%} |")
    lines += ["", "| one arm, 60 videos | method | coverage | error | power |", "| --- " * 5 + "|"]
    for cell, (key, name) in itertools.product(result["mixed"], {"ours": "actrec", "mixed": "mixed"}.items()):
        own = cell[key]
        lines.append(
            f"| {cell['seeds']} seeds | {name} | {own['coverage']:.1%} | {own['family_error']:.1%} | "
            f"{own['power']:.0%} |"
        )
    shown = [f"- {miss}" for kind in ("misses", "family_misses") for miss in result["summary"][kind]]
    return "\n".join([*lines, "", *shown])


if __name__ == "__main__":
    main()

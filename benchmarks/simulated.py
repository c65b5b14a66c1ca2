"""Simulated studies whose truth is known, for ``calibration.py``.

A video is classified rightly where a sum of normal effects is above 0: how good the arm is; how easy the
video, and its group; what the seed does to all arms, to this one, and to this one on this video; what the arm
does to this video and its group. So outcomes are binary, seeds and videos are crossed, and an arm's accuracy
over all seeds and videos is Φ(mean / √(1 + variances)) exactly.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from actrec.seeding import numpy_rng
from actrec.stats.paired import paired_effect

Floats = NDArray[np.float64]

ACCURACY = 0.7
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
    def groups(self) -> NDArray[np.int64]:
        """(V,): the group of each video."""
        if self.group:
            return np.arange(self.videos) // self.group
        sizes = numpy_rng(0, "group sizes").integers(1, 21, self.videos)
        return np.repeat(np.arange(self.videos), sizes)[: self.videos]

    def __str__(self) -> str:
        parts = [
            f"{self.seeds} seeds",
            f"{self.videos} videos in {self.groups[-1] + 1} groups",
            f"{self.seed} seed and {self.video} video effects",
            f"{self.arms} arm{'s' * (self.arms > 1)}",
            f"{self.noisier} 4 × noisier" if self.noisier else "",
        ]
        return ", ".join(filter(None, parts))


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
    """A few of them."""
    return [
        *(Cell(s, 300, 10, seed, video, 1) for s in (3, 10) for seed in SEED for video in VIDEO),
        Cell(3, 300, 1, "strong", "weak", 8),
        Cell(3, 300, 1, "strong", "strong", 8, "half"),
    ]


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
    groups, arms, seeds, videos = cell.groups, cell.arms + 1, cell.seeds, cell.videos
    n_groups = groups[-1] + 1
    half = np.float32(math.sqrt(0.5))

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape, np.float32)

    def of_videos(*shape: int) -> NDArray[np.float32]:
        """Half of the variance is the group's."""
        return half * (normal(*shape, videos) + normal(*shape, n_groups)[..., groups])

    total = 1 + EASE**2 + SEED_OF_VIDEO**2 + SEED_OF_ALL**2 + seed_variances + VIDEO[cell.video] ** 2
    mean = (ndtri(accuracy) * np.sqrt(total)).astype(np.float32)
    common = EASE * of_videos() + SEED_OF_VIDEO * normal(seeds, videos) + SEED_OF_ALL * normal(seeds, 1)
    of_seed = np.sqrt(seed_variances).astype(np.float32)[:, None, None] * normal(arms, seeds, 1)
    latent = mean[:, None, None] + of_seed + VIDEO[cell.video] * of_videos(arms, 1)
    return np.asarray(latent + common + normal(arms, seeds, videos) > 0, np.float64)


def pilot(cell: Cell, rng: np.random.Generator) -> float:
    """A difference of about three standard errors of arms that are compared one by one, at most 0.2."""
    return min(3 * deviation(cell, rng), 0.2)


def deviation(cell: Cell, rng: np.random.Generator) -> float:
    """The standard error of the difference of two arms, estimated by 40 studies."""
    one, alike = replace(cell, arms=1, noisier=""), np.full(2, ACCURACY)
    runs = [simulate(one, alike, variances(one, rng), rng) for _ in range(40)]
    return float(np.std([paired_effect(y[1], y[0], cell.groups).difference for y in runs]))

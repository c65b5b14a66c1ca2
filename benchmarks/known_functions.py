"""Functions whose best value is known, of trial specifications, for ``search_quality.py``.

Each has a search space like any study's and gives a trial a value from 0, which is the best that there is, to
1: the height above the optimum, over the function's range. Paths stand for coordinates and mean nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from actrec.spec import TrialSpec, get, override
from actrec.study.dimensions import Categorical, Dimension, Float, When
from actrec.study.factors import Study
from actrec.study.search import Search
from actrec.study.space import Space

PLANE = {"model.dropout": Float(0.0, 0.9), "loss.label_smoothing": Float(0.0, 0.9)}
SIX = {
    **PLANE,
    "augment.hflip": Float(0.0, 1.0),
    "augment.jitter": Float(0.0, 1.0),
    "optim.lr": Float(1e-5, 1e-1, log=True),
    "optim.momentum": Float(0.0, 0.99),
}
MIXED: Space = {
    **PLANE,
    "loss.class_weights": Categorical(("none", "balanced", "sqrt", "effective")),
    "freeze.strategy": Categorical(("none", "head_only")),
    "loss.kind": Categorical(("cross_entropy", "focal")),
    "loss.gamma": Float(0.0, 5.0, when=When("loss.kind", ("focal",))),
}
WEIGHTS = {"none": 0.1, "balanced": 0.03, "sqrt": 0.0, "effective": 0.06}

# Hartmann 6: Dixon and Szegő, "Towards global optimisation 2" (1978).
ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def branin(spec: TrialSpec) -> float:
    """Two coordinates, three optima (Branin, 1972). Its range on the square is 0.3979 to 308.13."""
    u, v = (_unit(path, PLANE[path], spec) for path in PLANE)
    x, y = 15 * u - 5, 15 * v
    valley = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    value = valley + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10
    return (value - 0.39788736) / (308.12910 - 0.39788736)


def hartmann6(spec: TrialSpec) -> float:
    """Six coordinates, six local optima; its range is −3.32237 to 0."""
    point = np.array([_unit(path, SIX[path], spec) for path in SIX])
    return 1 - float(ALPHA @ np.exp(-(A * (point - P) ** 2).sum(axis=1))) / 3.32237


def mixed(spec: TrialSpec) -> float:
    """Branin, with three categories and a coordinate that exists for one value of one of them; range 0 to 1.

    The best has the weights ``sqrt``, nothing frozen, and the focal loss with γ = 3.5.
    """
    focal = spec.loss.kind == "focal"
    loss = 0.5 * (spec.loss.gamma / 5 - 0.7) ** 2 if focal else 0.1
    frozen = 0.05 * (spec.freeze.strategy != "none")
    return (0.5 * branin(spec) + loss + frozen + WEIGHTS[spec.loss.class_weights]) / 0.895


@dataclass(frozen=True)
class Problem:
    """A function and where it is searched; a search starts in the middle."""

    space: Space
    value: Callable[[TrialSpec], float]

    def study(self, seed: int, trials: int, parallel: int) -> Study:
        middles = {path: _middle(dimension) for path, dimension in self.space.items()}
        search = Search(space=self.space, trials=trials, seed=seed, parallel=parallel, confirm=0)
        return Study(name="known", base=override(TrialSpec(), middles), factors=(), seeds=(0,), search=search)


PROBLEMS = {
    "branin": Problem(PLANE, branin),
    "hartmann6": Problem(SIX, hartmann6),
    "mixed": Problem(MIXED, mixed),
}


def _middle(dimension: Dimension) -> float | str:
    if isinstance(dimension, Categorical):
        return str(dimension.choices[0])
    if dimension.log:
        return math.sqrt(dimension.low * dimension.high)
    return (dimension.low + dimension.high) / 2


def _unit(path: str, dimension: Float, spec: TrialSpec) -> float:
    """The value at ``path``, from 0 at the lower end of its dimension to 1 at the upper one."""
    value = get(spec, path)
    if dimension.log:
        return math.log(value / dimension.low) / math.log(dimension.high / dimension.low)
    return float((value - dimension.low) / (dimension.high - dimension.low))

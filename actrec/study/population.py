"""The rules of population based training: who is copied, and what of a copy changes.

Source: Jaderberg et al., "Population based training of neural networks" (arXiv 1711.09846), section 4.1.1:
truncation selection, and exploration by perturbing or drawing anew.

Weights and the optimiser's state of one trial are taken up by another. So what they must fit is inherited as
it is: dimensions of the model (but dropout), of freezing, clips and data, and the optimiser's name; and what
decides whether one of these exists. All others change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from actrec.errors import StudyError
from actrec.spec import TrialSpec
from actrec.study.dimensions import Categorical, Dimension, Float
from actrec.study.space import Space

if TYPE_CHECKING:
    from actrec.study.search import Search

FACTORS = (0.8, 1.2)  # that a number is multiplied by
ANEW = 0.25  # the probability that a value is drawn anew: so that a number leaves 0, and a category changes
LEARNT = ("model", "freeze", "clip", "data")  # parts that weights and the optimiser's state must fit
OWN = (
    "optim.epochs",
    "optim.horizon",
    "optim.patience",
)  # what ends a trial, which is the population's to say


def check(search: Search, base: TrialSpec) -> None:
    """Looks at the search of a study with that base.

    Raises:
        StudyError: if a population cannot be trained in that space and budget; says what would do.
    """
    name = "sampler='pbt'"
    for path in OWN:
        if path in search.space:
            raise StudyError(f"{name} cuts trials into parts itself: {path!r} cannot be searched")
    if base.optim.patience:
        raise StudyError(
            f"{name} ends poor trials itself: optim.patience must be 0, not {base.optim.patience}"
        )
    epochs = search.epochs or base.optim.epochs
    if epochs < search.generations:
        most = epochs * search.population
        raise StudyError(
            f"{name}: {search.trials} trials of a population of {search.population} are {search.generations} "
            f"generations, but there are {epochs} epochs to cut: at most {most} trials, or more epochs"
        )
    if search.size is not None and search.size < search.population:
        raise StudyError(f"{name}: population={search.population}, but the space has {search.size} trials")
    varied = changing(search.space)
    if not any(search.space[path].when is None and _several(search.space[path]) for path in varied):
        raise StudyError(
            f"{name}: of {', '.join(search.space)} nothing can change in the middle of a training, since "
            "weights must fit; it needs a dimension that can, and exists for every trial, such as optim.lr, "
            "model.dropout or augment"
        )


def changing(space: Space) -> list[str]:
    """The dimensions that a copy changes; see the module. The space is in the order that ``check`` of
    :mod:`actrec.study.space` gives."""
    inherited: set[str] = set()
    for path, dimension in reversed(list(space.items())):  # what others depend on comes after them here
        learnt = path.partition(".")[0] in LEARNT and path != "model.dropout"
        if learnt or path == "optim.name" or path in inherited:
            inherited |= {path, dimension.when.path if dimension.when else path}
    return [path for path in space if path not in inherited]


def ranked(values: Sequence[float | None]) -> list[int]:
    """Places of the members of a generation, the best first; None stands for a member that failed."""
    return sorted(range(len(values)), key=lambda place: (-_score(values[place]), place))


def chosen(values: Sequence[float | None]) -> tuple[list[int], set[int]]:
    """The places of those who may be copied, a quarter, and of those who copy: the worst quarter, and all
    that failed, which have nothing to go on with. Without a survivor there is nobody to copy."""
    order, quarter = ranked(values), max(1, len(values) // 4)
    top = [place for place in order[:quarter] if values[place] is not None]
    return top, {*order[-quarter:], *(place for place, value in enumerate(values) if value is None)}


def perturbed(dimension: Dimension, value: float, rng: np.random.Generator) -> float:
    """A number × 0.8 or 1.2, on the grid of its dimension if it has one but at least a step away, within its
    ends. Categories stay as they are."""
    factor = FACTORS[int(rng.integers(2))]
    if isinstance(dimension, Categorical):
        return value
    moved = value * factor
    if isinstance(dimension, Float) and dimension.step is None:
        return min(max(moved, dimension.low), dimension.high)
    step = dimension.step or 1
    last = int((dimension.high - dimension.low) / step + 1e-8)
    place, target = (round((number - dimension.low) / step) for number in (value, moved))
    target = max(target, place + 1) if factor > 1 else min(target, place - 1)
    return dimension.low + min(max(target, 0), last) * step


def _score(value: float | None) -> float:
    return -np.inf if value is None else value


def _several(dimension: Dimension) -> bool:
    return not isinstance(dimension, Categorical) or len(dimension.choices) > 1

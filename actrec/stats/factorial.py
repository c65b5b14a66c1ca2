"""Main effects and two-way interactions of a factorial study, as contrasts of its arms.

The mean score of an arm is modelled by the main effects of the factors and their two-way interactions, coded
so that each sums to zero over the values of a factor. Least squares makes an effect a weighted sum of arms:

- the *main effect* of a level is (level − baseline), the mean over the combinations of the other factors;
- the *interaction* of two levels is by how much greater the main effect of the one is where the other factor
  is at its level than where it is at its baseline: the difference of differences. (Textbooks on two-level
  designs call half of it AB.)

Interactions of three factors and more average out in a full factorial; in a fraction, or with arms missing,
they are taken to be none. An effect that the arms cannot tell from another is *confounded* with it: it has no
estimate, and says with what.

Source: Montgomery, "Design and Analysis of Experiments" (8th ed.), sections 3.5, 5.3 and 8.2.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from actrec.errors import StudyError
from actrec.fields import unknown
from actrec.metrics import DIRECTIONS
from actrec.stats.moderation import Pool, moderated, pool
from actrec.stats.multiplicity import holm
from actrec.stats.paired import Clusters, Effect, Floats, components, effect
from actrec.stats.scores import Outcomes
from actrec.stats.verdicts import ALPHA

ROUNDING = 1e-9  # of weights and of the model's columns, which are made of −1, 0 and 1
JOIN = " × "

Term = tuple[str, ...]  # no factor: the mean; one: its main effect; two: their interaction


@dataclass(frozen=True, slots=True)
class Factorial:
    """Which arm has which value of which factor.

    Attributes:
        factors: path → its values as text, the baseline first.
        cells: arm → the number of its value of each factor, 0 being the baseline.
    """

    factors: Mapping[str, Sequence[str]]
    cells: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class FactorialEffect:
    """A row of the ``contrasts`` table but for its metric.

    Attributes:
        kind: of the main effect of ``level`` of ``factor``, or of its interaction with ``other_level`` of
            ``other_factor``; these are empty for a main effect.
        n_seeds: seeds on which every arm that it takes has a trial.
        difference, low, high: the effect and its 95 % interval; NaN where it is confounded.
        p, p_adjusted: two-sided; adjusted by Holm over all effects of its kind, and for the looks of a race.
        confounded_with: the effects that it cannot be told from; empty where it can.
    """

    kind: Literal["main", "interaction"]
    factor: str
    level: str
    baseline: str
    other_factor: str
    other_level: str
    other_baseline: str
    n_seeds: int
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    confounded_with: str


def factorial_effects(
    design: Factorial, scores: Mapping[str, ArrayLike], groups: ArrayLike, looks: int = 1
) -> list[FactorialEffect]:
    """Every main effect, then every two-way interaction, for new seeds and new groups of test videos.

    A contrast of arms is treated as a difference of two arms is (:mod:`actrec.stats.arms`): its score of a
    video on a seed is the weighted sum of those of the arms, and its variance over seeds is moderated by the
    one that all arms tell together.

    Args:
        scores: arm → (S, V), the score of each video in the trial of each seed. Rows are the same seeds in
            all arms, columns the same videos. A missing trial is a row of NaN. Arms that are not in the
            design are left out, as are those without a trial.
        groups: (V,), the group of each video.
        looks: at how many numbers of seeds the study judges (:mod:`actrec.study.race`): p-values are
            multiplied by it, intervals widened accordingly.
    """
    arrays = {arm: np.asarray(scores[arm], np.float64) for arm in design.cells if arm in scores}
    arrays = {arm: values for arm, values in arrays.items() if not np.isnan(values).all()}
    if not arrays:
        return []
    model = _Model.of(Factorial(design.factors, {arm: design.cells[arm] for arm in arrays}))
    clusters = Clusters.of(groups)
    pooled = pool([_means(values) for values in arrays.values()])
    found: list[FactorialEffect] = []
    for size in (1, 2):
        effects: list[tuple[Mapping[str, int], Effect | None, list[Term]]] = []
        for term in itertools.combinations(design.factors, size):
            for numbers in itertools.product(*(range(1, len(design.factors[name])) for name in term)):
                step = dict(zip(term, numbers, strict=True))
                values, aliases = model.solve(step)
                told = None if aliases else _infer(values, list(arrays.values()), clusters, pooled, looks)
                effects.append((step, told, aliases))
        p = holm([math.nan if told is None else told.p for _, told, _ in effects])
        adjusted = np.minimum(looks * p, 1.0).tolist()
        found += [_row(design, *entry, p) for entry, p in zip(effects, adjusted, strict=True)]
    return found


def contrast_rows(
    design: Factorial, outcomes: Outcomes, metrics: Iterable[str] = DIRECTIONS, looks: int = 1
) -> list[dict[str, Any]]:
    """Rows of the ``contrasts`` table: :func:`factorial_effects` on every metric."""
    seeds = sorted({seed for arm, seed in outcomes.cells if arm in design.cells})
    return [
        {"metric": metric, **dataclasses.asdict(found)}
        for metric in metrics
        for found in factorial_effects(
            design,
            {arm: outcomes.values(metric, arm, seeds) for arm in design.cells},
            outcomes.groups,
            looks,
        )
    ]


def weights(design: Factorial, step: Mapping[str, int]) -> Floats:
    """The weights of the arms, float64 (A,), in an effect; they sum to 0.

    Args:
        step: factor → number of its level, for one factor (a main effect) or two (their interaction).

    Raises:
        StudyError: on an unknown factor, or where the effect is confounded; it names with what.
    """
    for name in step:
        if name not in design.factors:
            raise StudyError(unknown("factor", name, design.factors))
    found, aliases = _Model.of(design).solve(step)
    if aliases:
        raise StudyError(
            f"{JOIN.join(step)} is confounded with {_names(aliases)}: these arms cannot tell them apart"
        )
    return found


@dataclass(frozen=True, slots=True)
class _Model:
    """The linear model of the arms' means. A arms, P parameters in blocks, a block a term.

    Attributes:
        terms: of the blocks.
        ends: where each block ends but the last.
        codes: factor → its effect coding.
        matrix, inverse: float64 (A, P) and its pseudo-inverse (P, A).
    """

    terms: Sequence[Term]
    ends: Sequence[int]
    codes: Mapping[str, Floats]
    matrix: Floats
    inverse: Floats

    @classmethod
    def of(cls, design: Factorial) -> _Model:
        names = list(design.factors)
        cells = np.array(list(design.cells.values()), np.int64).reshape(-1, len(names))
        codes = {name: _code(len(values)) for name, values in design.factors.items()}
        coded = {name: codes[name][cells[:, place]] for place, name in enumerate(names)}
        terms = [term for size in (0, 1, 2) for term in itertools.combinations(names, size)]
        blocks = [_products([coded[name] for name in term], len(cells)) for term in terms]
        matrix = np.hstack(blocks)
        ends = np.cumsum([block.shape[1] for block in blocks])[:-1].tolist()
        inverse = np.asarray(np.linalg.pinv(matrix, rcond=ROUNDING), np.float64)
        return cls(terms, ends, codes, matrix, inverse)

    def solve(self, step: Mapping[str, int]) -> tuple[Floats, list[Term]]:
        """The least-squares weights of the arms in an effect, and what it is confounded with."""
        wanted = np.zeros(self.matrix.shape[1])  # what the effect is of the parameters
        for term, part in zip(self.terms, np.split(wanted, self.ends), strict=True):
            if set(term) == set(step):
                steps = [self.codes[name][[step[name]]] - self.codes[name][[0]] for name in term]
                part[:] = _products(steps, 1)[0]
        # The change of the parameters that alters the effect most while no arm's mean shows it.
        hidden = wanted - self.inverse @ (self.matrix @ wanted)
        moved = [
            term
            for term, part in zip(self.terms, np.split(hidden, self.ends), strict=True)
            if np.abs(part).max(initial=0) > ROUNDING
        ]
        others = [term for term in moved if set(term) != set(step)]
        return wanted @ self.inverse, others or moved


def _code(size: int) -> Floats:
    """Effect coding, float64 (L, L − 1): the columns of a factor's L values; they sum to zero over these."""
    return np.vstack([-np.ones((1, size - 1)), np.eye(size - 1)])


def _products(factors: Sequence[Floats], rows: int) -> Floats:
    """The products of each column of one factor with each of the next, row by row; ones for no factor."""
    found = np.ones((rows, 1))
    for columns in factors:
        found = (found[:, :, None] * columns[:, None, :]).reshape(rows, -1)
    return found


def _infer(weight: Floats, arms: Sequence[Floats], clusters: Clusters, pooled: Pool, looks: int) -> Effect:
    """A contrast as the difference of two arms: scaled to the variance of one, and back."""
    scale = math.sqrt(2 / float(np.sum(weight**2)))
    scaled = weight * scale
    treated, baseline = (
        np.sum([abs(w) * arms[i] for i, w in enumerate(scaled) if sign * w > ROUNDING], axis=0)
        for sign in (1, -1)
    )
    told = effect(moderated(components(treated, baseline, clusters), pooled), 1 - ALPHA / looks)
    return dataclasses.replace(
        told,
        difference=told.difference / scale,
        low=told.low / scale,
        high=told.high / scale,
        se=told.se / scale,
    )


def _means(values: Floats) -> Floats:
    """Each trial's mean over the videos that it has, NaN for one that is missing; (S,)."""
    seen = ~np.isnan(values)
    total = np.where(seen, values, 0.0).sum(axis=1)
    count = seen.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _row(
    design: Factorial,
    step: Mapping[str, int],
    told: Effect | None,
    aliases: Sequence[Term],
    p_adjusted: float,
) -> FactorialEffect:
    (factor, number), *rest = step.items()
    other, other_number = rest[0] if rest else ("", 0)
    values, other_values = design.factors[factor], design.factors[other] if other else [""]
    return FactorialEffect(
        kind="interaction" if other else "main",
        factor=factor,
        level=values[number],
        baseline=values[0],
        other_factor=other,
        other_level=other_values[other_number],
        other_baseline=other_values[0],
        n_seeds=told.parts.n_seeds if told else 0,
        difference=told.difference if told else math.nan,
        low=told.low if told else math.nan,
        high=told.high if told else math.nan,
        p=told.p if told else math.nan,
        p_adjusted=p_adjusted,
        confounded_with=_names(aliases),
    )


def _names(terms: Sequence[Term]) -> str:
    return ", ".join(JOIN.join(term) or "the mean" for term in terms)

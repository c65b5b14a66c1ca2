"""What a search asks: a space, a sampler, a budget, and how its findings are confirmed."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from optuna import samplers
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection

from actrec.errors import StudyError
from actrec.fields import Between, conform, unknown
from actrec.study import space as spaces
from actrec.study.dimensions import Categorical, Dimension, Float, Int
from actrec.study.early import STOPPING
from actrec.study.space import Space

if TYPE_CHECKING:
    from actrec.study.factors import Factor

# What a search can go for: a column of the ledger's trials, and which way it is better.
OBJECTIVES = {
    "val_top1": "max",
    "seconds": "min",  # of work
    "trainable_params": "min",
    "clips_trained": "min",
}


def _tpe(seed: int) -> BaseSampler:
    # As one space, or conditions and interactions would be invisible; trials in flight count as poor.
    return samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


def _cmaes(seed: int) -> BaseSampler:
    return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


def _gp(seed: int) -> BaseSampler:
    return samplers.GPSampler(seed=seed, warn_independent_sampling=False)


def _qmc(seed: int) -> BaseSampler:
    return samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)


def _nsga2(seed: int) -> BaseSampler:
    return samplers.NSGAIISampler(seed=seed, population_size=16)  # budgets of sweeps are no thousands


class _BruteForce(samplers.BruteForceSampler):
    """Of a space that has no more it says so by stopping a loop that there is none of here."""

    def after_trial(self, *arguments: Any, **more: Any) -> None:
        with suppress(RuntimeError):
            super().after_trial(*arguments, **more)


def _brute_force(seed: int) -> BaseSampler:
    return _BruteForce(seed=seed)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": _tpe,
    "gp": _gp,
    "cmaes": _cmaes,
    "nsga2": _nsga2,
    "random": lambda seed: samplers.RandomSampler(seed=seed),
    "qmc": _qmc,
    "brute_force": _brute_force,
}
FRESH_SEEDS = 1000  # those of a study with a search are below: what follows has its own
PBT = "pbt"  # no sampler of Optuna: population based training, actrec.study.pbt
SEVERAL = ("tpe", "gp", "nsga2", "random", "qmc", "brute_force")  # that take several objectives


@dataclass(frozen=True, slots=True)
class Known:
    """A trial of an earlier study, which the sampler is told of: its place in the space, its objectives."""

    params: Mapping[str, Any]
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search for the best trial, then a comparison that can be believed.

    First ``trials`` of the space are trained with one seed and judged on validation. The ``confirm`` best of
    them, and the base, are trained again with fresh seeds at the full budget. The best of those, again on
    validation, is the winner; with seeds that are fresh once more, what the winner changes in the base is
    ablated. What the search itself measured of its best is never a result.

    Attributes:
        space: what is searched (:mod:`actrec.study.space`).
        trials: how many different ones; the first is the base.
        sampler: a key of :data:`SAMPLERS`; or ``pbt``, population based training (:mod:`actrec.study.pbt`):
            then each of the ``trials`` is a part of a longer one. What it finds is a schedule of values;
            what is confirmed are the last of them, held over the whole budget.
        seed: of the sampler.
        objectives: keys of :data:`OBJECTIVES`, the first of them ``val_top1``.
        stopping: a key of :data:`~actrec.study.early.STOPPING`; with ``none``, trials run to their end.
        parallel: a trial is proposed knowing all but the last ``parallel`` before it, however many run side
            by side. So the same seed makes the same search on every cluster, and after every kill; no more
            than these can run side by side. Of ``pbt`` that is the population.
        population: of ``pbt``: how many are trained side by side in ``trials`` / ``population`` generations.
        epochs: of a trial of the search; 0: those of the base, as the later stages have.
        confirm: how many of the best are trained again; 0 ends the study with the search.
        confirm_seeds: with how many seeds.
        known: trials of an earlier study.

    Raises:
        SpecError, StudyError: on anything that is inconsistent; it names what is valid.
    """

    space: Space
    trials: int = 24
    sampler: str = "tpe"
    seed: int = 0
    objectives: tuple[str, ...] = ("val_top1",)
    stopping: str = "none"
    parallel: int = 4
    population: int = 8
    epochs: int = 0
    confirm: int = 3
    confirm_seeds: int = 3
    known: tuple[Known, ...] = ()

    def __post_init__(self) -> None:
        for name, annotation in _TYPES.items():
            try:
                value = conform(getattr(self, name), annotation, name)
            except ValueError as error:
                raise StudyError(f"search: {error}") from None
            object.__setattr__(self, name, value)
        if self.sampler not in (*SAMPLERS, PBT):
            raise StudyError(unknown("sampler", self.sampler, (*SAMPLERS, PBT)))
        if self.stopping not in STOPPING:
            raise StudyError(unknown("stopping rule", self.stopping, STOPPING))
        for name in self.objectives:
            if name not in OBJECTIVES:
                raise StudyError(unknown("objective", name, OBJECTIVES))
        if not self.objectives or self.objectives[0] != "val_top1":
            raise StudyError(f"objectives={self.objectives}: the first must be 'val_top1'")
        if len(set(self.objectives)) < len(self.objectives):
            raise StudyError(f"objectives={self.objectives}: must all differ")
        if len(self.objectives) > 1:
            if self.sampler not in SEVERAL:
                raise StudyError(
                    f"sampler={self.sampler!r} takes one objective; for several use {', '.join(SEVERAL)}"
                )
            if self.stopping != "none":
                raise StudyError(f"stopping={self.stopping!r} is for one objective")
        if self.sampler == PBT:
            self._check_population()
        if self.sampler == "brute_force":
            for path, dimension in self.space.items():
                if isinstance(dimension, Float) and dimension.step is None:
                    raise StudyError(f"sampler='brute_force': {path!r} needs a step, to have an end")

    def _check_population(self) -> None:
        if self.trials % self.population:
            below = self.trials - self.trials % self.population
            near = " or ".join(str(n) for n in (below, below + self.population) if n)
            raise StudyError(
                f"trials={self.trials}: a population of {self.population} needs whole generations: {near}"
            )
        if self.stopping != "none":
            raise StudyError(
                f"stopping={self.stopping!r}: sampler='pbt' replaces poor trials itself; use 'none'"
            )
        if self.known:
            raise StudyError("sampler='pbt' cannot be told of earlier trials")

    @property
    def generations(self) -> int:
        """How many there are in population based training; 1 in other searches."""
        return self.trials // self.population if self.sampler == PBT else 1

    @property
    def abreast(self) -> int:
        """How many trials can run side by side."""
        return self.population if self.sampler == PBT else self.parallel

    @property
    def directions(self) -> list[StudyDirection]:
        """Of the objectives."""
        return [
            StudyDirection.MAXIMIZE if OBJECTIVES[name] == "max" else StudyDirection.MINIMIZE
            for name in self.objectives
        ]

    @property
    def size(self) -> int | None:
        """How many different trials the space has at most; None where a dimension is continuous."""
        total = 1
        for dimension in self.space.values():
            if isinstance(dimension, Float) and dimension.step is None:
                return None
            if isinstance(dimension, (Int, Float)):
                steps = (dimension.high - dimension.low) / (dimension.step or 1)
                total *= int(steps + 1e-8) + 1
            else:
                total *= len(dimension.choices)
        return total

    def make_sampler(self) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return SAMPLERS[self.sampler](self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; :meth:`from_dict` is the inverse."""
        values = {name: getattr(self, name) for name in _TYPES}
        known = [dataclasses.asdict(one) for one in self.known]
        return {"space": spaces.to_dict(self.space), **values, "known": known}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A search from :meth:`to_dict`'s values.

        Raises:
            StudyError: as the constructor does, and on an unknown or missing part.
        """
        parts = [entry.name for entry in dataclasses.fields(cls)]
        for name in values:
            if name not in parts:
                raise StudyError(unknown("part of a search", name, parts))
        try:
            known = tuple(Known(one["params"], tuple(one["values"])) for one in values.get("known", ()))
            return cls(**{**values, "space": spaces.from_dict(values["space"]), "known": known})
        except (KeyError, TypeError, AttributeError) as error:
            raise StudyError(f"not a search: {error}") from None


def space_of(factors: Iterable[Factor]) -> dict[str, Dimension]:
    """Every combination of the baselines and levels of a study's factors, as a space.

    Raises:
        StudyError: on a level that is a whole part without a preset's name.
    """
    return {factor.path: Categorical((factor.baseline, *factor.levels)) for factor in factors}


_TYPES: dict[str, Any] = {
    "trials": Annotated[int, Between(1)],
    "sampler": str,
    "seed": Annotated[int, Between(0, 2**31 - 1)],
    "objectives": tuple[str, ...],
    "stopping": str,
    "parallel": Annotated[int, Between(1)],
    "population": Annotated[int, Between(2)],
    "epochs": Annotated[int, Between(0)],
    "confirm": Annotated[int, Between(0)],
    "confirm_seeds": Annotated[int, Between(1)],
}

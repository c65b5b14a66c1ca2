"""A search: its space, its trials, its stages, and which of its trials were confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from actrec.report.values.trials import Status, Trial

DEFAULT = "default"  # the base that the search started from, in the stages after it: an arm of the last

# Of a stage. "skipped": the stage before it left nothing to do.
State = Literal["done", "running", "ahead", "skipped"]


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension of the space.

    Attributes:
        path: what it changes.
        label: its short name.
        choices: of a category; numbers have none, but go from ``low`` to ``high``.
        whole: integers only.
        log: evenly in logarithm.
        when: it exists only where the dimension at this path has one of these values.
    """

    path: str
    label: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    whole: bool = False
    log: bool = False
    when: tuple[str, tuple[Any, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial of the search, also where it has not run.

    Attributes:
        number: from 0, which is the base.
        params: path → value in the dimensions that exist for it; empty where its settings are not recorded.
        values: of the objectives, the first of them validation top-1; None where there is none.
        parent: in population based training, the number of the trial that it goes on from.
        copied: it goes on from a copy of another member, or with other values; else as it was.
    """

    number: int
    trial: Trial
    params: Mapping[str, Any]
    values: tuple[float | None, ...]
    parent: int | None = None
    copied: bool = False

    @property
    def name(self) -> str:
        return f"#{self.number}"

    @property
    def value(self) -> float | None:
        """Validation top-1: one seed, and where it was pruned that of its last epoch."""
        return self.values[0]

    @property
    def is_complete(self) -> bool:
        """Whether it ran to its end and has every objective."""
        return self.trial.status == "ok" and all(value is not None for value in self.values)


@dataclass(frozen=True, slots=True)
class Stage:
    """One of the three stages of a study with a search.

    Attributes:
        planned: how many trials it has; None before that is known.
        counts: status → its trials; those of a search that are not proposed yet are waiting too.
        seconds: of work, of all of its trials whatever came of them.
    """

    name: str
    state: State
    planned: int | None
    counts: Mapping[Status, int]
    seeds: tuple[int, ...]
    seconds: float

    @property
    def ended(self) -> int:
        """The trials that have."""
        return sum(n for status, n in self.counts.items() if status != "waiting")


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A candidate of the search, or the base, through the stages. Top-1 everywhere.

    Attributes:
        number: in the search; 0 is the base.
        searched: on validation, one seed.
        confirmed: on validation, of each finished fresh seed, of ``asked`` seeds.
        ablated, tested: means on validation and on test in the last stage, which has the winner and the base.
    """

    number: int
    searched: float | None
    confirmed: tuple[float, ...]
    asked: int
    won: bool
    ablated: float | None = None
    tested: float | None = None

    @property
    def name(self) -> str:
        return f"#{self.number}" if self.number else DEFAULT

    @property
    def mean(self) -> float | None:
        """Of the confirmation."""
        return sum(self.confirmed) / len(self.confirmed) if self.confirmed else None


@dataclass(frozen=True, slots=True)
class Importances:
    """How much of what the trials differ in is owed to each dimension.

    Attributes:
        method: fANOVA or PED-ANOVA.
        shares: path → share, of those that the method ranks; their sum is 1.
    """

    method: str
    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Search:
    """A search and what followed it.

    Attributes:
        asked: how many trials; fewer are planned where the space has no more (``exhausted``).
        confirm: how many of the best are to be confirmed.
        population: of population based training, the trials of a generation; 0 in other searches.
        known: trials of an earlier study that the sampler was told of.
        winner: the number of the trial that won the confirmation, 0 for the base; None if there is none yet.
        tried: every trial that is known, by number.
        front: those that no other beats in all objectives, by their numbers.
        confirmed: the base and the candidates, in that order; empty before the confirmation.
        importances: empty where ``too_few`` trials ran to their end.
        storage: the name of Optuna's own file beside the page; empty where there is none.
    """

    sampler: str
    stopping: str
    objectives: tuple[str, ...]
    asked: int
    confirm: int
    population: int
    known: int
    exhausted: bool
    winner: int | None
    space: tuple[Dimension, ...]
    tried: tuple[Tried, ...]
    front: tuple[int, ...]
    stages: tuple[Stage, Stage, Stage]
    confirmed: tuple[Confirmed, ...]
    importances: tuple[Importances, ...]
    too_few: bool
    storage: str

    @property
    def complete(self) -> tuple[Tried, ...]:
        return tuple(one for one in self.tried if one.is_complete)

    def changes(self, number: int) -> dict[str, Any]:
        """Path → value where a trial departs from the base, the most important dimensions first."""
        params = {one.number: one.params for one in self.tried if one.number in (0, number)}
        own, base = params.get(number, {}), params.get(0, {})
        changed = [path for path in own if path not in base or own[path] != base[path]]
        shares = self.importances[0].shares if self.importances else {}
        return {path: own[path] for path in sorted(changed, key=lambda path: -shares.get(path, 0.0))}

    def label(self, path: str) -> str:
        """The short name of a dimension."""
        return next(dimension.label for dimension in self.space if dimension.path == path)

    def generation(self, one: Tried) -> int:
        """Of population based training, that of a trial, counted from 1."""
        return one.number // self.population + 1

    def way(self) -> tuple[Tried, ...]:
        """All that the best of the last generation came by, the first generation first. The last is the last
        in which a trial ran to its end."""
        by_number = {one.number: one for one in self.tried}
        best = max(self.complete, key=lambda one: (self.generation(one), one.value or 0.0), default=None)
        found = []
        while best is not None:
            found.append(best)
            best = by_number.get(best.parent) if best.parent is not None else None
        return tuple(reversed(found))

    def confirmation(self, number: int) -> Confirmed | None:
        """Of a trial that was confirmed."""
        return next((one for one in self.confirmed if one.number == number), None)

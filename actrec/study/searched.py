"""The trials of a search: as it proposes them, and what they came to."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from actrec.results.schema import OK, PRUNED
from actrec.spec import TrialSpec, override
from actrec.study.dimensions import Dimension
from actrec.study.factors import Study
from actrec.study.plan import filled
from actrec.study.search import PBT
from actrec.study.space import compose, params

SEARCH = "search"  # the stage
TRIES = 200  # for a trial that the search does not have; then the space has no more, as far as one can tell


@dataclass(frozen=True, slots=True)
class Ended:
    """What a trial of a search came to.

    Attributes:
        values: its objectives, in their order; None where the ledger has none.
        history: its validation top-1 after each epoch.
    """

    number: int
    spec: TrialSpec
    status: str
    values: tuple[float | None, ...]
    history: tuple[float, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any], objectives: Iterable[str]) -> Ended:
        """From a row of the ledger, with the ``history`` added."""
        spec = row["spec"]
        return cls(
            number=row["number"],
            spec=TrialSpec.from_dict(json.loads(spec) if isinstance(spec, str) else spec),
            status=row["status"],
            values=tuple(row.get(name) for name in objectives),
            history=tuple(row.get("history") or ()),
        )

    @property
    def state(self) -> TrialState:
        """As Optuna calls it. A trial without a finite value has failed."""
        if self.status == PRUNED:
            return TrialState.PRUNED
        finite = all(value is not None and math.isfinite(value) for value in self.values)
        return TrialState.COMPLETE if self.status == OK and finite else TrialState.FAIL

    @property
    def told(self) -> list[float] | None:
        """The values that go with :attr:`state`."""
        return [float(v) for v in self.values if v is not None] if self.state == TrialState.COMPLETE else None


def frozen(space: Mapping[str, Dimension], ended: Ended) -> optuna.trial.FrozenTrial:
    """An ended trial as Optuna keeps it."""
    values = params(space, ended.spec) or {}
    return optuna.create_trial(
        state=ended.state,
        values=ended.told,
        params=values,
        distributions={path: space[path].distribution for path in values},
        intermediate_values=dict(enumerate(ended.history, start=1)) if len(ended.values) == 1 else {},
    )


def proposed(study: Study, choose: Callable[[str, Dimension], Any]) -> TrialSpec:
    """The trial of a search that has what ``choose`` says in each dimension that exists for it.

    It may be one that cannot be built, such as heads that do not divide the width: no way of counting tells
    beforehand. That one is run as any other and fails by itself, so it has a row that says why, counts among
    the trials of the search, and is told to the sampler as failed.
    """
    assert study.search is not None
    return searched(study, compose(study.search.space, study.base, choose))


def searched(study: Study, spec: TrialSpec) -> TrialSpec:
    """A trial as a search runs it: with the model's defaults filled in, and its own budget and seed. In
    population based training that is a trial of the first generation."""
    search = study.search
    assert search is not None
    changes: dict[str, Any] = {"seed": study.seeds[0]}
    if search.sampler == PBT:
        budget = search.epochs or spec.optim.epochs
        changes["optim.epochs"] = budget // search.generations
        changes["optim.horizon"] = spec.optim.horizon or budget
    elif search.epochs:
        changes["optim.epochs"] = search.epochs
    return override(filled(spec), changes)

"""The trials of a search, as a function of the rows of those that ended.

Optuna is asked and told in the order of the trials' numbers: before number n is asked for, all of 0 … n −
``parallel`` that ended are told, and none after them. So whatever the order in which trials end, on however
many workers, after however many kills, number n is the same trial, and a search that goes on is the one that
was never stopped. What the ledger has is not argued with: a number that it has a row of is that row's trial.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from actrec.errors import SpecError, StudyError
from actrec.models.zoo import resolve
from actrec.results.schema import OK, PRUNED
from actrec.seeding import derive
from actrec.spec import TrialSpec, override, trial_id
from actrec.study.early import STOPPING
from actrec.study.factors import Study
from actrec.study.plan import Trial
from actrec.study.space import params, suggest

SEARCH = "search"  # the stage
OWN_TRIES = 10  # of the sampler for a trial that the search does not have yet; then by chance
TRIES = 200  # in all; then the space has no more, as far as one can tell

optuna.logging.set_verbosity(optuna.logging.ERROR)  # it tells of every trial, and of what is known here


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


class Proposals:
    """The trials of a study's search, as far as they can be known.

    Args:
        rows: of the ledger, those of the search among them.

    Attributes:
        trials: by their numbers; the plan of the search as it is now.
        ended: number → what it came to.
        exhausted: no further trial was found that the search does not have; it then ends with fewer.
    """

    def __init__(self, study: Study, rows: Iterable[Mapping[str, Any]]) -> None:
        assert study.search is not None
        self.study, self.search = study, study.search
        self.trials: list[Trial] = []
        self.ended: dict[int, Ended] = {}
        self.exhausted = False
        self._told = 0  # numbers before this one were told, or have not ended
        self._asked: dict[int, optuna.Trial | None] = {}  # None: the ledger has another trial of that number
        self._optuna: optuna.Study | None = None
        self.update(rows)

    @property
    def done(self) -> bool:
        """Every trial has ended."""
        return self.complete and len(self.ended) >= len(self.trials)

    @property
    def pending(self) -> list[Trial]:
        """The trials that are known and have not ended."""
        return [trial for trial in self.trials if trial.number not in self.ended]

    def update(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Takes note of ended trials, and proposes as many as may be known now.

        Raises:
            StudyError: if the space has combinations that are no trial; names one.
        """
        for row in rows:
            if row.get("stage") == SEARCH and row["number"] < self.search.trials:
                self.ended[row["number"]] = Ended.of(row, self.search.objectives)
        if not self.trials and all(number in self.ended for number in range(self.search.trials)):
            # Nothing is left to ask for.
            self.trials = [self._trial(n, self.ended[n].spec) for n in range(self.search.trials)]
        while not self.complete and self._may_ask(len(self.trials)):
            self._ask(len(self.trials))

    @property
    def complete(self) -> bool:
        """Every trial is known."""
        return self.exhausted or len(self.trials) == self.search.trials

    def _may_ask(self, number: int) -> bool:
        before = range(number - self.search.parallel + 1)
        return number in self.ended or all(earlier in self.ended for earlier in before)

    def _ask(self, number: int) -> None:
        """Adds the trial of the next number."""
        study = self._optuna = self._optuna or self._begin()
        self._tell(number - self.search.parallel)
        recorded = self.ended.get(number)
        have = {trial.trial_id for trial in self.trials}
        sampler = study.sampler
        try:
            for attempt in range(TRIES):
                if attempt == OWN_TRIES:  # it is sure of trials that are there already
                    seed = derive(self.search.seed, "search", number) % 2**32
                    study.sampler = optuna.samplers.RandomSampler(seed=seed)
                asked, spec = self._proposal(study, number)
                if (key := trial_id(spec)) not in have:
                    break
                study.tell(asked, state=TrialState.FAIL)
            else:
                self.exhausted = recorded is None
        finally:
            study.sampler = sampler
        if recorded is not None and key != trial_id(recorded.spec):
            if key not in have:
                study.tell(asked, state=TrialState.FAIL)
            self._asked[number], spec = None, recorded.spec
        elif self.exhausted:
            return
        else:
            self._asked[number] = asked
        self.trials.append(self._trial(number, spec))

    def _proposal(self, study: optuna.Study, number: int) -> tuple[optuna.Trial, TrialSpec]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            asked = study.ask()
            try:
                spec = suggest(self.search.space, self.study.base, asked)
                return asked, searched(self.study, spec)
            except SpecError as error:
                values = ", ".join(f"{path}={value}" for path, value in asked.params.items())
                raise StudyError(
                    f"the search space allows {values}, which is no trial: {error}; "
                    "a dimension that is not for every trial needs a `when`"
                ) from None

    def _trial(self, number: int, spec: TrialSpec) -> Trial:
        known = [self.ended[n] for n in range(number - self.search.parallel + 1) if n in self.ended]
        histories = [one.history for one in known if one.state != TrialState.FAIL]
        cutoffs = STOPPING[self.search.stopping](histories, spec.optim.epochs)
        return Trial(
            trial_id(spec),
            arm=f"#{number}",
            factor=SEARCH,
            level=str(number),
            seed=spec.seed,
            spec=spec,
            stage=SEARCH,
            number=number,
            cutoffs=tuple(cutoffs.items()),
        )

    def _begin(self) -> optuna.Study:
        """The sampler's study, in memory, with what is known beforehand."""
        study = optuna.create_study(directions=self.search.directions, sampler=self.search.make_sampler())
        distributions = {path: one.distribution for path, one in self.search.space.items()}
        for known in self.search.known:
            of_it = {path: distributions[path] for path in known.params}
            study.add_trial(
                optuna.create_trial(params=dict(known.params), distributions=of_it, values=known.values)
            )
        first = params(self.search.space, searched(self.study, self.study.base))
        assert first is not None  # the study checked it
        study.enqueue_trial(first)
        return study

    def _tell(self, last: int) -> None:
        """Tells Optuna of the trials up to number ``last`` that have ended."""
        assert self._optuna is not None
        for number in [n for n in self._asked if n <= last and n in self.ended]:
            asked, ended = self._asked.pop(number), self.ended[number]
            if asked is None:
                self._optuna.add_trial(frozen(self.search.space, ended))
                continue
            if len(self.search.objectives) == 1:
                for epoch, value in enumerate(ended.history, start=1):
                    asked.report(value, epoch)
            self._optuna.tell(asked, ended.told, state=ended.state)


def frozen(space: Mapping[str, Any], ended: Ended) -> optuna.trial.FrozenTrial:
    """An ended trial as Optuna keeps it."""
    values = params(space, ended.spec) or {}
    return optuna.create_trial(
        state=ended.state,
        values=ended.told,
        params=values,
        distributions={path: space[path].distribution for path in values},
        intermediate_values=dict(enumerate(ended.history, start=1)) if len(ended.values) == 1 else {},
    )


def searched(study: Study, spec: TrialSpec) -> TrialSpec:
    """A trial as a search runs it: with the model's defaults filled in, and its own budget and seed."""
    assert study.search is not None
    changes: dict[str, Any] = {"model": resolve(spec.model), "seed": study.seeds[0]}
    if study.search.epochs:
        changes["optim.epochs"] = study.search.epochs
    return override(spec, changes)

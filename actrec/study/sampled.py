"""What a sampler of Optuna proposes.

It is asked and told in the order of the trials' numbers: before number n is asked for, all of 0 … n −
``parallel`` that ended are told, and none after them.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from actrec.seeding import derive
from actrec.spec import TrialSpec, trial_id
from actrec.study.dimensions import ask
from actrec.study.factors import Study
from actrec.study.searched import TRIES, Ended, frozen, proposed, searched
from actrec.study.space import params

OWN_TRIES = 10  # of the sampler; the rest by chance

optuna.logging.set_verbosity(optuna.logging.ERROR)  # it tells of every trial, and of what is known here


class Sampled:
    """A :class:`~actrec.study.proposals.Source`."""

    def __init__(self, study: Study, ended: Mapping[int, Ended], recorded: Mapping[int, TrialSpec]) -> None:
        assert study.search is not None
        self._study, self._search = study, study.search
        self._ended, self._recorded = ended, recorded
        self._asked: dict[int, optuna.Trial | None] = {}  # None: the ledger has another trial of that number
        self._optuna: optuna.Study | None = None

    def knows(self, number: int) -> bool:
        """All but the last ``parallel`` before it have ended."""
        return all(earlier in self._ended for earlier in range(number - self._search.parallel + 1))

    def propose(self, number: int, have: Collection[str]) -> TrialSpec | None:
        """The trial of the next number."""
        study = self._optuna = self._optuna or self._begin()
        self._tell(number - self._search.parallel)
        recorded = self._recorded.get(number)
        sampler = study.sampler
        try:
            for attempt in range(TRIES):
                if attempt == OWN_TRIES:  # it is sure of trials that are there already
                    seed = derive(self._search.seed, "search", number) % 2**32
                    study.sampler = optuna.samplers.RandomSampler(seed=seed)
                asked, spec = self._ask(study)
                if (key := trial_id(spec)) not in have:
                    break
                study.tell(asked, state=TrialState.FAIL)
        finally:
            study.sampler = sampler
        if recorded is not None and key != trial_id(recorded):
            if key not in have:
                study.tell(asked, state=TrialState.FAIL)
            self._asked[number] = None
            return recorded
        if key in have:
            return None
        self._asked[number] = asked
        return spec

    def _ask(self, study: optuna.Study) -> tuple[optuna.Trial, TrialSpec]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            asked = study.ask()
            return asked, proposed(self._study, lambda path, dimension: ask(asked, path, dimension))

    def _begin(self) -> optuna.Study:
        """The sampler's study, in memory, with what is known beforehand."""
        study = optuna.create_study(directions=self._search.directions, sampler=self._search.make_sampler())
        distributions = {path: one.distribution for path, one in self._search.space.items()}
        for known in self._search.known:
            of_it = {path: distributions[path] for path in known.params}
            study.add_trial(
                optuna.create_trial(params=dict(known.params), distributions=of_it, values=known.values)
            )
        first = params(self._search.space, searched(self._study, self._study.base))
        assert first is not None  # the study checked it
        study.enqueue_trial(first)
        return study

    def _tell(self, last: int) -> None:
        """Tells Optuna of the trials up to number ``last`` that have ended."""
        assert self._optuna is not None
        for number in [n for n in self._asked if n <= last and n in self._ended]:
            asked, ended = self._asked.pop(number), self._ended[number]
            if asked is None:
                self._optuna.add_trial(frozen(self._search.space, ended))
                continue
            if len(self._search.objectives) == 1:
                for epoch, value in enumerate(ended.history, start=1):
                    asked.report(value, epoch)
            self._optuna.tell(asked, ended.told, state=ended.state)

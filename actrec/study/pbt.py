"""What population based training proposes: trials in generations, each a part of a longer training.

Number n is member n mod ``population`` of generation n // ``population``. A generation trains the next part
of the epochs, and is known once all of the one before have ended: then most members go on as they are, and
the worst go on from copies of the best, with other values (:mod:`actrec.study.population`). Every part is a
trial with a row of its own, whose ``start`` is the trial that it goes on from; so a trial's id stands for all
that its weights have been through.

The first generation has the base and random draws. Every draw is a function of the search's seed and the
number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import optuna

from actrec.seeding import derive, numpy_rng
from actrec.spec import TrialSpec, override, trial_id
from actrec.study.dimensions import Dimension, ask
from actrec.study.factors import Study
from actrec.study.population import ANEW, changing, chosen, perturbed
from actrec.study.searched import TRIES, Ended, proposed, searched
from actrec.study.space import active, level


class Population:
    """A :class:`~actrec.study.proposals.Source`."""

    def __init__(self, study: Study, ended: Mapping[int, Ended], recorded: Mapping[int, TrialSpec]) -> None:
        assert study.search is not None
        self._study, self._search = study, study.search
        self._ended, self._recorded = ended, recorded
        self._varied = changing(study.search.space)

    def knows(self, number: int) -> bool:
        """All of the generation before have ended."""
        return all(earlier in self._ended for earlier in self._before(number))

    def propose(self, number: int, have: Collection[str]) -> TrialSpec | None:
        """The trial of a number; None if all of the generation before failed, or the space has no more."""
        if number in self._recorded:
            return self._recorded[number]
        if number == 0:
            return searched(self._study, self._study.base)
        if number < self._search.population:
            return _new(lambda attempt: self._drawn(number, attempt), have)
        before = [self._ended[earlier] for earlier in self._before(number)]
        best, poor = chosen([None if one.told is None else one.told[0] for one in before])
        if not best:
            return None
        own = before[number % self._search.population]
        if number % self._search.population in poor:
            sources = [before[place].spec for place in best]
            unchanged = (trial_id(self._next(number, spec, spec)) for spec in sources)
            copy = _new(lambda attempt: self._copied(number, attempt, sources), {*have, *unchanged})
            if copy is not None or own.told is None:
                return copy
        return self._next(number, own.spec, own.spec)

    def _before(self, number: int) -> range:
        """The numbers of the generation before that of a number; none before the first."""
        first = number - number % self._search.population
        return range(max(0, first - self._search.population), first)

    def _drawn(self, number: int, attempt: int) -> TrialSpec:
        """A random trial."""
        fresh = self._fresh(number, attempt)
        return proposed(self._study, lambda path, dimension: ask(fresh, path, dimension))

    def _copied(self, number: int, attempt: int, sources: Sequence[TrialSpec]) -> TrialSpec:
        """A copy of one of the sources, with other values."""
        rng, fresh = numpy_rng(self._search.seed, "pbt", number, attempt), self._fresh(number, attempt)
        source = sources[int(rng.integers(len(sources)))]
        had = active(self._search.space, source)

        def choose(path: str, dimension: Dimension) -> Any:
            value = level(path, dimension, source)
            if path not in self._varied:
                return value
            if path not in had or rng.random() < ANEW:
                return ask(fresh, path, dimension)
            return perturbed(dimension, value, rng)

        return self._next(number, source, proposed(self._study, choose))

    def _fresh(self, number: int, attempt: int) -> optuna.Trial:
        """Random draws from the space."""
        seed = derive(self._search.seed, "pbt", "fresh", number, attempt) % 2**32
        return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()

    def _next(self, number: int, start: TrialSpec, values: TrialSpec) -> TrialSpec:
        """What goes on from the end of ``start`` with the hyper-parameters of ``values``."""
        budget = self._search.epochs or self._study.base.optim.epochs
        end = budget * (number // self._search.population + 1) // self._search.generations
        return override(values, {"optim.epochs": end, "start": trial_id(start)})


def _new(make: Callable[[int], TrialSpec], have: Collection[str]) -> TrialSpec | None:
    """The first trial of several attempts that is not among those there are."""
    return next((spec for attempt in range(TRIES) if trial_id(spec := make(attempt)) not in have), None)

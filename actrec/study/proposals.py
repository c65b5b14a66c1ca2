"""The trials of a search, as a function of the rows of those that ended.

What number n is depends on what certain trials before it came to, and is not known before these have ended:
on which, its source says. So whatever the order in which trials end, on however many workers, after however
many kills, number n is the same trial, and a search that goes on is the one that was never stopped. What the
ledger has is not argued with: a number that it has a row of is that row's trial.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from optuna.trial import TrialState

from actrec.results.schema import FAILED
from actrec.spec import TrialSpec, trial_id
from actrec.study.early import STOPPING
from actrec.study.factors import Study
from actrec.study.pbt import Population
from actrec.study.plan import Trial
from actrec.study.sampled import Sampled
from actrec.study.search import PBT
from actrec.study.searched import SEARCH as SEARCH
from actrec.study.searched import Ended as Ended
from actrec.study.searched import frozen as frozen
from actrec.study.searched import searched as searched
from actrec.study.space import params


class Source(Protocol):
    """Where proposals come from. It is asked for number after number, while what ended grows."""

    def knows(self, number: int) -> bool:
        """Whether all that the number depends on has ended."""

    def propose(self, number: int, have: Collection[str]) -> TrialSpec | None:
        """The trial of a number, that of the ledger if it has one. None: there is none whose id is not among
        those that the search has."""


class Proposals:
    """The trials of a study's search, as far as they can be known.

    Args:
        rows: of the ledger, those of the search among them. One with a true ``again`` is to run once more:
            its trial stays that of its number.

    Attributes:
        trials: by their numbers; the plan of the search as it is now.
        ended: number → what it came to.
        exhausted: no further trial was found; the search then ends with fewer.
    """

    def __init__(self, study: Study, rows: Iterable[Mapping[str, Any]]) -> None:
        assert study.search is not None
        self.study, self.search = study, study.search
        self.trials: list[Trial] = []
        self.ended: dict[int, Ended] = {}
        self.exhausted = False
        self._recorded: dict[int, TrialSpec] = {}  # of the numbers that the ledger has
        self._ids: dict[int, str] = {}  # of those
        source = Population if self.search.sampler == PBT else Sampled
        self._source: Source = source(study, self.ended, self._recorded)
        self.update(rows)

    @property
    def done(self) -> bool:
        """Every trial has ended."""
        return self.complete and len(self.ended) >= len(self.trials)

    @property
    def pending(self) -> list[Trial]:
        """The trials that are known and have not ended."""
        return [trial for trial in self.trials if trial.number not in self.ended]

    @property
    def kept(self) -> set[str]:
        """The trials from whose ends others go on, or may yet."""
        failed = {number for number, one in self.ended.items() if one.status == FAILED}  # may run once more
        needed = {t.spec.start for t in self.trials if t.number in failed or t.number not in self.ended} - {
            ""
        }
        if not self.complete:
            whole = len(self.trials) // self.search.population - 1  # the last generation that is known whole
            needed |= {t.trial_id for t in self.trials[max(0, whole) * self.search.population :] if t.keep}
        return needed

    def update(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Takes note of ended trials, and proposes as many as may be known now."""
        for row in rows:
            if row.get("stage") == SEARCH and row["number"] < self.search.trials:
                self._take(Ended.of(row, self.search.objectives), again=bool(row.get("again")))
        if not self.trials and all(number in self._recorded for number in range(self.search.trials)):
            # Nothing is left to ask for.
            self.trials = [self._trial(n, self._recorded[n]) for n in range(self.search.trials)]
        while not self.complete:
            number = len(self.trials)
            # Of one that is recorded, only if no row before it is lost: what follows would have another past.
            if not self._source.knows(number) and any(n not in self._recorded for n in range(number + 1)):
                break
            others = {key for other, key in self._ids.items() if other != number}
            have = {trial.trial_id for trial in self.trials} | others
            spec = self._source.propose(number, have)
            if spec is None:
                self.exhausted = True
            else:
                self.trials.append(self._trial(number, spec))

    @property
    def complete(self) -> bool:
        """Every trial is known."""
        return self.exhausted or len(self.trials) == self.search.trials

    def _take(self, found: Ended, *, again: bool) -> None:
        """Takes note of a row of the ledger, unless it is of another space."""
        number = found.number
        if params(self.search.space, found.spec) is None:
            return
        if number in self.ended and found.status == FAILED and self.ended[number].status != FAILED:
            return  # a trial that failed under a number whose trial did not
        self._recorded[number], self._ids[number] = found.spec, trial_id(found.spec)
        if not again:
            self.ended[number] = found

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
            keep=number // self.search.population + 1 < self.search.generations,
        )

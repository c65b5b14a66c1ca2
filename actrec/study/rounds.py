"""What a study runs next, given what is finished: one mechanism for adaptive designs and for further seeds.

:func:`current` is a function of a study and of rows of finished trials, and of nothing else. It replays the
study from its start: a round is decided on by the trials of the rounds before it alone, and only once all of
these have ended. So the same rows give the same plan, a plan only ever grows at its end, and a study that was
killed in the middle of a round goes on in the middle of it. Whoever runs a study asks again until nothing is
pending::

    while (now := current(study, rows(), look)).pending:
        run(now.pending)

Adaptive designs are those of :mod:`actrec.study.greedy`, further seeds the race of :mod:`actrec.study.race`,
searches and what follows them :mod:`actrec.study.proposals` and :mod:`actrec.study.stages`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from actrec.results.schema import OK
from actrec.study.designs import PLACEBO, REFERENCE, Arm
from actrec.study.factors import Study
from actrec.study.greedy import ADAPTIVE, Grown
from actrec.study.plan import Trial, check_arms, plan
from actrec.study.proposals import SEARCH, Proposals
from actrec.study.race import judged, raced, schedule
from actrec.study.stages import ABLATE, CONFIRM, Progress, ablation, candidates, confirmation, winner

Row = Mapping[str, Any]
# Of finished trials and their arms: the arms whose verdict is open, with the further seeds that each would
# take. The last argument is the number of looks that p-values are multiplied by.
Look = Callable[[Sequence[Trial], Sequence[Arm], int], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Round:
    """The plan of a study as it is now.

    Attributes:
        arms: the study's own first; adaptive designs add others.
        trials: of all rounds so far, in order.
        pending: those of them that have not ended.
        path: of an adaptive design, the best arms so far by name, the baseline first.
        judged_at: number of seeds at which arms are or were judged → looks; see
            :func:`~actrec.study.race.judged`.
        search: how far a study with a search is; None in others.
        proposals: the trials of its search.
    """

    arms: tuple[Arm, ...]
    trials: tuple[Trial, ...]
    pending: tuple[Trial, ...]
    path: tuple[str, ...]
    judged_at: Mapping[int, int]
    search: Progress | None = None
    proposals: Proposals | None = None

    @property
    def looks(self) -> int:
        """What every p-value of the study must be multiplied by; 1 without a race, unless it was extended."""
        return max(1, len(self.judged_at))

    @property
    def growing(self) -> Proposals | None:
        """While a search runs, it: further trials are proposed as these end, before the next round."""
        return None if self.proposals is None or self.proposals.done else self.proposals

    @property
    def compared(self) -> tuple[Trial, ...]:
        """The trials that arms are judged by: of a search, those of its last stage."""
        return tuple(trial for trial in self.trials if trial.stage in ("", ABLATE))


def current(
    study: Study,
    finished: Iterable[Row],
    look: Look | None = None,
    judged_at: Mapping[int, int] = MappingProxyType({}),
) -> Round:
    """The plan, as far as the finished trials tell it.

    Args:
        finished: rows of the ``trials`` table, at least ``trial_id``, ``status`` and ``val_<metric>``; those
            of other plans do no harm. A failed trial has ended too; one with a true ``again`` has not. For
            a search they also have ``stage``, ``number``, ``spec``, its objectives, and as ``history`` the
            validation top-1 after each epoch.
        look: says which arms are open; without it there is no race.
        judged_at: that of the study as it was before it was extended.

    Raises:
        SpecError, StudyError, ModelError: as :func:`~actrec.study.plan.plan`, and, without a search,
            :func:`~actrec.study.plan.check_arms`. Arms that nobody wrote, those of later rounds or around
            the winner of a search, raise nothing: where one cannot be built, its trials fail.
    """
    found = list(finished)
    rows = {str(row["trial_id"]): row for row in found if not row.get("again")}
    if study.search is not None:
        return _searched(study, Proposals(study, found), rows, look, judged_at)
    check_arms(study)
    return _ablated(study, rows, look, study.arms, judged_at)


def _searched(
    study: Study,
    proposals: Proposals,
    rows: Mapping[str, Row],
    look: Look | None,
    judged_at: Mapping[int, int],
) -> Round:
    """The round of a study with a search: of the search, the confirmation or the ablation."""
    found = list(proposals.trials)
    if not proposals.done:
        progress = Progress(SEARCH, proposals.exhausted)
        return Round((), tuple(found), tuple(proposals.pending), (), judged_at, progress, proposals)
    numbers = candidates(study, proposals.ended)
    progress = Progress(CONFIRM, proposals.exhausted, tuple(numbers))
    if not numbers:
        return Round((), tuple(found), (), (), judged_at, progress, proposals)
    again = confirmation(study, [found[number] for number in numbers], found[0])
    if not _ended(again, rows):
        pending = tuple(trial for trial in again if trial.trial_id not in rows)
        return Round((), (*found, *again), pending, (), judged_at, progress, proposals)
    progress = dataclasses.replace(progress, winner=winner(again, rows))
    if not progress.winner:  # the base is the best, or nothing ended well: there is nothing to take apart
        return Round((), (*found, *again), (), (), judged_at, progress, proposals)
    around, arms = ablation(study, found[progress.winner].spec, found[0].spec)
    last = _ablated(around, rows, look, arms, judged_at)
    staged = {trial.trial_id: dataclasses.replace(trial, stage=ABLATE) for trial in last.trials}
    return dataclasses.replace(
        last,
        trials=(*found, *again, *staged.values()),
        pending=tuple(staged[trial.trial_id] for trial in last.pending),
        search=dataclasses.replace(progress, stage=ABLATE),
        proposals=proposals,
    )


def _ablated(
    study: Study,
    rows: Mapping[str, Row],
    look: Look | None,
    first: Sequence[Arm],
    judged_at: Mapping[int, int],
) -> Round:
    """The round of a study whose arms begin with ``first``."""
    arms: list[Arm] = []
    trials: list[Trial] = []
    path, asked, new = [REFERENCE], set[str](), list(first)
    while new:
        asked |= {arm.name for arm in new}
        # With the defaults of another model filled in, a change may be none: those trials have an arm.
        there = {trial.trial_id for trial in trials}
        further = [trial for trial in plan(study, new) if trial.trial_id not in there]
        arms += [arm for arm in new if any(trial.arm == arm.name for trial in further)]
        trials += further
        if study.design not in ADAPTIVE or not _ended(trials, rows):
            break
        grown = _grow(study, trials, rows, asked)
        path = [arm.name for arm in grown.path]
        new = [arm for arm in grown.arms if arm.name not in asked]

    sizes = schedule(len(study.seeds), study.max_seeds)
    earlier = () if judged_at.keys() == set(sizes) else tuple(sorted(judged_at))  # where it was extended
    judged_at = judged(judged_at, sizes)
    seeds = [*study.seeds, *range(max(study.seeds) + 1, max(study.seeds) + 1 + sizes[-1] - sizes[0])]
    has = {arm.name: sizes[0] for arm in arms}

    def reached(arm: Arm) -> int:
        """Seeds that an arm was taken to before an extension. They stay, though it counts more looks, and by
        those the race might have ended sooner."""
        taken = (size for size in reversed(earlier) if sizes[0] < size <= sizes[-1])
        return next((size for size in taken if _ended(plan(study, [arm], seeds[:size]), rows)), sizes[0])

    for _ in sizes[1:]:
        if look is None or not _ended(trials, rows):
            break
        wants = raced(has, look(trials, arms, len(judged_at)), sizes)
        kept = {arm.name: reached(arm) for arm in arms}
        kept |= dict.fromkeys({REFERENCE, PLACEBO} & kept.keys(), max(kept.values()))
        wants = {name: max(wants[name], kept[name]) for name in wants}
        if wants == has:
            break
        for number in range(sizes[0], sizes[-1]):
            behind = [arm for arm in arms if has[arm.name] <= number < wants[arm.name]]
            trials += plan(study, behind, [seeds[number]])
        has = wants
    return Round(
        arms=tuple(arms),
        trials=tuple(trials),
        pending=tuple(trial for trial in trials if trial.trial_id not in rows),
        path=tuple(path),
        judged_at=judged_at,
    )


def _grow(study: Study, trials: Sequence[Trial], rows: Mapping[str, Row], asked: Collection[str]) -> Grown:
    """The arms of an adaptive design, as far as ``trials`` tell, which have all ended. Those of the arms that
    were ``asked`` for, by name, that have no trials are no gain."""
    by_arm: dict[str, list[Trial]] = {}
    for trial in trials:
        by_arm.setdefault(trial.arm, []).append(trial)

    def gain(arm: Arm, other: Arm) -> float | None:
        """The mean difference on validation, paired by seed and fold."""
        if arm.name not in asked:
            return None
        ours, theirs = by_arm.get(arm.name, []), by_arm.get(other.name, [])
        values, beside = (_validation(study, of_arm, rows) for of_arm in (ours, theirs))
        common = values.keys() & beside.keys()
        if not common:
            return math.nan
        mean = math.fsum(values[key] - beside[key] for key in common) / len(common)
        return mean if study.mode == "max" else -mean

    return ADAPTIVE[study.design](study.base, study.factors, gain, study.margin)


def _validation(
    study: Study, trials: Sequence[Trial], rows: Mapping[str, Row]
) -> dict[tuple[int, int], float]:
    found = {}
    for trial in trials:
        row = rows[trial.trial_id]
        value = row.get(f"val_{study.metric}")
        if row["status"] == OK and value is not None and math.isfinite(value):
            found[trial.seed, trial.fold] = float(value)
    return found


def _ended(trials: Sequence[Trial], rows: Mapping[str, Row]) -> bool:
    return all(trial.trial_id in rows for trial in trials)

"""What follows a search: its best are trained again with fresh seeds, and the winner is ablated.

Three sets of seeds, none of which any other stage has seen: the search selects candidates with one, the
confirmation selects the winner with the next, and the ablation, which alone is reported, has the rest. So
what made a trial look good by chance is gone twice over when it is measured.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actrec.results.schema import OK
from actrec.spec import TrialSpec, get, override, trial_id
from actrec.study.designs import PLACEBO, REFERENCE, Arm, arms
from actrec.study.factors import READING, Study
from actrec.study.plan import Trial
from actrec.study.proposals import SEARCH, Ended, searched
from actrec.study.search import FRESH_SEEDS, PBT
from actrec.study.space import active, combinations, level

CONFIRM, ABLATE = "confirm", "ablate"
STAGES = (SEARCH, CONFIRM, ABLATE)
# Where the seeds of the later stages begin: far from those of any study, so that they stay when it gets more.
CONFIRM_SEEDS, ABLATE_SEEDS = FRESH_SEEDS, 2 * FRESH_SEEDS
DEFAULT = "default"  # the arm of the base, where the winner is the reference


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study with a search is.

    Attributes:
        stage: one of :data:`STAGES`.
        exhausted: the space had fewer trials than were asked for.
        candidates: numbers of the trials that are confirmed, the best of the search first.
        winner: the number of the trial that won, 0 for the base; None as long as it is not known.
    """

    stage: str
    exhausted: bool = False
    candidates: tuple[int, ...] = ()
    winner: int | None = None


def representatives(study: Study) -> list[Trial]:
    """A trial for every way of reading videos that a search can propose."""
    found = _possible(study, READING)
    assert found  # the study checked that they can be counted
    return found


def expected(study: Study) -> list[Trial]:
    """As many trials as a search has, spread over what it can propose, as far as that can be counted. For
    what is decided on before it is known what it will propose."""
    assert study.search is not None
    possible = _possible(study, (*READING, "augment", "model", "freeze")) or representatives(study)
    return [
        dataclasses.replace(trial, trial_id=f"{trial.trial_id}-{number}")
        for number, trial in zip(range(study.search.trials), itertools.cycle(possible), strict=False)
    ]


def _possible(study: Study, parts: Sequence[str]) -> list[Trial]:
    """A trial for every combination in some parts of the specification; none if there are too many."""
    assert study.search is not None
    specs = combinations(study.search.space, study.base, parts) or []
    wholes = {trial_id(whole): whole for whole in (searched(study, spec) for spec in specs)}
    return [
        Trial(key, arm="", factor=SEARCH, level="", seed=spec.seed, spec=spec, stage=SEARCH)
        for key, spec in wholes.items()
    ]


def candidates(study: Study, ended: Mapping[int, Ended]) -> list[int]:
    """The numbers of the best trials of a search, the best first, its base left out.

    Of several objectives those count that no other trial beats in all (the Pareto front), the best on
    validation first. Of population based training those of the last generation count, whose weights saw the
    whole budget, and of equal values one.
    """
    assert study.search is not None
    complete = {number: one for number, one in ended.items() if one.told is not None}
    if study.search.sampler == PBT:
        return _members(study, ended[0].spec, complete)
    front = [
        number
        for number, one in complete.items()
        if not any(_dominates(study, other, one) for other in complete.values())
    ]
    pool = complete if len(study.search.objectives) == 1 else front
    ranked = sorted(pool, key=lambda number: (-_first(complete[number]), number))
    return [number for number in ranked if number != 0][: study.search.confirm]


def _members(study: Study, base: TrialSpec, complete: Mapping[int, Ended]) -> list[int]:
    """The best of a population, those left out whose values another has, or the base."""
    assert study.search is not None
    last = max(complete, default=0) // study.search.population
    members = [number for number in complete if number // study.search.population == last]
    found = {trial_id(_full(study, base, base.seed)): 0}
    for number in sorted(members, key=lambda number: (-_first(complete[number]), number)):
        found.setdefault(trial_id(_full(study, complete[number].spec, base.seed)), number)
    return [number for number in found.values() if number][: study.search.confirm]


def confirmation(study: Study, chosen: Sequence[Trial], base: Trial) -> list[Trial]:
    """The base and the candidates once more, each with the same fresh seeds, at the full budget."""
    assert study.search is not None
    return [
        _again(study, trial, CONFIRM_SEEDS + number)
        for number in range(study.search.confirm_seeds)
        for trial in (base, *chosen)
    ]


def winner(trials: Sequence[Trial], rows: Mapping[str, Mapping[str, Any]]) -> int | None:
    """The number of the trial with the best mean validation top-1 in the confirmation, over the seeds that
    all have finished; among equals the one that came first, the base before others. None if there is none.
    """
    values: dict[int, dict[int, float]] = {}
    for trial in trials:
        row = rows[trial.trial_id]
        value = row.get("val_top1")
        good = row["status"] == OK and value is not None and math.isfinite(value)
        assert trial.number is not None
        of_number = values.setdefault(trial.number, {})
        if good and value is not None:
            of_number[trial.seed] = value
    sound = {number: of_seed for number, of_seed in values.items() if of_seed}
    if not sound:
        return None
    most = max(map(len, sound.values()))  # one that failed on some seeds is no candidate
    means = {n: math.fsum(of.values()) / len(of) for n, of in sound.items() if len(of) == most}
    return max(means, key=lambda number: means[number])


def ablation(study: Study, won: TrialSpec, base: TrialSpec) -> tuple[Study, list[Arm]]:
    """The study around the winner, without a search, and its arms.

    The winner is the reference. One arm puts all that it changes back to the base; then each change is put
    back alone, with what depends on it.
    """
    assert study.search is not None
    space = study.search.space
    own = {path: level(path, dimension, won) for path, dimension in active(space, won).items()}
    back = {path: level(path, space[path], base) for path in own if path in active(space, base)}
    back = {path: value for path, value in back.items() if value != own[path]}
    lost = [path for path in own if path not in active(space, base)]  # as much a change, with their condition
    # From the base as it was written: with another architecture's options filled in, none could be put back.
    reference = override(study.base, own)

    def put_back(paths: Iterable[str]) -> dict[str, Any]:
        changes = {path: back[path] for path in paths}
        alive = active(space, override(reference, changes))
        return own | changes | {path: get(study.base, path) for path in lost if path not in alive}

    made = arms(reference, [own, put_back(back), *(put_back([path]) for path in back)])
    named = made[:1] + [
        dataclasses.replace(arm, name=DEFAULT, factor=DEFAULT, level="all put back") for arm in made[1:2]
    ]
    named += made[2:]
    assert named[0].name == REFERENCE
    if study.placebo:
        overrides = {**named[0].overrides, "placebo": 1}
        named.append(Arm(PLACEBO, PLACEBO, "1", overrides, baseline="0"))
    seeds = tuple(ABLATE_SEEDS + seed for seed in study.seeds)
    return dataclasses.replace(study, base=reference, search=None, seeds=seeds), named


def _again(study: Study, trial: Trial, seed: int) -> Trial:
    spec = _full(study, trial.spec, seed)
    return dataclasses.replace(
        trial,
        trial_id=trial_id(spec),
        arm=trial.arm if trial.number else DEFAULT,
        factor=CONFIRM,
        seed=seed,
        spec=spec,
        stage=CONFIRM,
        cutoffs=(),
        keep=False,
    )


def _full(study: Study, spec: TrialSpec, seed: int) -> TrialSpec:
    """A trial of the search from the start to the end of the full budget. Of a part of one, which population
    based training makes, its values hold throughout."""
    assert study.search is not None
    optim = spec.optim if "optim.epochs" in study.search.space else study.base.optim
    whole = {"start": "", "optim.epochs": optim.epochs, "optim.horizon": study.base.optim.horizon}
    return override(spec, {"seed": seed, **whole})


def _first(ended: Ended) -> float:
    value = ended.values[0]
    assert value is not None
    return value


def _dominates(study: Study, one: Ended, other: Ended) -> bool:
    """At least as good in every objective, and better in one."""
    assert study.search is not None
    assert one.told is not None
    assert other.told is not None
    signs = [1 if direction.name == "MAXIMIZE" else -1 for direction in study.search.directions]
    gains = [sign * (a - b) for sign, a, b in zip(signs, one.told, other.told, strict=True)]
    return all(gain >= 0 for gain in gains) and any(gain > 0 for gain in gains)

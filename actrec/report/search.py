"""A study's search, from its plan and its trials: what was tried, how far it is, what was confirmed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from actrec.report.importances import FEWEST, importances
from actrec.report.record import Row, at
from actrec.report.space import params, read_space
from actrec.report.values import (
    ABLATE,
    BASELINE,
    CONFIRM,
    DEFAULT,
    SEARCH,
    Arm,
    Confirmed,
    Dimension,
    Search,
    Stage,
    Status,
    Trial,
    Tried,
)
from actrec.report.values.search import State

STORAGE = "optuna.journal"
PBT = "pbt"  # the sampler that trains a population
BETTER = "val_top1"  # the one objective of which more is better; the others are costs


def read_search(
    folder: Path, study: Row, trials: Sequence[Trial], rows: Sequence[Row], arms: Sequence[Arm]
) -> Search | None:
    """None where the study has no search.

    Args:
        folder: the study's.
        study: ``study.json``.
        trials: all of the study, those of other plans too.
        rows: of the ledger's table ``trials``.
        arms: of the last stage.
    """
    asked = at(study, "study.search", dict, {})
    if not asked:
        return None
    progress = at(study, "search", dict, {})
    space = read_space(at(asked, "space", dict, {}))
    objectives = tuple(at(asked, "objectives", list, [BETTER]))
    of_stage = {name: _of_stage(trials, name) for name in (SEARCH, CONFIRM, ABLATE)}
    population = at(asked, "population", int, 0) if at(asked, "sampler", str, "") == PBT else 0
    tried = tuple(_tried(of_stage[SEARCH], rows, space, objectives, population))
    exhausted = at(progress, "exhausted", bool, False)
    winner = at(progress, "winner", int, None)
    total = len(tried) if exhausted else max(len(tried), at(asked, "trials", int, 0))
    ran = sum(one.is_complete for one in tried)
    return Search(
        sampler=at(asked, "sampler", str, ""),
        stopping=at(asked, "stopping", str, "none"),
        objectives=objectives,
        asked=at(asked, "trials", int, 0),
        confirm=at(asked, "confirm", int, 0),
        population=population,
        known=len(at(asked, "known", list, [])),
        exhausted=exhausted,
        winner=winner,
        space=space,
        tried=tried,
        front=_front(tried, objectives),
        stages=_stages(of_stage, total, at(progress, "stage", str, SEARCH), winner),
        confirmed=_confirmed(tried, of_stage[CONFIRM], winner, arms),
        importances=importances(space, tried) if ran >= FEWEST else (),
        too_few=ran < FEWEST,
        storage=STORAGE if (folder / STORAGE).exists() else "",
    )


def _tried(
    trials: Sequence[Trial],
    rows: Sequence[Row],
    space: Sequence[Dimension],
    objectives: Sequence[str],
    population: int,
) -> Iterator[Tried]:
    """The trials of a search, which come by their numbers."""
    specs = {row["trial_id"]: row["spec"] for row in rows if row.get("spec")}
    seen: dict[str, Tried] = {}
    for trial in trials:
        if trial.number is None:
            continue
        spec = json.loads(specs.get(trial.trial_id, "{}"))
        own = params(space, spec)
        source = seen.get(spec.get("start", ""))
        copied = source is not None and (source.number != trial.number - population or source.params != own)
        values = tuple(_value(trial, name) for name in objectives)
        parent = None if source is None else source.number
        seen[trial.trial_id] = Tried(trial.number, trial, own, values, parent, copied)
        yield seen[trial.trial_id]


def _of_stage(trials: Sequence[Trial], stage: str) -> list[Trial]:
    """The planned trials of a stage, by their numbers where they have one."""
    own = [trial for trial in trials if trial.planned and trial.stage == stage]
    return sorted(own, key=lambda trial: trial.number or 0)


def _value(trial: Trial, objective: str) -> float | None:
    value = getattr(trial, objective, None)
    return None if value is None or trial.status not in ("ok", "pruned") else float(value)


def _front(tried: Sequence[Tried], objectives: Sequence[str]) -> tuple[int, ...]:
    """The numbers of the complete trials that no other matches in all objectives and beats in one, the best
    on validation first; none where there is but one objective."""
    signs = [1 if name == BETTER else -1 for name in objectives]
    gains = {
        one.number: tuple(sign * (value or 0.0) for sign, value in zip(signs, one.values, strict=True))
        for one in tried
        if one.is_complete
    }

    front: list[int] = []
    # Whoever beats another comes before it in this order; who is beaten at all is beaten by one of the front.
    for number in sorted(gains, key=lambda number: gains[number], reverse=True):
        own = gains[number]
        rivals = (gains[other] for other in front)
        if not any(r != own and all(a >= b for a, b in zip(r, own, strict=True)) for r in rivals):
            front.append(number)
    return tuple(front) if len(objectives) > 1 else ()


def _stages(
    of_stage: Mapping[str, Sequence[Trial]], searched: int, stage: str, winner: int | None
) -> tuple[Stage, Stage, Stage]:
    """Search, confirmation and ablation.

    Args:
        searched: the trials of the first.
        stage: that the study has come to.
    """
    search = _stage(SEARCH, of_stage[SEARCH], searched, skipped=False)
    confirm = _stage(CONFIRM, of_stage[CONFIRM], len(of_stage[CONFIRM]) or None, skipped=stage == CONFIRM)
    nobody = winner == 0 or not confirm.counts["ok"]
    over = confirm.state == "skipped" or (confirm.state == "done" and nobody)
    ablate = _stage(ABLATE, of_stage[ABLATE], len(of_stage[ABLATE]) or None, skipped=over)
    return search, confirm, ablate


def _stage(name: str, trials: Sequence[Trial], planned: int | None, *, skipped: bool) -> Stage:
    """``skipped``: if it has no trials, it will not get any."""
    counts: Counter[Status] = Counter(trial.status for trial in trials)
    counts["waiting"] += max(0, (planned or 0) - len(trials))  # those that are not proposed yet
    state: State = "running" if counts["waiting"] else "done"
    if not planned:
        state = "skipped" if skipped else "ahead"
    return Stage(
        name,
        state,
        planned,
        counts,
        tuple(sorted({trial.seed for trial in trials})),
        sum(trial.work for trial in trials),
    )


def _confirmed(
    tried: Sequence[Tried], trials: Sequence[Trial], winner: int | None, arms: Sequence[Arm]
) -> tuple[Confirmed, ...]:
    """The base first, then the candidates, the best of the search first."""
    searched = {one.number: one.value for one in tried}
    numbers = {trial.number for trial in trials if trial.number is not None}
    ranked = sorted(numbers, key=lambda number: (number != 0, -(searched.get(number) or 0.0), number))
    last = {(winner if winner else -1): BASELINE, 0: DEFAULT} if winner else {}
    found = []
    for number in ranked:
        own = [trial for trial in trials if trial.number == number]
        values = tuple(trial.val_top1 for trial in own if trial.status == "ok" and trial.val_top1 is not None)
        arm = next((arm for arm in arms if arm.name == last.get(number)), None)
        found.append(
            Confirmed(
                number,
                searched.get(number),
                values,
                len(own),
                number == winner,
                arm.mean("val_top1") if arm else None,
                arm.mean("test_top1") if arm else None,
            )
        )
    return tuple(found)

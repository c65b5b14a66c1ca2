"""The table ``effects`` → what the page says of every arm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from actrec.metrics import DIRECTIONS
from actrec.report.record import Row, finite
from actrec.report.values import BASELINE, ONE_SEED, PLACEBO, Arm, Effect
from actrec.results import parquet
from actrec.stats.effects import RECALL
from actrec.stats.verdicts import IDLE

NO_RESULT = "no result"
ENDS = ("low", "high", "p", "p_adjusted", "low_simultaneous", "high_simultaneous")


def read_effects(
    folder: Path, arms: Sequence[Arm], metric: str
) -> tuple[list[Effect], list[Effect], dict[tuple[str, int], Effect]]:
    """The effects on ``metric``, a row for every arm but the baseline; those on the other metrics; and those
    on the recall of a class, by arm and class.

    Decided effects come first, then the largest; the placebo is last.
    """
    judged = [effect for effect in _judged(folder, arms) if effect.difference is not None]
    of_class = f"{RECALL}:"
    recalls = {
        (effect.arm, int(effect.metric.removeprefix(of_class))): effect
        for effect in judged
        if effect.metric.startswith(of_class)
    }
    found = [effect for effect in judged if not effect.metric.startswith(of_class)]
    own = [effect for effect in found if effect.metric == metric]
    named = {BASELINE, *(effect.arm for effect in own)}
    own += [_unjudged(arm, metric) for arm in arms if arm.name not in named]
    return sorted(own, key=_rank), sorted((e for e in found if e.metric != metric), key=_rank), recalls


def _judged(folder: Path, arms: Sequence[Arm]) -> list[Effect]:
    """The rows of the effects table that can be of this plan: of its arms, of no more seeds than finished."""
    path = folder / "effects.parquet"
    if not path.exists():
        return []
    rows = [row for piece in parquet.scan(path, "effects") for row in piece.to_pylist()]
    own = {arm.name: arm for arm in arms if arm.name != BASELINE}
    return [
        _effect(row, own[row["arm"]])
        for row in rows
        if row["arm"] in own and row["n_seeds"] <= len(own[row["arm"]].finished)
    ]


def _effect(row: Row, arm: Arm) -> Effect:
    verdict = row.get("verdict") or NO_RESULT
    ends = {name: None if verdict == IDLE else finite(row.get(name)) for name in ENDS}
    if row["n_seeds"] == 1 and ends["p"] is None and verdict != IDLE:
        verdict = ONE_SEED
    return Effect(
        arm=arm.name,
        factor=arm.factor,
        level=arm.level,
        metric=row["metric"],
        n_seeds=row["n_seeds"],
        n_failed=row.get("n_failed") or 0,
        verdict=verdict,
        baseline=row["baseline"],
        difference=finite(row.get("difference")),
        margin=finite(row.get("margin")),
        n_videos=row.get("n_videos"),
        n_groups=row.get("n_groups"),
        more_seeds=row.get("more_seeds"),
        needs_videos=bool(row.get("needs_videos")),
        fair_budget=row.get("fair_budget"),
        **ends,
    )


def _unjudged(arm: Arm, metric: str) -> Effect:
    """A row for an arm without a difference, so that the page has every arm."""
    failed = sum(trial.status == "failed" for trial in arm.trials)
    waits = any(trial.status == "waiting" for trial in arm.trials)
    return Effect(
        arm=arm.name,
        factor=arm.factor,
        level=arm.level,
        metric=metric,
        n_seeds=len(arm.finished),
        n_failed=failed,
        verdict="not yet" if waits else NO_RESULT,
    )


def _rank(effect: Effect) -> tuple[int, bool, bool, float, str]:
    """Decided effects first, then the largest; the placebo last. Metrics in their fixed order."""
    order = list(DIRECTIONS)
    return (
        order.index(effect.metric) if effect.metric in order else len(order),
        effect.arm == PLACEBO,
        not effect.decided,
        -abs(effect.difference or 0.0),
        effect.arm,
    )

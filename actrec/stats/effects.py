"""From a study's trials to its table of effects, with a verdict in a word."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from actrec.metrics import DIRECTIONS
from actrec.stats.multiplicity import holm
from actrec.stats.paired import pooled_paired_effects

ALPHA = 0.05
SAME_LOSS = 1e-9  # relative difference of test losses that are the same
IDLE: Final = "took no effect"
Verdict = Literal["helps", "hurts", "inconclusive", "took no effect"]


class Contrast(Protocol):
    """What an arm of a study tells of itself (``study.designs.Arm`` is one)."""

    @property
    def name(self) -> str: ...
    @property
    def factor(self) -> str: ...
    @property
    def level(self) -> str: ...
    @property
    def baseline(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Effect:
    """A row of the ``effects`` table: what a level does to a test metric, against the reference's level.

    Attributes:
        n_seeds: seeds that both arms have a value for.
        difference, low, high: mean paired difference, level minus baseline, and its 95 % interval, which is
            not corrected for the number of arms.
        p, p_adjusted: two-sided; adjusted by Holm over the arms of the study, for each metric by itself.
        n_failed: seeds that were lost because a trial of the arm or of the reference failed.
    """

    arm: str
    factor: str
    level: str
    baseline: str
    metric: str
    n_seeds: int
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    verdict: Verdict
    n_failed: int


def effects(
    trials: Iterable[Mapping[str, Any]],
    arms: Sequence[Contrast],
    *,
    placebo: str = "placebo",
    metrics: Mapping[str, Literal["max", "min"]] = DIRECTIONS,
    level: float = 0.95,
) -> list[Effect]:
    """The effect of every arm but the first, the reference, on every metric.

    The family that Holm's correction runs over is all arms of the study but the placebo. The placebo is no
    question that anyone asked: it is judged alone, by its own p, on the same scale as the others, so that it
    is neither hidden behind them nor costs them power. An arm that did exactly what the reference did
    (balanced weights on balanced classes, say) is no question either: its verdict is ``took no effect``, and
    it has no part in the variance. That takes the same fingerprint and the same test results on every seed
    that both have.

    Args:
        trials: rows of the ``trials`` table: ``arm``, ``seed``, ``status``, ``fingerprint`` and
            ``test_<metric>`` are read.
        arms: the study's arms, the reference first. One without trials has a row, with no verdict.
        placebo: the name of the placebo's arm, where there is one.
        metrics: metric → the way in which it is better.
        level: of the intervals.
    """
    reference, *others = arms
    lost: dict[str, set[int]] = defaultdict(set)
    ok: list[Mapping[str, Any]] = []
    for trial in trials:
        if trial["status"] == "ok":
            ok.append(trial)
        else:
            lost[trial["arm"]].add(trial["seed"])

    idle = _idle(ok, reference.name) - {placebo}
    found: list[Effect] = []
    for metric, mode in metrics.items():
        values: dict[str, dict[int, float]] = {arm.name: {} for arm in arms}
        for trial in ok:
            value = trial.get(f"test_{metric}")
            if value is not None and trial["arm"] in values:
                values[trial["arm"]][trial["seed"]] = float(value)
        pairs = pooled_paired_effects(values, reference.name, judged_only={placebo, *idle}, level=level)
        family = [arm.name for arm in others if arm.name not in {placebo, *idle}]
        adjusted = dict(zip(family, holm([pairs[name].p for name in family]).tolist(), strict=True))
        for arm in others:
            pair = pairs[arm.name]
            p_adjusted = adjusted.get(arm.name, pair.p)
            found.append(
                Effect(
                    arm=arm.name,
                    factor=arm.factor,
                    level=arm.level,
                    baseline=arm.baseline,
                    metric=metric,
                    n_seeds=pair.n,
                    difference=pair.difference,
                    low=pair.low,
                    high=pair.high,
                    p=pair.p,
                    p_adjusted=p_adjusted,
                    verdict=IDLE if arm.name in idle else judge(pair.difference, p_adjusted, mode),
                    n_failed=len(lost[arm.name] | lost[reference.name]),
                )
            )
    return found


def _idle(trials: Iterable[Mapping[str, Any]], reference: str) -> set[str]:
    """The arms that did what the reference did, on every seed that both have."""
    runs: dict[str, dict[int, Mapping[str, Any]]] = defaultdict(dict)
    for trial in trials:
        runs[trial["arm"]][trial["seed"]] = trial
    ours = runs.pop(reference, {})
    pairs = {arm: [(theirs[s], ours[s]) for s in theirs.keys() & ours] for arm, theirs in runs.items()}
    return {arm for arm, both in pairs.items() if both and all(_same(*pair) for pair in both)}


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two trials consumed the same and came to the same.

    A fingerprint alone would not do: it takes a sample of the pixels, and nothing of what is tested.
    """
    return (
        bool(one.get("fingerprint"))
        and one["fingerprint"] == other.get("fingerprint")
        and one["test_top1"] == other["test_top1"]
        and math.isclose(one["test_loss"], other["test_loss"], rel_tol=SAME_LOSS)
    )


def judge(difference: float, p_adjusted: float, mode: Literal["max", "min"]) -> Verdict:
    """``helps`` or ``hurts`` where the adjusted p is at most 0.05 (so not where it is NaN)."""
    if not p_adjusted <= ALPHA:
        return "inconclusive"
    return "helps" if (difference > 0) == (mode == "max") else "hurts"

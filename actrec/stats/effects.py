"""From a study's trials to its table of effects, with a verdict in a word."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from typing import Any, Literal, Protocol

import numpy as np

from actrec.metrics import DIRECTIONS
from actrec.stats.arms import seed_effects, study_effects
from actrec.stats.paired import Effect, Floats, effect
from actrec.stats.scores import Cell, Outcomes
from actrec.stats.verdicts import ALPHA, IDLE, Verdict, further_seeds, judge_family

RECALL = "recall"  # recall:3 is that of class 3

SAME_LOSS = 1e-9  # relative difference of test losses that are the same
SAME_BUDGET = 0.01  # relative difference of clips an epoch that are as many

UNASKED: dict[str, Any] = {"verdict": IDLE, "more_seeds": None, "needs_videos": False}

Trial = Mapping[str, Any]
Mode = Literal["max", "min"]


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
class EffectRow:
    """A row of the ``effects`` table: what a level does to a test metric, against the reference's level.

    Attributes:
        n_seeds: seeds that both arms have a value for.
        difference, low, high: mean paired difference, level minus baseline, and its interval, which is not
            corrected for the number of arms. Its level is 95 %, in a race 1 − 0.05 / looks.
        p, p_adjusted: two-sided; adjusted over the arms of the study and both hypotheses that it has of each
            (:func:`~actrec.stats.verdicts.judge_family`), for each metric by itself, and for the looks of a
            race.
        n_failed: seeds that the arm has a trial of, lost because one of them or of the reference's failed.
        se, df: standard error and degrees of freedom of the difference.
        low_simultaneous, high_simultaneous: all arms' intervals hold the truth at once in 95 % of studies.
        margin: the smallest difference that matters; NaN where the study names none in the metric's unit.
        p_equivalent: that the difference is as large as the margin or larger, adjusted together with those.
        n_videos, n_groups: test videos compared and how many groups they are in. 0 where predictions are
            missing: then intervals are for new seeds alone, not for new videos.
        more_seeds: of an inconclusive arm, how many further seeds would settle it at present estimates; None
            where no number would.
        needs_videos: the last is None because of the test videos: it takes more of them.
        fair_budget: the arm was planned to train for as many epochs of as many clips as the reference; early
            stopping counts as the same plan. None where it is not known.
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
    se: float
    df: float
    low_simultaneous: float
    high_simultaneous: float
    margin: float
    p_equivalent: float
    n_videos: int
    n_groups: int
    more_seeds: int | None
    needs_videos: bool
    fair_budget: bool | None


def effects(
    trials: Iterable[Trial],
    arms: Sequence[Contrast],
    *,
    outcomes: Outcomes | None = None,
    placebo: str = "placebo",
    metric: str = "top1",
    margin: float = 0.0,
    looks: int = 1,
    folds: int = 1,
    metrics: Mapping[str, Mode] = DIRECTIONS,
) -> list[EffectRow]:
    """The effect of every arm but the first, the reference, on every metric.

    The family that corrections run over is all arms of the study but the placebo. The placebo is no question
    that anyone asked: it is judged alone, by its own p, on the same scale as the others, so that it is
    neither hidden behind them nor costs them power. An arm that did exactly what the reference did (balanced
    weights on balanced classes, say) is no question either: its verdict is ``took no effect``, and it has no
    part in the variance. That takes the same fingerprint and the same test results on every seed that both
    have.

    Args:
        trials: rows of the ``trials`` table: ``arm``, ``seed``, ``fold``, ``status``, ``fingerprint``,
            ``spec``, ``epochs``, ``clips_trained``, ``n_test`` and ``test_<metric>`` are read. The folds of
            an arm and seed are one trial, which fails with any of them, and is none yet while one is missing
            (:func:`whole`).
        arms: the study's arms, the reference first. One without trials has a row, with no verdict.
        outcomes: what came of each test video in the whole trials; without it, or where one is not in it,
            all intervals are for new seeds alone.
        placebo: the name of the placebo's arm, where there is one.
        metric, margin: the study's own, and the smallest difference of it that matters (0: none). It holds
            for metrics of the same unit: all but the loss are shares; not for the recall of a class, which
            rests on its few videos.
        looks: at how many numbers of seeds the study judges its arms (:mod:`actrec.study.race`): p-values are
            multiplied by it, intervals widened accordingly.
        folds: how many the study trains of each arm and seed.
        metrics: metric → the way in which it is better. Each is a family of its own, but for ``recall:<k>``,
            the recalls of classes, which are one together; they follow each other and take ``outcomes``.
    """
    reference, *others = arms
    rows = list(trials)
    tried: dict[str, set[int]] = defaultdict(set)
    lost: dict[str, set[int]] = defaultdict(set)
    for trial in rows:
        tried[trial["arm"]].add(trial["seed"])
        if trial["status"] != "ok":
            lost[trial["arm"]].add(trial["seed"])
    ok = whole(rows, folds)
    seeds = sorted({trial["seed"] for trial in ok})
    names = [arm.name for arm in arms]
    if outcomes and any((trial["arm"], trial["seed"]) not in outcomes.cells for trial in ok):
        outcomes = None
    idle = _idle(ok, reference.name) - {placebo}
    budgets = [{**trial, "budget": _budget(trial)} for trial in ok]
    known = _where_all(budgets, reference.name, lambda one, other: bool(one["budget"] and other["budget"]))
    fair = _where_all(budgets, reference.name, _same_budget)

    told = {placebo, *idle}
    level = 1 - ALPHA / looks
    judged: dict[str, list[Effect]] = {}
    for name in metrics:
        values = _values(ok, names, seeds, name)
        if outcomes:
            scores = {arm: _scores(outcomes, name, arm, seeds, values[arm]) for arm in names}
            judged[name] = study_effects(scores, reference.name, outcomes.groups, level, judged_only=told)
        else:
            judged[name] = seed_effects(values, reference.name, level, judged_only=told)

    found: list[EffectRow] = []
    apart = [arm.name if arm.name in told else "" for arm in others]
    for kind, own in groupby(metrics, lambda name: name.partition(":")[0]):
        together = list(own)
        matters = margin > 0 and kind != RECALL and (kind == "loss") == (metric == "loss")
        unit = margin if matters else math.nan
        of_kind = [one for name in together for one in judged[name]]
        verdicts = _families(of_kind, apart * len(together), unit, metrics[together[0]], looks)
        for (name, arm), one, verdict in zip(product(together, others), of_kind, verdicts, strict=True):
            found.append(
                EffectRow(
                    arm=arm.name,
                    factor=arm.factor,
                    level=arm.level,
                    baseline=arm.baseline,
                    metric=name,
                    n_failed=len(lost[arm.name] | lost[reference.name] & tried[arm.name]),
                    fair_budget=arm.name in fair if arm.name in known else None,
                    margin=unit,
                    **_numbers(one),
                    **(verdict | (UNASKED if arm.name in idle else {})),
                )
            )
    return found


def whole(trials: Iterable[Trial], folds: int = 1) -> list[Trial]:
    """The trials of each arm and seed of which all folds are there and none failed.

    A part of the folds is another set of test videos: compared with it, every arm would be judged on fewer.
    """
    rows = list(trials)
    done: dict[Cell, set[int]] = defaultdict(set)
    for trial in rows:
        if trial["status"] == "ok":
            done[trial["arm"], trial["seed"]].add(trial.get("fold") or 0)
    failed = {(trial["arm"], trial["seed"]) for trial in rows if trial["status"] != "ok"}
    kept = {cell for cell, there in done.items() if len(there) >= folds} - failed
    return [trial for trial in rows if (trial["arm"], trial["seed"]) in kept]


def _values(
    trials: Iterable[Trial], arms: Sequence[str], seeds: Sequence[int], metric: str
) -> dict[str, Floats]:
    """Arm → (S,), the metric of each seed's trial, its folds weighted by their test videos."""
    row = {name: i for i, name in enumerate(arms)}
    column = {seed: i for i, seed in enumerate(seeds)}
    sums, weights = np.zeros((2, len(arms), len(seeds)))
    for trial in trials:
        if trial["arm"] in row:
            value = trial.get(f"test_{metric}")
            place = row[trial["arm"]], column[trial["seed"]]
            weight = trial.get("n_test") or 1
            sums[place] += weight * (math.nan if value is None or not math.isfinite(value) else value)
            weights[place] += weight
    means = np.divide(sums, weights, out=np.full(sums.shape, np.nan), where=weights > 0)
    return dict(zip(arms, means, strict=True))


def _scores(outcomes: Outcomes, metric: str, arm: str, seeds: Sequence[int], values: Floats) -> Floats:
    """The scores of the arm's videos, (S, V).

    The trial's loss is the mean over the clips of a video, of which predictions keep only the mean
    probabilities. So videos' losses are moved to have the trial's mean: the difference is that of the trials,
    its spread that of the predictions.
    """
    scores = outcomes.values(metric, arm, seeds)
    if metric == "loss":
        there = ~np.isnan(scores)
        means = np.where(there, scores, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        scores += (values - means)[:, None]
    return scores


def _families(
    judged: Sequence[Effect], families: Sequence[str], margin: float, mode: Mode, looks: int
) -> list[dict[str, Any]]:
    """:func:`_family` of each family, in the order of the effects, of which ``families`` has the names."""
    rows: dict[int, dict[str, Any]] = {}
    for family in dict.fromkeys(families):
        places = [i for i, name in enumerate(families) if name == family]
        rows |= zip(places, _family([judged[i] for i in places], margin, mode, looks), strict=True)
    return [rows[i] for i in range(len(judged))]


def _family(judged: Sequence[Effect], margin: float, mode: Mode, looks: int) -> list[dict[str, Any]]:
    """Corrected p-values, simultaneous intervals and verdicts of a family."""
    judgements = judge_family(judged, margin, mode, looks)
    facing = sum(one.open for one in judgements)
    rows = []
    for one, judgement in zip(judged, judgements, strict=True):
        # Bonferroni: at once with the first step of the verdicts' correction, valid for any dependence and
        # for unequal df. What the arms' common baseline would gain (Dunnett 1955) is 2 % of the width at 8
        # arms.
        wide = effect(one.parts, 1 - ALPHA / looks / len(judged))
        undecided, more = judgement.verdict == "inconclusive", None
        if undecided:
            more = further_seeds(one.parts, margin, ALPHA / looks / max(facing, 1))
        rows.append(
            {
                "p_adjusted": judgement.p_adjusted,
                "p_equivalent": judgement.p_equivalent,
                "verdict": judgement.verdict,
                "low_simultaneous": wide.low,
                "high_simultaneous": wide.high,
                "more_seeds": None if more is None else max(more, 1),
                "needs_videos": undecided and more is None and one.se > 0 and one.parts.n_groups > 0,
            }
        )
    return rows


def _numbers(one: Effect) -> dict[str, Any]:
    return {
        "n_seeds": one.parts.n_seeds,
        "n_videos": one.parts.n_videos if one.parts.n_groups else 0,
        "n_groups": one.parts.n_groups,
        **{name: getattr(one, name) for name in ("difference", "low", "high", "p", "se", "df")},
    }


def _idle(trials: Iterable[Trial], reference: str) -> set[str]:
    """The arms that did what the reference did, on every seed that both have."""
    return _where_all(trials, reference, _same)


def _where_all(trials: Iterable[Trial], reference: str, alike: Callable[[Trial, Trial], bool]) -> set[str]:
    """The arms that are alike the reference on every seed and fold that both have, if there is one."""
    runs: dict[str, dict[tuple[int, int], Trial]] = defaultdict(dict)
    for trial in trials:
        runs[trial["arm"]][trial["seed"], trial.get("fold") or 0] = trial
    ours = runs.pop(reference, {})
    pairs = {arm: [(theirs[s], ours[s]) for s in theirs.keys() & ours] for arm, theirs in runs.items()}
    return {arm for arm, both in pairs.items() if both and all(alike(*pair) for pair in both)}


def _same(one: Trial, other: Trial) -> bool:
    """Whether two trials consumed the same and came to the same.

    A fingerprint alone would not do: it takes a sample of the pixels, and nothing of what is tested.
    """
    told = [trial.get(name) for trial in (one, other) for name in ("fingerprint", "test_top1", "test_loss")]
    return (
        None not in told
        and bool(one["fingerprint"])
        and one["fingerprint"] == other["fingerprint"]
        and one["test_top1"] == other["test_top1"]
        and math.isclose(one["test_loss"], other["test_loss"], rel_tol=SAME_LOSS)
    )


def _budget(trial: Trial) -> tuple[int, float] | None:
    """The epochs that were planned and the clips in each; None where the row does not tell."""
    try:
        return int(json.loads(trial["spec"])["optim"]["epochs"]), trial["clips_trained"] / trial["epochs"]
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _same_budget(one: Trial, other: Trial) -> bool:
    if not (one["budget"] and other["budget"]):
        return False
    (epochs, clips), (their_epochs, their_clips) = one["budget"], other["budget"]
    return epochs == their_epochs and math.isclose(clips, their_clips, rel_tol=SAME_BUDGET)

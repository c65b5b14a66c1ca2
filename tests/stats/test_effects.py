"""The table of effects and its verdicts."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pytest
from scipy import stats

from actrec.results.schema import TABLES, table
from actrec.stats.arms import seed_effects, study_effects
from actrec.stats.effects import EffectRow, Mode, effects
from actrec.stats.multiplicity import holm
from actrec.stats.paired import effect
from actrec.stats.scores import Outcomes
from actrec.stats.verdicts import judge_family, projected


@dataclass(frozen=True)
class Arm:
    name: str
    factor: str = "augment"
    level: str = "hflip"
    baseline: str = "none"


ARMS = [
    Arm("baseline", "", "", ""),
    Arm("better"),
    Arm("worse"),
    Arm("same"),
    Arm("placebo", "placebo", "1", "0"),
]
SHIFT = {"baseline": 0.0, "better": 0.1, "worse": -0.1, "same": 0.0, "placebo": 0.0}


def trial(arm: str, seed: int, status: str = "ok", **values: float | None) -> dict[str, Any]:
    wobble = 0.01 * ((3 * seed + 5 * len(arm)) % 4)
    top1 = 0.7 + 0.02 * seed + SHIFT[arm] + wobble
    return {"arm": arm, "seed": seed, "status": status, "test_top1": top1, "test_loss": 1 - top1, **values}


def sweep(seeds: Iterable[int] = range(5)) -> list[dict[str, Any]]:
    return [trial(arm, seed) for seed in seeds for arm in SHIFT]


def alike(arm: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, those of an arm with the baseline's test results."""
    results = {
        row["seed"]: {name: row[name] for name in ("test_top1", "test_loss")}
        for row in rows
        if row["arm"] == "baseline"
    }
    return [row | results[row["seed"]] if row["arm"] == arm else row for row in rows]


def of(found: list[EffectRow], metric: str) -> dict[str, EffectRow]:
    return {effect.arm: effect for effect in found if effect.metric == metric}


def test_verdicts_follow_the_sign_and_the_metric() -> None:
    found = effects(sweep(), ARMS)
    for metric in ("top1", "loss"):
        verdicts = {arm: effect.verdict for arm, effect in of(found, metric).items()}
        assert verdicts == {
            "better": "helps",
            "worse": "hurts",
            "same": "inconclusive",
            "placebo": "inconclusive",
        }
    assert of(found, "loss")["better"].difference == pytest.approx(-of(found, "top1")["better"].difference)


def test_the_rows_fit_their_table() -> None:
    rows = table("effects", [asdict(effect) for effect in effects(sweep(), ARMS)])
    assert rows.schema.equals(TABLES["effects"])
    assert set(rows["metric"].to_pylist()) == {"top1", "top5", "macro_f1", "loss"}
    assert rows["baseline"].to_pylist()[0] == "none"


def test_holm_runs_over_all_arms_but_the_placebo() -> None:
    found = of(effects(sweep(), ARMS), "top1")
    family = [found[arm] for arm in ("better", "worse", "same")]
    least = min(family, key=lambda effect: effect.p)
    assert least.p_adjusted == pytest.approx(3 * least.p)
    assert found["placebo"].p_adjusted == found["placebo"].p


def test_an_arm_that_did_what_the_baseline_did_is_no_question() -> None:
    prints = {"baseline": "b", "better": "x", "worse": "y", "same": "b", "placebo": "b"}
    rows = alike("same", [row | {"fingerprint": prints[row["arm"]]} for row in sweep()])
    found = of(effects(rows, ARMS, margin=0.01), "top1")
    assert found["same"].verdict == "took no effect"
    assert found["placebo"].verdict == "inconclusive"
    # Neither its values nor the correction touch the others: they are judged as if it were not there.
    without = of(
        effects(
            [row for row in rows if row["arm"] != "same"],
            [arm for arm in ARMS if arm.name != "same"],
            margin=0.01,
        ),
        "top1",
    )
    assert found["better"] == without["better"]
    assert found["worse"] == without["worse"]


def test_an_arm_that_differs_on_one_seed_is_judged() -> None:
    rows = alike("same", [row | {"fingerprint": "b" if row["seed"] else row["arm"]} for row in sweep()])
    assert of(effects(rows, ARMS), "top1")["same"].verdict == "inconclusive"


@pytest.mark.parametrize(
    ("metric", "factor", "verdict"),
    [
        ("loss", 1 + 1e-12, "took no effect"),
        ("loss", 1 + 1e-6, "inconclusive"),
        ("top1", 1 + 1e-6, "inconclusive"),
    ],
)
def test_an_equal_fingerprint_with_other_test_results_on_one_seed_is_judged(
    metric: str, factor: float, verdict: str
) -> None:
    rows = alike("same", [row | {"fingerprint": "b"} for row in sweep()])
    for row in rows:
        if (row["arm"], row["seed"]) == ("same", 3):
            row[f"test_{metric}"] *= factor
    assert of(effects(rows, ARMS), "top1")["same"].verdict == verdict


@pytest.mark.parametrize("name", ["test_top1", "test_loss", "fingerprint"])
def test_an_equal_fingerprint_without_test_results_is_judged(name: str) -> None:
    rows = alike("same", [row | {"fingerprint": "b"} for row in sweep()])
    lacking = [row | {name: None} if row["seed"] == 2 else row for row in rows]
    assert of(effects(lacking, ARMS), "top1")["same"].verdict == "inconclusive"


def test_seeds_that_an_arm_never_had_are_not_lost_to_it() -> None:
    # Of a race: the arm got 5 seeds, the reference 8, and failed on two that the arm has not and one it has.
    rows = [row for row in sweep(range(8)) if row["arm"] != "worse" or row["seed"] < 5]
    rows = [
        row | {"status": "failed"} if row["arm"] == "baseline" and row["seed"] in {1, 6, 7} else row
        for row in rows
    ]
    found = of(effects(rows, ARMS), "top1")
    assert (found["worse"].n_seeds, found["worse"].n_failed) == (4, 1)
    assert (found["better"].n_seeds, found["better"].n_failed) == (5, 3)


def test_failed_trials_are_counted_not_used() -> None:
    trials = [
        t for t in sweep() if (t["arm"], t["seed"]) not in {("better", 0), ("baseline", 1), ("same", 1)}
    ]
    trials += [trial(arm, seed, "failed", test_top1=9.0) for arm, seed in [("better", 0), ("baseline", 1)]]
    found = of(effects(trials, ARMS), "top1")
    assert (found["better"].n_seeds, found["better"].n_failed) == (3, 2)
    assert (found["worse"].n_seeds, found["worse"].n_failed) == (4, 1)
    assert found["better"].difference < 0.2


def test_an_arm_whose_trials_all_failed_keeps_its_row() -> None:
    trials = [t if t["arm"] != "worse" else {**t, "status": "failed"} for t in sweep()]
    found = of(effects(trials, ARMS), "top1")
    assert (found["worse"].n_seeds, found["worse"].n_failed) == (0, 5)
    assert found["worse"].verdict == "inconclusive"
    assert math.isnan(found["worse"].difference)
    assert found["better"].verdict == "helps"


def test_one_seed_is_inconclusive() -> None:
    found = of(effects(sweep(seeds=[0]), ARMS), "top1")
    assert {effect.verdict for effect in found.values()} == {"inconclusive"}
    assert math.isnan(found["better"].low)


def test_a_metric_that_was_not_recorded_has_no_verdict() -> None:
    found = of(effects([trial("baseline", 0, test_top5=None)], ARMS), "top5")
    assert {effect.n_seeds for effect in found.values()} == {0}


def predicted(rows: list[dict[str, Any]], videos: int = 60) -> tuple[list[dict[str, Any]], Outcomes]:
    """Trials that name about 70 % of the videos rightly, and what came of these."""
    rng = np.random.default_rng(0)
    labels = np.arange(videos) % 3
    cells = {(row["arm"], row["seed"]): i for i, row in enumerate(rows)}
    hits = rng.random((len(rows), videos)) < np.array([0.7 + SHIFT[row["arm"]] for row in rows])[:, None]
    hits[-1, :6] = True
    rank = np.where(hits, 0, 1).astype(np.int32)
    guess = np.where(hits, labels, (labels + 1) % 3).astype(np.int32)
    loss = np.where(hits, 0.3, 1.5).astype(np.float32)
    outcomes = Outcomes(cells, np.arange(videos) // 2, labels, guess, rank, loss)
    return [
        row | {"test_top1": hits[i].mean(), "test_loss": loss[i].mean() + 0.1, "n_test": videos}
        for i, row in enumerate(rows)
    ], outcomes


def test_with_predictions_intervals_are_for_new_videos_too() -> None:
    rows, outcomes = predicted(sweep())
    found, alone = (effects(rows, ARMS, outcomes=each) for each in (outcomes, None))
    for metric in ("top1", "loss"):
        ours, seeds = of(found, metric)["better"], of(alone, metric)["better"]
        assert ours.difference == pytest.approx(seeds.difference), "the trials' own, to the last digit"
        assert (ours.n_videos, ours.n_groups) == (60, 30)
        assert (seeds.n_videos, seeds.n_groups) == (0, 0)
    # The interval is that of hits and misses, and at least as wide as the 30 groups of 2 videos have it.
    hits = {arm: (outcomes.rank == 0)[[outcomes.cells[arm, seed] for seed in range(5)]] for arm in SHIFT}
    moved = hits["better"].mean(axis=0) - hits["baseline"].mean(axis=0)
    least = stats.sem(moved.reshape(30, 2).mean(axis=1))
    wanted, *_ = study_effects(hits, "baseline", outcomes.groups, judged_only={"placebo"})
    better = of(found, "top1")["better"]
    assert (better.se, better.low, better.high) == pytest.approx((wanted.se, wanted.low, wanted.high))
    assert better.se > least


def test_recalls_of_classes_are_one_family() -> None:
    rows, outcomes = predicted(sweep(range(8)), videos=240)
    for arm, seed in outcomes.cells:  # it recognises class 2 better
        if arm == "same":
            outcomes.rank[outcomes.cells[arm, seed], outcomes.labels == 2] = 0
    top1: dict[str, Mode] = {"top1": "max"}
    recalls: dict[str, Mode] = {f"recall:{k}": "max" for k in range(3)}
    found = effects(rows, ARMS, outcomes=outcomes, margin=0.05, metrics=top1 | recalls)
    assert found[:4] == effects(rows, ARMS, outcomes=outcomes, margin=0.05, metrics=top1)
    family = [row for row in found[4:] if row.arm != "placebo"]
    assert [row.p_adjusted for row in family] == pytest.approx(list(holm([row.p for row in family])))
    assert len(family) == 9
    placebo = [row for row in found[4:] if row.arm == "placebo"]
    assert [row.p_adjusted for row in placebo] == pytest.approx(list(holm([row.p for row in placebo])))
    (best,) = (row for row in family if (row.arm, row.metric) == ("same", "recall:2"))
    hits = (outcomes.rank == 0)[:, outcomes.labels == 2].mean(axis=1)
    ours, theirs = ([hits[outcomes.cells[arm, seed]] for seed in range(8)] for arm in ("same", "baseline"))
    assert (best.verdict, best.n_videos) == ("helps", 80)
    assert best.difference == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert {math.isnan(row.margin) for row in family} == {True}, "the study's margin is not one of a class"


def test_without_the_predictions_of_one_trial_nothing_is_said_of_new_videos() -> None:
    rows, outcomes = predicted(sweep())
    fewer = dataclasses.replace(outcomes, cells=dict(list(outcomes.cells.items())[1:]))
    assert {row.n_videos for row in effects(rows, ARMS, outcomes=fewer)} == {0}


def test_the_margin_holds_for_metrics_of_its_unit() -> None:
    found = effects(sweep(), ARMS, margin=0.3)
    assert {row.verdict for row in found if row.metric == "top1"} == {"no practical effect"}
    assert all(math.isnan(row.margin) for row in found if row.metric == "loss")
    found = effects(sweep(), ARMS, metric="loss", margin=0.3)
    assert of(found, "loss")["same"].verdict == "no practical effect"
    assert of(found, "top1")["same"].verdict == "inconclusive"


def test_an_open_verdict_says_how_many_seeds_would_settle_it() -> None:
    found = of(effects(sweep(), ARMS, margin=0.01), "top1")
    assert found["better"].more_seeds is None
    assert not found["better"].needs_videos
    assert (found["same"].more_seeds or 0) >= 1


def test_so_many_seeds_settle_it_in_a_family_of_arms_that_hurt() -> None:
    # Of an arm that hurts, «it is as large as the margin» stays true: it counts in the others' correction.
    hurting = [Arm(f"hurts{i}") for i in range(6)]
    arms = [ARMS[0], *hurting, Arm("open")]
    rng = np.random.default_rng(3)
    shift = {"baseline": 0.0} | {arm.name: -0.3 for arm in hurting} | {"open": 0.03}
    rows: list[dict[str, Any]] = [
        {"arm": arm, "seed": seed, "status": "ok", "test_top1": 0.6 + by + 0.02 * rng.normal()}
        for arm, by in shift.items()
        for seed in range(4)
    ]
    margin = 0.01
    found = of(effects(rows, arms, margin=margin, metrics={"top1": "max"}), "top1")
    assert {found[arm.name].verdict for arm in hurting} == {"hurts"}
    more = found["open"].more_seeds
    assert found["open"].verdict == "inconclusive"
    assert more is not None
    judged = seed_effects(
        {arm: [r["test_top1"] for r in rows if r["arm"] == arm] for arm in shift}, "baseline"
    )

    def verdict(further: int) -> str:
        """That of the open arm, the last, if more seeds of it were as those that there are."""
        later = effect(projected(judged[-1].parts, 4 + further))
        return judge_family([*judged[:-1], later], margin)[-1].verdict

    assert verdict(more) == "helps"
    assert verdict(more - 1) == "inconclusive"


def test_where_seeds_agree_and_videos_do_not_more_videos_are_needed() -> None:
    rows, outcomes = predicted(sweep())
    for array in (outcomes.rank, outcomes.predicted, outcomes.loss):
        for (arm, _), row in outcomes.cells.items():
            array[row] = array[outcomes.cells[arm, 0]]  # all seeds of an arm do the same
    same = of(effects(rows, ARMS, outcomes=outcomes, margin=0.001), "top1")["same"]
    assert same.verdict == "inconclusive"
    assert same.more_seeds is None
    assert same.needs_videos


def test_where_videos_were_not_compared_they_are_not_blamed() -> None:
    """Two seeds that cancel out: no number of seeds tells a difference of 0 from 0."""
    rows = [trial("baseline", seed, test_top1=0.5) for seed in (0, 1)]
    rows += [trial("same", seed, test_top1=0.5 + 0.1 * (-1) ** seed) for seed in (0, 1)]
    same = of(effects(rows, ARMS), "top1")["same"]
    assert (same.verdict, same.more_seeds, same.needs_videos) == ("inconclusive", None, False)


def test_simultaneous_intervals_are_bonferroni_s_over_the_family() -> None:
    found = of(effects(sweep(), ARMS), "top1")
    for arm, family in (("better", 3), ("placebo", 1)):
        one = found[arm]
        half = stats.t.ppf(1 - 0.05 / family / 2, one.df) * one.se
        assert (one.low_simultaneous, one.high_simultaneous) == pytest.approx(
            (one.difference - half, one.difference + half)
        )


def test_looks_multiply_p_and_widen_intervals() -> None:
    once, thrice = (of(effects(sweep(), ARMS, looks=looks), "top1")["worse"] for looks in (1, 3))
    assert thrice.p == once.p
    assert thrice.p_adjusted == pytest.approx(3 * once.p_adjusted)
    half = stats.t.ppf(1 - 0.05 / 3 / 2, once.df) * once.se
    assert thrice.high - thrice.low == pytest.approx(2 * half)


def test_folds_of_a_seed_are_one_trial() -> None:
    rows = sweep()
    folds = [
        row | {"fold": fold, "n_test": n, "test_top1": row["test_top1"] + shift}
        for row in rows
        for fold, n, shift in ((0, 30, 0.01), (1, 10, -0.03))  # 30 × 0.01 = 10 × 0.03
    ]
    found, whole = of(effects(folds, ARMS), "top1"), of(effects(rows, ARMS), "top1")
    assert found["better"].difference == pytest.approx(whole["better"].difference)
    assert found["better"].se == pytest.approx(whole["better"].se)
    folds[1]["status"] = "failed"  # a fold of the baseline's first seed
    assert {row.n_seeds for row in effects(folds, ARMS) if row.metric == "top1"} == {4}


@pytest.mark.parametrize(
    ("epochs", "clips", "fair"), [(10, 300, True), (12, 300, False), (10, 150, False), (None, 300, None)]
)
def test_a_budget_is_fair_where_as_many_epochs_of_as_many_clips_were_planned(
    epochs: int | None, clips: int, fair: bool | None
) -> None:
    def budget(planned: int | None, clips: int, trained: int) -> dict[str, Any]:
        spec = json.dumps({"optim": {"epochs": planned}})
        return {"spec": spec, "epochs": trained, "clips_trained": clips * trained}

    rows = [
        row | (budget(epochs, clips, 7) if row["arm"] == "better" else budget(10, 300, 10)) for row in sweep()
    ]
    found = of(effects(rows, ARMS), "top1")
    assert found["better"].fair_budget is fair, "early stopping, 7 epochs of 10, is the same plan"
    assert found["worse"].fair_budget is True

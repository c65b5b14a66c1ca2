"""The table of effects and its verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from actrec.results.schema import TABLES, table
from actrec.stats.effects import EffectRow as Effect
from actrec.stats.effects import effects
from actrec.stats.verdicts import judge


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


def of(found: list[Effect], metric: str) -> dict[str, Effect]:
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


@pytest.mark.parametrize(
    ("difference", "p", "mode", "verdict"),
    [
        (0.1, 0.05, "max", "helps"),
        (0.1, 0.051, "max", "inconclusive"),
        (-0.1, 0.01, "max", "hurts"),
        (-0.1, 0.01, "min", "helps"),
        (0.1, 0.01, "min", "hurts"),
        (0.1, math.nan, "max", "inconclusive"),
    ],
)
def test_judge(difference: float, p: float, mode: Any, verdict: str) -> None:
    assert judge(difference, p, mode) == verdict

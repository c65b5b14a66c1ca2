"""Racing: at which numbers of seeds arms are judged, and that looking again costs no false verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from actrec.seeding import numpy_rng
from actrec.stats.effects import effects
from actrec.stats.multiplicity import holm
from actrec.study.designs import PLACEBO, REFERENCE, Arm
from actrec.study.race import chance_of_any, judged, open_arms, raced, schedule

ARMS = 6
STUDIES = 2000


def test_schedule() -> None:
    assert schedule(5, 20) == (5, 10, 20)
    assert schedule(3, 20) == (3, 8, 20), "3 × √(20/3) = 7.7"
    assert schedule(4, 5) == (4, 5), "nothing between them"
    assert schedule(5, 5) == schedule(5, 0) == (5,)
    assert schedule(2, 32, looks=5) == (2, 4, 8, 16, 32)


def test_what_was_judged_before_a_study_was_extended_counts() -> None:
    race = judged({}, schedule(5, 20))
    assert race == {5: 3, 10: 3, 20: 3}
    assert judged(race, schedule(5, 20)) == race, "the same study again"
    assert chance_of_any(race) == pytest.approx(0.05)
    # From 5 seeds to 10: 0.05 (1 + 1/2).
    twice = judged(judged({}, (5,)), (10,))
    assert twice == {5: 1, 10: 2}
    assert chance_of_any(twice) == pytest.approx(0.075)
    assert judged({5: 1}, schedule(5, 20)) == {5: 1, 10: 3, 20: 3}
    assert judged(race, schedule(5, 50)) == {**race, 16: 5, 50: 5}
    assert chance_of_any({}) == 0, "a search, before its ablation"


def test_who_extends_a_study_by_hand_errs_no_more_often_than_the_page_says() -> None:
    """One arm without effect, judged at 5 seeds, and at 10 if nothing was found: p times 1, then times 2."""
    rng = numpy_rng(0, "extended")
    values = rng.standard_normal((20_000, 10))
    first, second = (stats.ttest_1samp(values[:, :n], 0, axis=1).pvalue for n in (5, 10))
    corrected = np.mean((first <= 0.05) | (2 * second <= 0.05))
    # The standard error is 0.2 points.
    assert 0.055 < corrected <= chance_of_any(judged({5: 1}, (10,)))
    assert np.mean((first <= 0.05) | (second <= 0.05)) > 0.08, "uncorrected: the test can fail"


def test_an_arm_goes_as_far_as_it_must_and_those_it_is_compared_with_go_along() -> None:
    has = {REFERENCE: 5, "a": 5, "b": 5, "c": 5, PLACEBO: 5}
    assert raced(has, {"a": 2, "b": 6}, (5, 10, 20)) == {**has, "a": 10, "b": 20, REFERENCE: 20, PLACEBO: 20}
    assert raced(has, {"a": 5}, (5, 10, 20))["a"] == 10
    assert raced(has, {"a": 900}, (5, 10, 20))["a"] == 20, "no further than the last"
    assert raced(has, {}, (5, 10, 20)) == has
    assert raced(has, {PLACEBO: 3}, (5, 10, 20)) == has, "nobody asked about the placebo"
    full = {**has, REFERENCE: 20, PLACEBO: 20, "a": 20}
    assert raced(full, {"a": 1}, (5, 10, 20)) == full
    assert raced(full, {"b": 1}, (5, 10, 20)) == {**full, "b": 10}
    assert raced({REFERENCE: 5, "a": 5}, {"a": 1}, (5, 20)) == {REFERENCE: 20, "a": 20}, "without a placebo"


def false_verdicts(looks: int) -> float:
    """The share of studies whose arms all do nothing in which a race nevertheless finds something.

    Paired t tests by seed with Holm's correction, p-values times ``looks``. An open arm near a verdict
    looks again soon, the others late, which is as greedy for findings as a race can be.
    """
    rng, sizes = numpy_rng(0, "race"), schedule(5, 20)
    blocks = rng.normal(size=(STUDIES, 1, sizes[-1]))
    values = rng.normal(size=(STUDIES, ARMS + 1, sizes[-1])) + blocks
    differences = values[:, 1:] - values[:, :1]
    # Of each study and arm at each number of seeds, (STUDIES, sizes, ARMS).
    p = np.stack([stats.ttest_1samp(differences[..., :size], 0, axis=2).pvalue for size in sizes], axis=1)
    found = 0
    for of_study in p:
        has = dict.fromkeys((REFERENCE, *map(str, range(ARMS))), sizes[0])
        for _ in sizes:
            now = np.array([of_study[sizes.index(has[str(arm)]), arm] for arm in range(ARMS)])
            if (looks * holm(now) <= 0.05).any():
                found += 1
                break
            has = raced(has, {str(arm): 1 if now[arm] < 0.2 else 15 for arm in range(ARMS)}, sizes)
    return found / STUDIES


def test_looking_again_makes_no_more_than_five_false_verdicts_in_a_hundred() -> None:
    # The bound is 0.05; 2,000 studies tell a share near it to ± 0.01.
    assert false_verdicts(looks=len(schedule(5, 20))) <= 0.05
    assert false_verdicts(looks=1) > 0.06, "uncorrected, the race would find too much: the test can fail"


@pytest.mark.parametrize(("first", "most"), [(1, 2), (2, 50), (5, 6), (7, 20), (19, 20), (3, 1000)])
def test_a_schedule_rises_from_first_to_most(first: int, most: int) -> None:
    sizes = schedule(first, most)
    assert sizes[0] == first
    assert sizes[-1] == most
    assert list(sizes) == sorted(set(sizes))
    assert len(sizes) <= 3


def verdicts(values: Mapping[str, Sequence[float | None]], margin: float = 0.0) -> dict[str, int]:
    """The open arms of a study with these test accuracies, by arm and seed; None: the trial failed."""
    trials: list[dict[str, Any]] = [
        {"arm": arm, "seed": seed, "fold": 0, "status": "ok" if value else "failed", "test_top1": value}
        for arm, of_arm in values.items()
        for seed, value in enumerate(of_arm)
    ]
    for trial in trials:
        trial |= {"fingerprint": trial["arm"], "test_loss": 1.0, "spec": None, "n_test": 100}
    arms = [Arm(name, name, "", {}) for name in values]
    rows = effects(trials, arms, metrics={"top1": "max", "macro_f1": "max"}, margin=margin, looks=3)
    return open_arms(rows, "top1")


def test_open_arms_are_the_inconclusive_ones() -> None:
    baseline = [0.50, 0.52, 0.49, 0.51, 0.50]
    better = [value + 0.3 for value in (0.51, 0.52, 0.48, 0.50, 0.51)]
    unsure = [0.53, 0.52, 0.52, 0.51, 0.54]
    found = verdicts({REFERENCE: baseline, "better": better, "unsure": unsure})
    assert found.keys() == {"unsure"}
    assert 1 <= found["unsure"] < 100


def test_one_seed_says_nothing_so_every_arm_is_open() -> None:
    assert verdicts({REFERENCE: [0.5], "a": [0.6], "b": [0.5]}) == {"a": 1, "b": 1}


def test_an_arm_that_failed_on_every_seed_is_not_open() -> None:
    baseline = [0.50, 0.52, 0.49]
    some, every = [None, 0.53, 0.50], [None, None, None]
    assert verdicts({REFERENCE: baseline, "some": some, "every": every}).keys() == {"some"}
    assert verdicts({REFERENCE: [0.5], "a": [0.6], "every": [None]}) == {"a": 1}
    assert verdicts({REFERENCE: every, "some": some, "every": every}) == {}, "nothing to compare with"


def test_an_arm_that_no_number_of_seeds_would_settle_is_not_open() -> None:
    # Differences of 0.1 and −0.1: none, whatever the seeds say.
    assert verdicts({REFERENCE: [0.5, 0.5], "same": [0.6, 0.4]}) == {}

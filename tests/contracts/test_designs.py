"""What every design must keep to; a new one in DESIGNS is tested by being there."""

from __future__ import annotations

import itertools

import pytest

from actrec.spec import AugmentSpec, TrialSpec, override, trial_id
from actrec.study.designs import DESIGNS, REFERENCE, Arm
from actrec.study.factors import Factor

BASE = override(TrialSpec(), {"model.dropout": 0.1, "optim.epochs": 3})
AUGMENT = Factor("augment", levels=("hflip", "set2"), baseline="none")
DROPOUT = Factor("model.dropout", levels=(0.5,), baseline=0.0)
WEIGHTS = Factor("loss.class_weights", levels=("balanced", "sqrt"), baseline="none")

CASES: dict[str, tuple[Factor, ...]] = {
    "no factor": (),
    "one": (DROPOUT,),
    "two": (AUGMENT, DROPOUT),
    "three": (AUGMENT, DROPOUT, WEIGHTS),
    "a part that is not a preset": (Factor("augment", (AugmentSpec(hflip=0.3),), "none"), WEIGHTS),
    # None is what an option that nobody set has; it is a value like any other.
    "the baseline is what the base says": (Factor("model.dropout", (None, 0.2), 0.1),),
}


def arms(design: str, factors: tuple[Factor, ...]) -> list[Arm]:
    return DESIGNS[design](BASE, factors)


pytestmark = [
    pytest.mark.parametrize("design", DESIGNS),
    pytest.mark.parametrize("factors", CASES.values(), ids=list(CASES)),
]


def test_the_baseline_is_first_and_there_once(design: str, factors: tuple[Factor, ...]) -> None:
    made = arms(design, factors)
    assert made[0].name == REFERENCE
    assert [arm.name for arm in made].count(REFERENCE) == 1
    assert (made[0].factor, made[0].level, made[0].baseline) == ("", "", "")


def test_all_arms_are_different_trials_with_different_names(design: str, factors: tuple[Factor, ...]) -> None:
    made = arms(design, factors)
    assert len({trial_id(override(BASE, arm.overrides)) for arm in made}) == len(made)
    assert len({arm.name for arm in made}) == len(made)


def test_every_factor_appears(design: str, factors: tuple[Factor, ...]) -> None:
    made = arms(design, factors)
    for factor in factors:
        assert len({str(arm.overrides[factor.path]) for arm in made}) >= 2
        assert any(factor.path in arm.factor.split(" × ") for arm in made)


def test_the_order_of_the_factors_does_not_matter(design: str, factors: tuple[Factor, ...]) -> None:
    wanted = {
        (a.name, a.factor, a.level, a.baseline, str(sorted(a.overrides.items(), key=lambda kv: kv[0])))
        for a in arms(design, factors)
    }
    for order in itertools.permutations(factors):
        found = {
            (a.name, a.factor, a.level, a.baseline, str(sorted(a.overrides.items(), key=lambda kv: kv[0])))
            for a in arms(design, order)
        }
        assert found == wanted


def test_an_arm_says_what_it_changes(design: str, factors: tuple[Factor, ...]) -> None:
    reference, *others = arms(design, factors)
    for arm in others:
        changed = {path for path, value in arm.overrides.items() if value != reference.overrides[path]}
        assert set(arm.factor.split(" × ")) == changed
        assert len(arm.level.split(" × ")) == len(arm.baseline.split(" × ")) == len(changed)
        assert arm.name == " × ".join(
            f"{path}={level}"
            for path, level in zip(arm.factor.split(" × "), arm.level.split(" × "), strict=True)
        )

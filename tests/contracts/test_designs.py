"""What every design must keep to; a new one in DESIGNS or ADAPTIVE is tested by being there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from actrec.errors import StudyError
from actrec.seeding import derive
from actrec.spec import AugmentSpec, TrialSpec, get, override, trial_id
from actrec.study.designs import DESIGNS, REFERENCE, RESOLUTIONS, Arm
from actrec.study.factors import Factor
from actrec.study.greedy import ADAPTIVE

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


MARGIN = 0.2
# These are about the first of a factor's levels, so that putting another first asks something else.
ONE_LEVEL = {"leave_one_out", "add_one_in", "ablation_path", "greedy_path"}


def gain(arm: Arm, other: Arm) -> float:
    """An adaptive design is played to its end, with results that are a function of an arm's trial alone."""
    ours, theirs = (derive(0, trial_id(override(BASE, one.overrides))) / 2**63 for one in (arm, other))
    return ours - theirs


def arms(design: str, factors: tuple[Factor, ...]) -> list[Arm]:
    if design in ADAPTIVE:
        return ADAPTIVE[design](BASE, factors, gain, MARGIN).arms
    return DESIGNS[design](BASE, factors)


def told(made: list[Arm]) -> set[tuple[str, ...]]:
    return {(a.name, a.factor, a.level, a.baseline, str(sorted(a.overrides.items()))) for a in made}


def cases() -> Iterator[Any]:
    for design in [*DESIGNS, *ADAPTIVE]:
        for name, factors in CASES.items():
            if design not in RESOLUTIONS or all(len(factor.levels) == 1 for factor in factors):
                yield pytest.param(design, factors, id=f"{design}-{name}")


every_design = pytest.mark.parametrize(("design", "factors"), [*cases()])


@every_design
def test_the_baseline_is_first_and_there_once(design: str, factors: tuple[Factor, ...]) -> None:
    made = arms(design, factors)
    assert made[0].name == REFERENCE
    assert [arm.name for arm in made].count(REFERENCE) == 1
    assert (made[0].factor, made[0].level, made[0].baseline) == ("", "", "")


@every_design
def test_all_arms_are_different_trials_with_different_names(design: str, factors: tuple[Factor, ...]) -> None:
    made = arms(design, factors)
    assert len({trial_id(override(BASE, arm.overrides)) for arm in made}) == len(made)
    assert len({arm.name for arm in made}) == len(made)


@pytest.mark.parametrize("design", [*DESIGNS, *ADAPTIVE])
def test_assignments_that_are_one_trial_are_one_arm(design: str) -> None:
    """A preset, and after it one of its settings, which leaves nothing of what the preset says."""
    made = arms(design, (Factor("augment", ("hflip",), "none"), Factor("augment.hflip", (0.5,), 0.0)))
    assert len({trial_id(override(BASE, arm.overrides)) for arm in made}) == len(made) == 2
    assert made[0].name == REFERENCE
    assert "augment.hflip" in made[1].factor.split(" × ")


@every_design
def test_every_factor_appears(design: str, factors: tuple[Factor, ...]) -> None:
    made = arms(design, factors)
    for factor in factors:
        assert len({str(arm.overrides[factor.path]) for arm in made}) >= 2
        assert any(factor.path in arm.factor.split(" × ") for arm in made)


@every_design
def test_the_order_of_the_factors_does_not_matter(design: str, factors: tuple[Factor, ...]) -> None:
    wanted = told(arms(design, factors))
    for order in itertools.permutations(factors):
        found = arms(design, order)
        if design == "ablation_path":  # but here, where it is the question: only the ends stay
            assert (found[0].name, len(found)) == (REFERENCE, len(wanted))
            assert told(found[-1:]) <= wanted
        else:
            assert told(found) == wanted


@every_design
def test_the_order_of_the_levels_does_not_matter(design: str, factors: tuple[Factor, ...]) -> None:
    fixed = 1 if design in ONE_LEVEL else 0
    turned = [Factor(f.path, (*f.levels[:fixed], *f.levels[fixed:][::-1]), f.baseline) for f in factors]
    assert told(arms(design, tuple(turned))) == told(arms(design, factors))


@every_design
def test_every_arm_applies_and_assigns_every_factor(design: str, factors: tuple[Factor, ...]) -> None:
    for arm in arms(design, factors):
        spec = override(TrialSpec(), arm.overrides)
        assert arm.overrides.keys() == {factor.path for factor in factors}
        for path, value in arm.overrides.items():
            assert get(spec, path) == get(override(BASE, {path: value}), path)


@every_design
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


@pytest.mark.parametrize("design", RESOLUTIONS)
def test_a_fraction_takes_two_values_of_a_factor(design: str) -> None:
    with pytest.raises(StudyError, match=r"'augment' has 3 values \(none, hflip, set2\): .* takes two"):
        arms(design, (DROPOUT, AUGMENT))

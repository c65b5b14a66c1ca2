"""Search spaces: what they take, what they give, and what they say of a mistake."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest

from actrec.errors import SpecError, StudyError
from actrec.models.zoo import resolve
from actrec.spec import AugmentSpec, TrialSpec, override
from actrec.study.dimensions import Categorical, Dimension, Float, Int, When, contains
from actrec.study.space import active, check, combinations, from_dict, level, params, suggest, to_dict
from tests.study.searching import BASE, SPACE

WHOLE = override(BASE, {"model": resolve(BASE.model)})


def test_a_dimension_comes_after_the_one_it_depends_on() -> None:
    ordered = list(check(SPACE, WHOLE, {}))
    assert set(ordered) == set(SPACE)
    assert ordered.index("freeze.strategy") < ordered.index("freeze.k")


def test_what_is_suggested_lies_in_the_space_and_is_found_again() -> None:
    space = check(SPACE, WHOLE, {})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    seen = set()
    for _ in range(40):
        asked = study.ask()
        spec = suggest(space, BASE, asked)
        assert params(space, spec) == asked.params
        # A dimension that does not exist for the trial stays where the base has it.
        assert ("freeze.k" in asked.params) == (spec.freeze.strategy == "first_k")
        assert spec.freeze.k == asked.params.get("freeze.k", BASE.freeze.k)
        assert spec.augment == (
            AugmentSpec(hflip=0.5) if asked.params["augment"] == "hflip" else AugmentSpec()
        )
        seen.add((spec.freeze.strategy, spec.freeze.k))
    assert seen == {("none", 0), ("first_k", 1), ("first_k", 2), ("first_k", 3)}


def test_outside_the_space_there_are_no_params() -> None:
    space = check(SPACE, WHOLE, {})
    assert params(space, override(WHOLE, {"optim.lr": 0.5})) is None
    assert params(space, override(WHOLE, {"augment.hflip": 0.25})) is None
    inside = override(WHOLE, {"freeze.k": 7})  # which does not count under "none"
    assert set(active(space, inside)) == set(space) - {"freeze.k"}
    assert params(space, inside) is not None


@pytest.mark.parametrize(
    ("dimension", "inside", "outside"),
    [
        (Categorical((0, 4, True)), [0, 4, True], [1, False, "4"]),
        (Int(1, 7, step=3), [1, 4, 7], [0, 2, 8, 1.5, True]),
        (Int(1, 64, log=True), [1, 37, 64], [0, 65]),
        (Float(0.0, 0.6, step=0.2), [0.0, 0.4, 0.6], [0.1, -0.2, 0.7]),
        (Float(1e-4, 1e-2, log=True), [1e-4, 3e-3], [0.02, "x", True]),
    ],
)
def test_contains(dimension: Dimension, inside: list[Any], outside: list[Any]) -> None:
    assert all(contains(dimension, value) for value in inside)
    assert not any(contains(dimension, value) for value in outside)


def test_combinations_follow_the_conditions() -> None:
    space = check(SPACE, WHOLE, {})
    # 2 augmentations × (none, or first_k with 3 values of k); what is continuous stays at the base.
    found = combinations(space, BASE) or []
    assert len(found) == 2 * (1 + 3)
    assert {spec.optim.lr for spec in found} == {BASE.optim.lr}
    assert len(combinations(space, BASE, ("freeze",)) or []) == 4
    assert combinations(space, BASE, limit=7) is None


def test_a_space_survives_json() -> None:
    space = check(SPACE, WHOLE, {})
    assert from_dict(to_dict(space)) == space
    with pytest.raises(StudyError, match=r"dimension 'optim\.lr' cannot be read"):
        from_dict({"optim.lr": {"kind": "float", "low": 1.0, "hgih": 2.0}})


def test_a_whole_part_is_named_by_its_preset() -> None:
    dimension = Categorical(("none", "set3"))
    assert level("augment", dimension, override(TrialSpec(), {"augment": "set3"})) == "set3"
    other = override(TrialSpec(), {"augment": "crop"})
    assert level("augment", dimension, other) == other.augment


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({}, "must be a mapping"),
        ({"optim.lr": (1e-4, 1e-2)}, "is no dimension; use one of Categorical, Int, Float"),
        ({"optim.rl": Float(1e-4, 1e-2)}, "did you mean 'optim.lr'"),
        ({"seed": Int(0, 9)}, "'seed' cannot be searched: use the study's seeds"),
        ({"model.dropout": Float(0.0, 1.5)}, r"model\.dropout=1\.5: must be"),
        ({"model.dropout": Float(0.5, 0.1)}, "low=0.5 must be less than high=0.1"),
        ({"optim.lr": Float(0.0, 1e-2, log=True)}, r"'optim\.lr': .*low"),
        ({"augment": Categorical(("none", "hflop"))}, "unknown preset of 'augment' 'hflop'; did you mean"),
        ({"augment": Categorical(("none", AugmentSpec(hflip=0.5)))}, "cannot be a choice"),  # type: ignore[arg-type]
        ({"augment": Categorical(())}, "choices must be a tuple of values"),
        ({"augment": Categorical(("none", "none"))}, "choices must all differ"),
        ({"clip.num_frames": Int(4, 16)}, "must be Categorical, since all of its values are decoded"),
        ({"augment": Categorical(("none",)), "augment.hflip": Float(0.0, 1.0)}, "one is inside the other"),
        (
            {"freeze.k": Int(0, 3, when=When("freeze.strategi", ("none",)))},
            "unknown dimension 'freeze.strategi'",
        ),
        (
            {
                "freeze.k": Int(0, 3, when=When("freeze.strategy", ("none", "some"))),
                "freeze.strategy": Categorical(("none", "first_k")),
            },
            "unknown value of 'freeze.strategy' 'some'",
        ),
        (
            {
                "optim.lr": Float(1e-4, 1e-2, when=When("model.dropout", (0.1,))),
                "model.dropout": Float(0.0, 0.5),
            },
            "must be Categorical for that",
        ),
        (
            {
                "optim.lr": Categorical((1e-3, 2e-3), when=When("model.dropout", (0.1,))),
                "model.dropout": Categorical((0.1, 0.2), when=When("optim.lr", (1e-3,))),
            },
            "depend on each other in a circle",
        ),
        (
            {"optim.lr": Float(2e-3, 1e-2)},
            r"optim\.lr=0\.001 of the base, where the search starts, is not in",
        ),
    ],
)
def test_a_mistake_is_told_when_the_study_is_made(space: dict[str, Any], words: str) -> None:
    with pytest.raises((SpecError, StudyError), match=words):
        check(space, WHOLE, {"seed": "use the study's seeds"})


def test_steps_are_told_from_what_lies_between_them() -> None:
    dimension = Float(0.1, 0.7, step=0.1)
    assert all(contains(dimension, 0.1 + 0.1 * number) for number in range(7))
    assert not contains(dimension, math.nextafter(0.15, 1))

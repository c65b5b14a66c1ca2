"""Factors and studies: what is made of them, and that every mistake is caught when it is written down."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from actrec.errors import SpecError, StudyError
from actrec.spec import AugmentSpec, TrialSpec, get, override
from actrec.study.designs import crossed
from actrec.study.factors import Factor, Study, diff

AUGMENT = Factor("augment", levels=("hflip", "set2"), baseline="none")
DROPOUT = Factor("model.dropout", levels=(0.5,), baseline=0)
FACTORS = (AUGMENT, DROPOUT)


def study(**values: Any) -> Study:
    return Study(**{"name": "test", "base": TrialSpec(), "factors": FACTORS, **values})


def names(design: str, factors: tuple[Factor, ...] = FACTORS) -> list[str]:
    return [arm.name for arm in study(design=design, factors=factors, placebo=False).arms]


def test_one_at_a_time() -> None:
    assert names("one_at_a_time") == ["baseline", "augment=hflip", "augment=set2", "model.dropout=0.5"]


def test_leave_one_out_has_everything_on_but_one() -> None:
    made = study(design="leave_one_out")
    assert [arm.name for arm in made.arms] == ["baseline", "augment=none", "model.dropout=0.0", "placebo"]
    assert made.arms[0].overrides == {"augment": "hflip", "model.dropout": 0.5}
    assert made.arms[1].overrides == {"augment": "none", "model.dropout": 0.5}
    assert (made.arms[1].level, made.arms[1].baseline) == ("none", "hflip")
    assert made.arms[-1].overrides == {"augment": "hflip", "model.dropout": 0.5, "placebo": 1}


def test_add_one_in_ends_with_all_on() -> None:
    together = "augment=hflip × model.dropout=0.5"
    assert names("add_one_in") == ["baseline", "augment=hflip", "model.dropout=0.5", together]
    assert names("add_one_in", (DROPOUT,)) == ["baseline", "model.dropout=0.5"]


def test_factorial_has_every_combination() -> None:
    made = study(design="factorial", placebo=False)
    assert len(made.arms) == 3 * 2
    last = made.arms[-1]
    assert (last.factor, last.level, last.baseline) == ("augment × model.dropout", "set2 × 0.5", "none × 0.0")


def test_an_ablation_path_adds_one_factor_after_another() -> None:
    names_ = names("ablation_path", (DROPOUT, AUGMENT))
    assert names_ == ["baseline", "model.dropout=0.5", "augment=hflip × model.dropout=0.5"]


def test_an_adaptive_design_starts_with_its_first_round() -> None:
    assert names("greedy_forward") == names("one_at_a_time")
    assert names("greedy_path") == ["baseline", "augment=hflip", "model.dropout=0.5"]


def test_a_factorial_tells_statistics_its_cells() -> None:
    made = study(design="factorial")
    found = crossed(made.factors, made.arms)
    assert found.factors == {"augment": ["none", "hflip", "set2"], "model.dropout": ["0.0", "0.5"]}
    assert len(found.cells) == 6, "without the placebo"
    assert found.cells["baseline"] == [0, 0]
    assert found.cells["augment=set2 × model.dropout=0.5"] == [2, 1]


def test_the_baseline_overrides_the_base() -> None:
    base = override(TrialSpec(), {"model.dropout": 0.9, "augment": "jitter"})
    made = study(base=base)
    assert get(made.baseline, "model.dropout") == 0.0
    assert made.baseline.augment == AugmentSpec()
    assert override(base, made.arms[0].overrides) == made.baseline


@pytest.mark.parametrize(
    ("level", "name"),
    [
        ("set2", "augment=set2"),
        (AugmentSpec(hflip=0.5), "augment=hflip"),
        ({"hflip": 0.3, "crop": "random"}, "augment=(crop=random, hflip=0.3)"),
    ],
)
def test_a_whole_part_is_shown_by_its_preset_or_by_what_it_changes(level: Any, name: str) -> None:
    assert names("one_at_a_time", (Factor("augment", (level,), "none"),))[1] == name


def test_values_are_made_what_the_specification_holds() -> None:
    factor = Factor("data.classes", levels=(["run", "walk"],), baseline=())
    assert factor.levels == (("run", "walk"),)
    assert names("one_at_a_time", (factor,))[1] == "data.classes=[run, walk]"


def test_json_and_back() -> None:
    made = study(
        factors=(
            *FACTORS[1:],
            Factor("augment", (AugmentSpec(hflip=0.3), "set2"), "none", label="Augmentation"),
        ),
        design="factorial",
        seeds=(3, 1),
        placebo=False,
        margin=0.02,
    )
    again = Study.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.arms == made.arms
    assert diff(made, again) == {}


def test_diff_names_what_changed() -> None:
    assert diff(TrialSpec(), override(TrialSpec(), {"optim.lr": 0.1, "augment": "hflip"})) == {
        "augment.hflip": (0.0, 0.5),
        "optim.lr": (1e-3, 0.1),
    }
    changed = diff(study(), study(seeds=(0, 1), base=override(TrialSpec(), {"optim.epochs": 2})))
    assert changed == {"seeds": ((0, 1, 2, 3, 4), (0, 1)), "base.optim.epochs": (15, 2)}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Factor("model.dropuot", (0.5,), 0.0), SpecError, "did you mean 'model.dropout'"),
        (lambda: Factor("modle", (0.5,), 0.0), SpecError, "unknown path 'modle'"),
        (lambda: Factor("model.dropout", ("high",), 0.0), SpecError, "model.dropout='high': must be"),
        (lambda: Factor("model.dropout", (0.5,), "low"), SpecError, "model.dropout='low': must be"),
        (lambda: Factor("augment", ("hfilp",), "none"), SpecError, "did you mean 'hflip'"),
        (lambda: Factor("augment", ({"hfilp": 1.0},), "none"), SpecError, "augment.hflip"),
        (lambda: Factor("augment", (0.5,), "none"), SpecError, "augment=0.5: must be AugmentSpec"),
        (lambda: Factor("augment", cast("Any", "hflip"), "none"), StudyError, "levels must be a tuple"),
        (lambda: Factor("model.dropout", (), 0.0), StudyError, "has no levels"),
        (lambda: Factor("model.dropout", (0.5, 0.5), 0.0), StudyError, "0.5 makes the same trial as 0.5"),
        (lambda: Factor("model.dropout", (0,), 0.0), StudyError, "0.0 makes the same trial as 0.0"),
        (lambda: Factor("augment", ("set1",), "none"), StudyError, "set1 makes the same trial as none"),
        (lambda: Factor("data.manifest", ("a",), "b"), StudyError, "a makes the same trial as b"),
        (lambda: Factor("seed", (1,), 0), StudyError, "use the study's seeds"),
        (lambda: Factor("placebo", (1,), 0), StudyError, "use the study's placebo"),
        (lambda: study(factors=(DROPOUT, DROPOUT)), StudyError, "two factors change 'model.dropout'"),
        (
            lambda: study(factors=(AUGMENT, Factor("augment.hflip", (0.5,), 0.0))),
            StudyError,
            "'augment' and 'augment.hflip' overlap",
        ),
        (lambda: study(name="a/b"), StudyError, "names a folder"),
        (lambda: study(name=".."), StudyError, "names a folder"),
        (lambda: study(name=""), StudyError, "names a folder"),
        (lambda: study(design="one_at_time"), StudyError, "did you mean 'one_at_a_time'"),
        (lambda: study(seeds=()), StudyError, "at least one"),
        (lambda: study(seeds=(1, 1)), StudyError, "all different"),
        (lambda: study(seeds=(-1,)), StudyError, "seeds"),
        (lambda: study(seeds=(2**31,)), StudyError, "seeds"),
        (lambda: Study(name="x", base=TrialSpec(), factors=DROPOUT), StudyError, "a tuple of Factor"),  # type: ignore[arg-type]
        (lambda: Study(name="x", base={}, factors=()), StudyError, "base must be a TrialSpec"),  # type: ignore[arg-type]
        (lambda: study(seeds=3), StudyError, "seeds=3: must be a tuple"),
        (lambda: study(metric="top_1"), StudyError, "did you mean 'top1'"),
        (lambda: study(mode="maximum"), StudyError, "mode='maximum': must be one of"),
        (lambda: study(metric="loss"), StudyError, "loss is better at its min"),
        (lambda: study(margin=-0.1), StudyError, "margin"),
        (lambda: study(max_seeds=4), StudyError, "max_seeds=4: must be 0, or at least the 5 seeds"),
        (lambda: study(max_seeds=-1), StudyError, "max_seeds"),
        (lambda: study(design="fractional_v"), StudyError, "'augment' has 3 values"),
        (lambda: study(placebo=1), StudyError, "placebo=1: must be True or False"),
        (lambda: Study.from_dict({"nmae": "x"}), StudyError, "did you mean 'name'"),
        (lambda: Study.from_dict({"name": "x"}), StudyError, "not a study"),
    ],
)
def test_mistakes_raise_at_once(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()

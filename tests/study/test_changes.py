"""Going on with a study: the same, a grown one, another one."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from actrec.errors import StudyError
from actrec.spec import TrialSpec, override
from actrec.study import changes
from actrec.study.changes import check_unchanged
from actrec.study.dimensions import Dimension, Float
from actrec.study.factors import Factor, Study
from tests.study.searching import study as search_study

MADE = Study(
    name="test",
    base=TrialSpec(),
    factors=(
        Factor("augment", levels=("hflip",), baseline="none"),
        Factor("model.dropout", levels=(0.5,), baseline=0.1),
    ),
    seeds=(0, 1),
)
AUGMENT, DROPOUT = MADE.factors


def recorded(study: Study) -> dict[str, Any]:
    """As a later launch reads it."""
    values: dict[str, Any] = json.loads(json.dumps(study.to_dict()))
    return values


def test_the_same_study_goes_on() -> None:
    check_unchanged(None, MADE, extend=False)
    check_unchanged(recorded(MADE), MADE, extend=False)
    moved = dataclasses.replace(MADE, base=override(MADE.base, {"data.manifest": "elsewhere.parquet"}))
    labelled = dataclasses.replace(moved, factors=(AUGMENT, dataclasses.replace(DROPOUT, label="dropout")))
    check_unchanged(recorded(MADE), labelled, extend=False)
    made = search_study()
    check_unchanged(recorded(made), made, extend=False)


GROWN: list[tuple[dict[str, Any], str]] = [
    ({"seeds": (0, 1, 2)}, r"seeds: \[0, 1\] → \[0, 1, 2\]"),
    ({"max_seeds": 20}, "max_seeds: 0 → 20"),
    (
        {"factors": (dataclasses.replace(AUGMENT, levels=("crop", "hflip")), DROPOUT)},
        "factor augment: levels hflip → crop, hflip",
    ),
    (
        {"factors": (*MADE.factors, Factor("optim.lr", levels=(1e-2,), baseline=1e-3))},
        "factor optim.lr: added, with levels 0.01",
    ),
]


@pytest.mark.parametrize(("values", "words"), GROWN)
def test_a_grown_study_is_refused_unless_it_may_grow(values: dict[str, Any], words: str) -> None:
    grown = dataclasses.replace(MADE, **values)
    with pytest.raises(
        StudyError, match=rf"(?s)not the one that was begun.*{words}\n--extend goes on with it"
    ):
        check_unchanged(recorded(MADE), grown, extend=False)
    check_unchanged(recorded(MADE), grown, extend=True)
    with pytest.raises(StudyError, match=r"--fresh starts anew"):  # and cannot shrink again
        check_unchanged(recorded(grown), MADE, extend=True)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"base": override(MADE.base, {"optim.epochs": 3})}, "base.optim.epochs: 15 → 3"),
        ({"base": override(MADE.base, {"data.digest": "other"})}, "base.data.digest:  → other"),
        ({"factors": (AUGMENT,)}, "factor model.dropout: removed"),
        (
            {"factors": (AUGMENT, Factor("model.dropout", (0.5,), 0.2))},
            "factor model.dropout: baseline 0.1 → 0.2",
        ),
        ({"factors": (AUGMENT, Factor("model.dropout", (0.4,), 0.1))}, "levels 0.5 → 0.4"),
        ({"seeds": (0,)}, r"seeds: \[0, 1\] → \[0\]"),
        ({"design": "leave_one_out"}, "design: one_at_a_time → leave_one_out"),
        ({"placebo": False}, "placebo: True → False"),
    ],
)
def test_another_study_is_refused_with_what_differs(values: dict[str, Any], words: str) -> None:
    other = dataclasses.replace(MADE, **values)
    with pytest.raises(StudyError, match=words) as caught:
        check_unchanged(recorded(MADE), other, extend=True)
    assert "--extend goes on" not in str(caught.value)


def test_a_search_may_get_more_trials_and_no_other_space() -> None:
    made, more = search_study(trials=12), search_study(trials=20, confirm_seeds=5)
    with pytest.raises(StudyError, match=r"search\.trials: 12 → 20\n.*--extend"):
        check_unchanged(recorded(made), search_study(trials=20), extend=False)
    check_unchanged(recorded(made), more, extend=True)
    assert made.search is not None
    space: dict[str, Dimension] = {**made.search.space, "optim.lr": Float(1e-4, 1e-1, log=True)}
    with pytest.raises(StudyError, match=r"search\.space\.optim\.lr\.high: 0\.01 → 0\.1"):
        check_unchanged(recorded(made), search_study(space), extend=True)
    with pytest.raises(StudyError, match="search"):
        check_unchanged(recorded(made), dataclasses.replace(made, search=None), extend=True)


def test_what_another_version_wrote_is_told_as_that() -> None:
    with pytest.raises(StudyError, match="begun by another version of this program: unknown part of a study"):
        check_unchanged({**recorded(MADE), "colour": "red"}, MADE, extend=True)


def test_what_only_judges_may_change_unless_it_decides_what_comes_next() -> None:
    strict = dataclasses.replace(MADE, margin=0.02)
    with pytest.raises(StudyError, match=r"margin: 0\.01 → 0\.02\n--extend goes on"):
        check_unchanged(recorded(MADE), strict, extend=False)
    check_unchanged(recorded(MADE), strict, extend=True)
    racing = dataclasses.replace(MADE, max_seeds=8)
    with pytest.raises(StudyError, match="margin"):
        check_unchanged(recorded(racing), dataclasses.replace(racing, margin=0.02), extend=True)


def test_a_factor_that_changes_every_arm_is_no_growth() -> None:
    """With all factors on, one more of them is in every trial but its own."""
    full = dataclasses.replace(MADE, design="leave_one_out")
    more = dataclasses.replace(
        full, factors=(*MADE.factors, Factor("optim.lr", levels=(1e-2,), baseline=1e-3))
    )
    with pytest.raises(StudyError, match=r"factor optim\.lr: added"):
        check_unchanged(recorded(full), more, extend=True)


def test_the_order_of_factors_matters_to_a_path_alone() -> None:
    turned = dataclasses.replace(MADE, factors=MADE.factors[::-1])
    check_unchanged(recorded(MADE), turned, extend=False)
    path = dataclasses.replace(MADE, design="ablation_path")
    with pytest.raises(StudyError, match="order of the factors: augment, model"):
        check_unchanged(recorded(path), dataclasses.replace(path, factors=MADE.factors[::-1]), extend=True)


def test_every_change_is_found() -> None:
    for values, _ in GROWN:
        assert len(changes.changes(MADE, dataclasses.replace(MADE, **values))) == 1

"""Rounds of a study: what it runs next is a function of what is finished."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from actrec.errors import ModelError, StudyError
from actrec.models.zoo import ZOO
from actrec.spec import TrialSpec, override
from actrec.study.designs import PLACEBO, REFERENCE, Arm
from actrec.study.factors import Factor, Study
from actrec.study.greedy import most_arms
from actrec.study.plan import Trial, plan
from actrec.study.rounds import Round, current

AUGMENT = Factor("augment", levels=("hflip", "crop"), baseline="none")
DROPOUT = Factor("model.dropout", levels=(0.5,), baseline=0.0)
WEIGHTS = Factor("loss.class_weights", levels=("balanced",), baseline="none")
BASE = override(TrialSpec(), {"optim.epochs": 1, "clip.height": 32, "clip.width": 32})

Row = dict[str, Any]


def study(**values: Any) -> Study:
    given = {"name": "test", "base": BASE, "factors": (AUGMENT, DROPOUT, WEIGHTS), "seeds": (3, 8)}
    return Study(**{**given, **values})


def row(trial: Trial, value: float | None, status: str = "ok") -> Row:
    return {"trial_id": trial.trial_id, "status": status, "val_top1": value}


def score(trial: Trial) -> float:
    """What a trial gets on validation: hflip and dropout help alone and together, weights never."""
    on = trial.spec
    value = 0.5 + 0.01 * trial.seed + (0.10 if on.augment.hflip else 0)
    return value + (0.05 if on.model.dropout else 0) - (0.20 if on.loss.class_weights != "none" else 0)


def names(trials: Sequence[Trial]) -> list[tuple[int, str]]:
    return [(trial.seed, trial.arm) for trial in trials]


def play(made: Study, rows: list[Row], **values: Any) -> list[Round]:
    """Every round of a study to its end."""
    rounds = [current(made, rows, **values)]
    while pending := rounds[-1].pending:
        rows += [row(trial, score(trial)) for trial in pending]
        rounds.append(current(made, rows, **values))
    return rounds


def test_a_design_without_rounds_is_its_plan() -> None:
    made = study(design="one_at_a_time")
    now = current(made, [])
    assert list(now.trials) == list(now.pending) == plan(made)
    assert (now.arms, now.path, now.looks) == (made.arms, (REFERENCE,), 1)
    left = current(made, [row(now.trials[0], 0.5), row(now.trials[3], None, "failed")])
    assert [trial for trial in now.trials if trial not in left.pending] == [now.trials[0], now.trials[3]]
    assert [len(now.pending) for now in play(made, [])] == [len(now.trials), 0]


def test_greedy_forward_adds_what_improves_validation_and_stops() -> None:
    first, second, third, last = play(study(design="greedy_forward"), [])
    alone = ["baseline", "augment=hflip", "augment=crop", "model.dropout=0.5", "loss.class_weights=balanced"]
    assert names(first.pending) == [(seed, arm) for seed in (3, 8) for arm in [*alone, PLACEBO]]
    assert first.path == (REFERENCE,)
    # hflip gains most; what is left of the other factors is tried beside it.
    pair = "augment=hflip × model.dropout=0.5"
    assert names(second.pending)[:2] == [(3, pair), (3, "augment=hflip × loss.class_weights=balanced")]
    assert second.path == (REFERENCE, "augment=hflip")
    # Dropout helps it too, the weights do not help the pair: the end.
    assert [arm for _, arm in names(third.pending)] == [
        "augment=hflip × loss.class_weights=balanced × model.dropout=0.5"
    ] * 2
    assert last.path == (REFERENCE, "augment=hflip", pair)
    assert len(last.arms) == 6 + 2 + 1
    # The most is when factors with one level go first, and the one with two levels is tried in every round.
    assert most_arms("greedy_forward", study().factors) == 1 + (4 + 3 + 2)


def test_greedy_forward_wants_an_improvement_that_matters() -> None:
    assert play(study(design="greedy_forward", margin=0.06), [])[-1].path == (REFERENCE, "augment=hflip")
    assert play(study(design="greedy_forward", margin=0.2), [])[-1].path == (REFERENCE,)


def test_the_greedy_path_goes_to_the_target_whatever_it_costs() -> None:
    last = play(study(design="greedy_path"), [])[-1]
    pair = "augment=hflip × model.dropout=0.5"
    target = "augment=hflip × loss.class_weights=balanced × model.dropout=0.5"
    assert last.path == (REFERENCE, "augment=hflip", pair, target)
    assert len(last.arms) == 1 + (3 + 2 + 1) + 1 == most_arms("greedy_path", study().factors) + 1


def test_a_change_that_is_none_for_the_best_model_is_not_tried() -> None:
    model = Factor("model.name", levels=("cnn_lstm_3",), baseline="cnn_lstm_1")
    dropout = Factor("model.dropout", levels=(0.3,), baseline=None)  # which cnn_lstm_3 has by default
    made = study(design="greedy_forward", factors=(model, dropout), seeds=(0,))
    rows: list[Row] = []
    while pending := (now := current(made, rows)).pending:
        rows += [row(trial, 0.9 if trial.spec.model.name == "cnn_lstm_3" else 0.5) for trial in pending]
    assert [arm.name for arm in now.arms] == [
        REFERENCE,
        "model.name=cnn_lstm_3",
        "model.dropout=0.3",
        PLACEBO,
    ]
    assert len({trial.trial_id for trial in now.trials}) == len(now.trials)
    assert now.path == (REFERENCE, "model.name=cnn_lstm_3")


@pytest.mark.parametrize("design", ["greedy_forward", "greedy_path"])
def test_an_arm_of_a_later_round_that_cannot_be_built_fails_alone_and_is_not_chosen(design: str) -> None:
    """8 heads do not divide a width of 36. Nobody wrote both down, and each alone can be built."""
    base = override(BASE, {"model.name": "frame_transformer", "model.width": 24, "model.attention_heads": 4})
    width = Factor("model.width", levels=(36,), baseline=24)
    heads = Factor("model.attention_heads", levels=(8,), baseline=4)
    made = study(design=design, base=base, factors=(width, heads, AUGMENT), seeds=(0,))
    rows: list[Row] = []
    while pending := (now := current(made, rows)).pending:
        for trial in pending:
            model = trial.spec.model
            bad = (model.width, model.attention_heads) == (36, 8)
            rows.append(row(trial, None, "failed") if bad else row(trial, score(trial) + (model.width == 36)))
    wide, flip = "model.width=36", "augment=hflip"
    assert now.path == (REFERENCE, wide, f"{flip} × {wide}")
    failed = {r["trial_id"] for r in rows if r["status"] == "failed"}
    both = f"model.attention_heads=8 × {wide}"
    assert [trial.arm for trial in now.trials if trial.trial_id in failed] == [
        both,
        f"{flip} × {both}",
    ]
    with pytest.raises(ModelError, match=r"arm 'model.attention_heads=8 × model.width=36': .*divide"):
        current(study(design="factorial", base=base, factors=(width, heads)), [])


def test_arms_of_a_later_round_that_are_one_trial_have_one_arm() -> None:
    """cnn_lstm_3 has a dropout of 0.3 by default, cnn_lstm_1 has none."""
    assert [ZOO[f"cnn_lstm_{number}"].options["dropout"] for number in (1, 3)] == [0.0, 0.3]
    model = Factor("model.name", levels=("cnn_lstm_3",), baseline="cnn_lstm_1")
    dropout = Factor("model.dropout", levels=(None, 0.3), baseline=0.1)
    made = study(design="greedy_forward", factors=(model, dropout), seeds=(0,), placebo=False)
    rows: list[Row] = []
    while pending := (now := current(made, rows)).pending:
        rows += [row(trial, 0.9 if trial.spec.model.name == "cnn_lstm_3" else 0.5) for trial in pending]
    alone = ["model.name=cnn_lstm_3", "model.dropout=None", "model.dropout=0.3"]
    assert [arm.name for arm in now.arms] == [
        REFERENCE,
        *alone,
        "model.dropout=None × model.name=cnn_lstm_3",
    ]


def test_what_validation_does_not_measure_selects_nothing() -> None:
    with pytest.raises(StudyError, match="selects on validation, where loss is not measured"):
        study(design="greedy_forward", metric="loss", mode="min")


@pytest.mark.parametrize("design", ["greedy_forward", "greedy_path", "one_at_a_time"])
def test_a_study_that_dies_at_any_trial_goes_on_to_the_same_plan(design: str) -> None:
    made = study(design=design, max_seeds=4)
    whole: list[Row] = []
    wanted = play(made, whole, look=everything)[-1]
    for done in range(len(whole)):
        now = current(made, whole[:done], everything)
        assert now.trials == wanted.trials[: len(now.trials)], "a plan grows at its end alone"
        again = current(made, [*reversed(whole[:done]), {"trial_id": "other", "status": "ok"}], everything)
        assert again == now, "neither the order of the rows nor others of the folder matter"
        assert now.pending
    assert [row["trial_id"] for row in whole] == [trial.trial_id for trial in wanted.trials]


def test_a_round_is_decided_on_when_all_of_it_has_ended_failures_too() -> None:
    made = study(design="greedy_forward")
    first = current(made, [])
    rows = [row(trial, score(trial)) for trial in first.trials]
    assert current(made, rows[:-1]).trials == first.trials
    # Seed 3 of hflip failed: it is compared on seed 8 alone. Crop failed altogether, dropout diverged.
    for place, trial in enumerate(first.trials):
        if trial.arm == "augment=crop" or (trial.arm, trial.seed) == ("augment=hflip", 3):
            rows[place] = row(trial, None, "failed")
        if trial.arm == "model.dropout=0.5":
            rows[place] = row(trial, math.nan)
    assert current(made, rows).path == (REFERENCE, "augment=hflip")


def test_pairing_is_by_seed() -> None:
    # Seed 8 is worth 0.05 more than seed 3. Without its seed 3 the baseline looks better than it is, as good
    # as dropout, whose gain of 0.05 counts all the same.
    made = study(design="greedy_forward", factors=(DROPOUT,), margin=0.04)
    rows = [
        row(trial, None, "failed") if names([trial]) == [(3, REFERENCE)] else row(trial, score(trial))
        for trial in current(made, []).trials
    ]
    assert current(made, rows).path == (REFERENCE, "model.dropout=0.5")


# -- further seeds ------------------------------------------------------------------------------------------


def everything(trials: Sequence[Trial], arms: Sequence[Arm], looks: int) -> Mapping[str, int]:
    return {arm.name: 1 for arm in arms}


def test_open_arms_get_seeds_and_so_do_those_they_are_compared_with() -> None:
    made = study(design="one_at_a_time", seeds=(0, 1), max_seeds=8)
    seen: list[tuple[int, int]] = []

    def look(trials: Sequence[Trial], arms: Sequence[Arm], looks: int) -> Mapping[str, int]:
        seen.append((len(trials), looks))
        return {12: {"augment=crop": 1, "model.dropout=0.5": 5}, 12 + 20: {"augment=crop": 1}}.get(
            len(trials), {}
        )

    first, second, third, last = play(made, [], look=look)
    assert names(first.trials) == names(plan(made))
    # schedule: 2, 4, 8 seeds. Crop wants one more, so it gets 4; dropout wants five, so it gets 8.
    both = ["baseline", "augment=crop", "model.dropout=0.5", PLACEBO]
    one = ["baseline", "model.dropout=0.5", PLACEBO]
    added = [(seed, arm) for seed in (2, 3) for arm in both] + [
        (seed, arm) for seed in (4, 5, 6, 7) for arm in one
    ]
    assert sorted(names(second.pending)) == sorted(added)
    assert second.pending == second.trials[12:]
    # Crop is still open; what it is compared with has its seeds already.
    assert names(third.pending) == [(seed, "augment=crop") for seed in (4, 5, 6, 7)]
    assert (last.pending, last.looks) == ((), 3)
    assert max(looks for _, looks in seen) == 3
    assert last.judged_at == {2: 3, 4: 3, 8: 3}


def test_an_extension_takes_no_seed_back() -> None:
    """It counts more looks, so what was open may be past settling; its trials stay all the same."""

    def look(trials: Sequence[Trial], arms: Sequence[Arm], looks: int) -> Mapping[str, int]:
        return {"augment=crop": 1} if looks == 3 else {}

    made = study(design="one_at_a_time", seeds=(0, 1), max_seeds=8)
    before = play(made, [], look=look)[-1]
    rows = {trial.trial_id: {"trial_id": trial.trial_id, "status": "ok"} for trial in before.trials}
    further = dataclasses.replace(made, max_seeds=32)
    now = current(further, list(rows.values()), look, before.judged_at)
    assert now.looks == 4
    assert {trial.trial_id for trial in now.trials} == set(rows)
    assert now.pending == ()


def test_numbers_of_seeds_that_were_judged_before_count_as_looks() -> None:
    seen: list[int] = []

    def look(trials: Sequence[Trial], arms: Sequence[Arm], looks: int) -> Mapping[str, int]:
        seen.append(looks)
        return {}

    made = study(design="one_at_a_time", seeds=(0, 1, 2, 3), max_seeds=16)
    last = play(made, [], look=look, judged_at={2: 1})[-1]
    assert (last.looks, last.judged_at) == (4, {2: 1, 4: 4, 8: 4, 16: 4})
    assert set(seen) == {4}
    plain = dataclasses.replace(made, max_seeds=0)
    assert current(plain, [], judged_at={2: 1}).looks == 2

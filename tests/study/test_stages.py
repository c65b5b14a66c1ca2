"""What follows a search: confirmation with fresh seeds, and the ablation around the winner."""

from __future__ import annotations

import dataclasses

import pytest

from actrec.errors import StudyError
from actrec.spec import ModelSpec, get, override
from actrec.study.dimensions import Categorical, Dimension, Float, When
from actrec.study.plan import Trial
from actrec.study.proposals import SEARCH, Ended, Proposals
from actrec.study.rounds import current
from actrec.study.stages import (
    ABLATE,
    CONFIRM,
    DEFAULT,
    ablation,
    candidates,
    expected,
    representatives,
    winner,
)
from tests.study.searching import BASE, SPACE, Row, play, row, study


def stage(trials: tuple[Trial, ...], name: str) -> list[Trial]:
    return [trial for trial in trials if trial.stage == name]


def test_the_three_stages_share_no_seed_and_the_best_goes_on() -> None:
    made = study(trials=10, confirm=2, confirm_seeds=3)
    now, rows = play(made)
    by_number = {r["number"]: r["val_top1"] for r in rows if r["stage"] == SEARCH}
    best = sorted((n for n in by_number if n), key=lambda n: -by_number[n])[:2]
    assert now.search is not None
    assert list(now.search.candidates) == best
    assert now.search.winner == best[0], "what is looked up has no noise"

    seeds = {name: {t.seed for t in stage(now.trials, name)} for name in (SEARCH, CONFIRM, ABLATE)}
    assert seeds == {SEARCH: {0}, CONFIRM: {1000, 1001, 1002}, ABLATE: {2000, 2001}}
    confirmed = stage(now.trials, CONFIRM)
    assert {t.arm for t in confirmed} == {DEFAULT, *(f"#{n}" for n in best)}
    assert len(confirmed) == 3 * 3
    assert now.compared == tuple(stage(now.trials, ABLATE))
    assert {t.trial_id for t in now.trials} == {r["trial_id"] for r in rows}


def test_the_ablation_puts_back_all_and_each() -> None:
    made = study()
    base = Proposals(made, []).trials[0].spec
    won = override(base, {"freeze.strategy": "first_k", "freeze.k": 2, "model.dropout": 0.3, "seed": 9})
    around, arms = ablation(made, won, base)
    # With the strategy goes its k, which is nothing without it; the augmentation was not changed.
    assert [(arm.name, dict(arm.overrides)) for arm in arms[1:-1]] == [
        (DEFAULT, {**arms[0].overrides, "model.dropout": 0.1, "freeze.strategy": "none", "freeze.k": 0}),
        (
            "freeze.k=0 × freeze.strategy=none",
            {**arms[0].overrides, "freeze.strategy": "none", "freeze.k": 0},
        ),
        ("model.dropout=0.1", {**arms[0].overrides, "model.dropout": 0.1}),
    ]
    assert (arms[0].name, arms[-1].name) == ("baseline", "placebo")
    whole = override(around.base, arms[0].overrides)
    assert all(get(whole, path) == get(won, path) for path in SPACE)
    assert around.search is None


def test_one_change_has_one_arm() -> None:
    made = study()
    base = Proposals(made, []).trials[0].spec
    _, arms = ablation(made, override(base, {"optim.lr": 3e-3}), base)
    assert [arm.name for arm in arms] == ["baseline", DEFAULT, "placebo"]


def test_another_architecture_is_put_back_with_its_own_options() -> None:
    space: dict[str, Dimension] = {
        "model.name": Categorical(("frame_transformer", "cnn_lstm_1")),
        "optim.lr": Float(1e-4, 1e-2, log=True),
    }
    made = study(space, base=override(BASE, {"model": ModelSpec(name="frame_transformer")}), trials=8)
    now, _ = play(made)  # what is looked up cannot tell the two apart, but is asked of both
    assert {t.spec.model.name for t in stage(now.trials, SEARCH)} == {"frame_transformer", "cnn_lstm_1"}
    base = Proposals(made, []).trials[0].spec
    won = override(base, {"model": ModelSpec(name="cnn_lstm_1"), "optim.lr": 2e-3})
    _, arms = ablation(made, won, base)
    assert [arm.name for arm in arms] == [
        "baseline",
        DEFAULT,
        "model.name=frame_transformer",
        "optim.lr=0.001",
        "placebo",
    ]


def test_a_search_with_fewer_epochs_is_confirmed_at_the_full_budget() -> None:
    now, _ = play(study(epochs=3, stopping="asha", trials=8))
    epochs = {
        name: {t.spec.optim.epochs for t in stage(now.trials, name)} for name in (SEARCH, CONFIRM, ABLATE)
    }
    assert epochs == {SEARCH: {3}, CONFIRM: {9}, ABLATE: {9}}
    assert all(not t.cutoffs for t in now.trials if t.stage != SEARCH)


def test_where_the_base_is_the_best_nothing_is_ablated() -> None:
    best = override(BASE, {"optim.lr": 10**-2.5, "model.dropout": 0.3})
    now, rows = play(study(base=best))
    assert now.search is not None
    assert (now.search.stage, now.search.winner) == (CONFIRM, 0)
    assert {r["stage"] for r in rows} == {SEARCH, CONFIRM}
    assert now.arms == ()


def test_no_confirmation_ends_with_the_search() -> None:
    now, rows = play(study(confirm=0))
    assert {r["stage"] for r in rows} == {SEARCH}
    assert not now.pending


def test_a_search_in_which_all_failed_ends() -> None:
    made = study(trials=5)
    rows: list[Row] = []
    while pending := current(made, rows).pending:
        rows += [{**row(t), "status": "failed", "val_top1": None, "history": []} for t in pending]
    now = current(made, rows)
    assert now.search is not None
    assert (len(rows), now.search.candidates) == (5, ())


def test_candidates_leave_out_the_base_the_pruned_and_the_failed() -> None:
    made = study(confirm=3)
    spec = Proposals(made, []).trials[0].spec
    ended = {
        number: Ended(number, spec, status, (value,), ())
        for number, (status, value) in enumerate(
            [("ok", 0.99), ("ok", 0.5), ("pruned", 0.9), ("failed", None), ("ok", 0.7), ("ok", 0.7)]
        )
    }
    assert candidates(made, ended) == [4, 5, 1]


def test_who_failed_on_a_seed_cannot_win() -> None:
    made = study(trials=6, confirm=1, confirm_seeds=2)
    now, rows = play(made)
    confirmed = stage(now.trials, CONFIRM)
    found = {r["trial_id"]: r for r in rows}
    assert now.search is not None
    number = now.search.candidates[0]
    for value, expect in ((0.8, number), (0.2, 0), (0.5, 0)):  # among equals the base
        told = {t.trial_id: {**found[t.trial_id], "val_top1": value if t.number else 0.5} for t in confirmed}
        assert winner(confirmed, told) == expect
    broken = next(t.trial_id for t in confirmed if t.number)
    told = {t.trial_id: {**found[t.trial_id], "val_top1": 0.9 if t.number else 0.5} for t in confirmed}
    told[broken] = {**told[broken], "status": "failed", "val_top1": None}
    assert winner(confirmed, told) == 0
    assert winner(confirmed, {key: {**r, "status": "failed"} for key, r in told.items()}) is None


def test_what_a_search_may_read_and_share_is_known_before() -> None:
    space: dict[str, Dimension] = {
        **SPACE,
        "clip.num_frames": Categorical((8, 4)),
        "clip.sampling": Categorical(("uniform", "middle")),
    }
    made = study(space, trials=7)
    ways = {(t.spec.clip.num_frames, t.spec.clip.sampling) for t in representatives(made)}
    assert ways == {(frames, sampling) for frames in (4, 8) for sampling in ("uniform", "middle")}
    likely = expected(made)
    assert len(likely) == 7
    assert len({t.trial_id for t in likely}) == 7


@pytest.mark.parametrize("cut", [3, 14, 20])
def test_any_stage_goes_on_where_it_was_stopped(cut: int) -> None:
    made = study(trials=10, confirm=2, confirm_seeds=2)
    now, rows = play(made)
    again, more = play(made, order=5, rows=list(rows[:cut]))
    assert (again.trials, again.arms, again.search) == (now.trials, now.arms, now.search)
    assert sorted(r["trial_id"] for r in more) == sorted(r["trial_id"] for r in rows)


def test_more_seeds_leave_what_was_done_in_the_study() -> None:
    made = study(trials=8, confirm=1, confirm_seeds=1)
    _, rows = play(made)
    now, more = play(dataclasses.replace(made, seeds=(0, 1, 2)), rows=list(rows))
    assert more[: len(rows)] == rows
    assert {t.seed for t in now.compared} == {2000, 2001, 2002}
    assert {t.trial_id for t in now.trials} == {r["trial_id"] for r in more}


def test_a_way_of_reading_that_depends_on_the_model_is_known_before() -> None:
    space: dict[str, Dimension] = {
        "model.name": Categorical(("frame_transformer", "cnn_lstm_1")),
        "clip.num_frames": Categorical((8, 4), when=When("model.name", ("cnn_lstm_1",))),
    }
    made = study(space, base=override(BASE, {"clip.num_frames": 16}), trials=3)
    assert {t.spec.clip.num_frames for t in representatives(made)} == {4, 8, 16}


def test_too_many_ways_of_reading_are_refused() -> None:
    space: dict[str, Dimension] = {
        "clip.num_frames": Categorical(tuple(range(1, 31))),
        "clip.stride": Categorical(tuple(range(1, 21))),
    }
    told = r"more than 512 ways of reading videos, .* some values of clip\.num_frames, clip\.stride"
    with pytest.raises(StudyError, match=told):
        study(space)


def test_an_arm_around_the_winner_that_is_no_trial_fails_alone() -> None:
    """8 heads on a width of 64 win; put back alone, neither the width of 36 nor the 6 heads fit the other."""
    space: dict[str, Dimension] = {
        "model.width": Categorical((36, 64)),
        "model.attention_heads": Categorical((6, 8)),
    }
    base = override(BASE, {"model.width": 36, "model.attention_heads": 6})
    made = study(space, base=base, trials=4, confirm=1, confirm_seeds=1)
    rows: list[Row] = []
    while (now := current(made, rows)).pending:
        for trial in now.pending:
            made_of = row(trial)
            better = 0.1 if trial.spec.model.width == 64 and made_of["status"] == "ok" else 0.0
            rows.append(made_of | ({"val_top1": made_of["val_top1"] + better} if better else {}))
    assert now.search is not None
    assert now.search.stage == ABLATE
    failed = {r["trial_id"]: r["error"] for r in rows if r["status"] == "failed"}
    arms = {t.arm: failed.get(t.trial_id, "") for t in stage(now.trials, ABLATE)}
    assert arms["baseline"] == arms[DEFAULT] == ""
    assert "divide" in arms["model.width=36"]
    assert "divide" in arms["model.attention_heads=6"]

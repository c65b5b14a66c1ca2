"""Population based training: generations, who copies whom, and what of a copy changes."""

from __future__ import annotations

import random

import numpy as np
import pytest

from actrec.errors import StudyError
from actrec.spec import ModelSpec, get, override, trial_id
from actrec.study.changes import changes, grown
from actrec.study.dimensions import Categorical, Dimension, Float, Int, When
from actrec.study.factors import Study
from actrec.study.plan import Trial, describe
from actrec.study.population import changing, chosen, perturbed, ranked
from actrec.study.proposals import SEARCH, Proposals
from actrec.study.search import Search
from actrec.study.space import params
from actrec.study.stages import CONFIRM, expected
from tests.study.searching import BASE, SPACE, Row, play, row, study

P = 4


def population(**search: object) -> Study:
    """Four members, three generations of three epochs."""
    given = {"sampler": "pbt", "trials": 3 * P, "population": P, "confirm": 0, **search}
    return study(**given)  # type: ignore[arg-type]


def failed(trial: Trial) -> Row:
    return {**row(trial), "status": "failed", "val_top1": None, "history": []}


def by_number(rows: list[Row]) -> dict[int, Row]:
    return {r["number"]: r for r in rows if r["stage"] == SEARCH}


def test_the_same_search_in_any_order_and_after_any_kill() -> None:
    made = population()
    first, second = (play(made, order)[1] for order in (1, 2))
    ids = [{n: r["trial_id"] for n, r in by_number(rows).items()} for rows in (first, second)]
    assert [r["number"] for r in first] != [r["number"] for r in second], "the orders must differ"
    assert ids[0] == ids[1]
    assert sorted(ids[0]) == list(range(3 * P))
    assert len(set(ids[0].values())) == 3 * P, "no trial twice"
    for cut in range(1, 3 * P):
        more = play(made, 7, list(first[:cut]))[1]
        assert {n: r["trial_id"] for n, r in by_number(more).items()} == ids[0]
    other = by_number(play(population(seed=1))[1])
    assert {n: r["trial_id"] for n, r in other.items()} != ids[0], "the seed matters"


def test_a_generation_is_known_once_all_of_the_one_before_have_ended() -> None:
    made = population()
    rows: list[Row] = []
    for trial in random.Random(0).sample(Proposals(made, rows).trials, P):
        assert len(Proposals(made, rows).trials) == P
        rows.append(row(trial))
    assert len(Proposals(made, rows).trials) == 2 * P
    assert [t.keep for t in Proposals(made, rows).trials] == [True] * 2 * P
    rows = play(made)[1]
    assert [t.keep for t in Proposals(made, rows).trials] == [True] * 2 * P + [False] * P


def test_segments_are_cut_evenly_and_follow_one_schedule() -> None:
    _, rows = play(population(epochs=8))
    for trial in Proposals(population(epochs=8), rows).trials:
        assert trial.number is not None
        # 8/3, 16/3 and 24/3, rounded down.
        assert trial.spec.optim.epochs == (2, 5, 8)[trial.number // P]
        assert trial.spec.optim.horizon == 8
        assert bool(trial.spec.start) == (trial.number >= P)
    first = Proposals(population(), []).trials[0].spec
    assert first == override(first, {"optim": override(BASE, {"optim.epochs": 3, "optim.horizon": 9}).optim})
    assert first.augment == BASE.augment
    assert first.start == ""


def test_the_worst_copy_one_of_the_best_and_change_and_the_others_go_on() -> None:
    made = population(trials=16, population=8)  # a quarter are two
    assert made.search is not None
    _, rows = play(made)
    of = by_number(rows)
    trials = Proposals(made, rows).trials
    order = sorted(range(8), key=lambda n: -of[n]["val_top1"])
    top, bottom = {trials[n].trial_id for n in order[:2]}, set(order[-2:])
    for member in range(8):
        before, after = trials[member].spec, trials[8 + member].spec
        ours, theirs = params(made.search.space, before), params(made.search.space, after)
        if member in bottom:
            assert after.start in top
            source = next(t.spec for t in trials if t.trial_id == after.start)
            assert params(made.search.space, source) != theirs
            assert get(after, "freeze") == get(source, "freeze"), "the optimiser's state must fit"
        else:
            assert after.start == trials[member].trial_id
            assert ours == theirs
            assert after == override(before, {"start": after.start, "optim.epochs": after.optim.epochs})


def test_who_failed_is_the_worst_whoever_else_is_and_starts_from_a_survivor() -> None:
    made = population()
    first = Proposals(made, []).trials
    rows = [failed(t) if t.number in (0, 1, 3) else row(t) for t in first]
    for trial in Proposals(made, rows).trials[P:]:
        assert trial.spec.start == first[2].trial_id
    assert len({t.trial_id for t in Proposals(made, rows).trials}) == 2 * P


def test_a_generation_without_a_survivor_ends_the_search() -> None:
    made = population(confirm=2)
    rows: list[Row] = [row(t) for t in Proposals(made, []).trials]
    second = Proposals(made, rows).pending
    rows += map(failed, second)
    proposals = Proposals(made, rows)
    assert proposals.exhausted
    assert proposals.done
    assert proposals.kept == {t.spec.start for t in second}, "they may run once more"
    now, _ = play(made, rows=rows)
    assert now.search is not None
    assert all(number < P for number in now.search.candidates), "the last generation that has any"
    assert now.search.candidates


def test_kept_are_those_from_whom_somebody_goes_on() -> None:
    made = population()
    rows: list[Row] = []
    first = Proposals(made, rows).trials
    assert Proposals(made, rows).kept == {t.trial_id for t in first}
    rows += map(row, first)
    second = Proposals(made, rows).pending
    starts = {t.spec.start for t in second}
    assert len(starts) == P - 1, "the worst is followed by nobody"
    assert Proposals(made, rows).kept == starts | {t.trial_id for t in second}
    rows += map(row, second[1:])
    assert Proposals(made, rows).kept == {second[0].spec.start} | {t.trial_id for t in second}
    rows.append(row(second[0]))
    third = Proposals(made, rows).pending
    assert Proposals(made, rows).kept == {t.spec.start for t in third}
    rows += map(row, third)
    assert Proposals(made, rows).kept == set()
    assert Proposals(study(), []).kept == set(), "of other searches none"


def test_the_ledger_is_not_argued_with() -> None:
    """A trial that failed and runs again changes nothing of what came after it."""
    made = population()
    rows: list[Row] = [row(t) for t in Proposals(made, []).trials]
    rows[2] = failed(Proposals(made, []).trials[2])
    _, rows = play(made, rows=rows)
    before = {n: r["trial_id"] for n, r in by_number(rows).items()}
    again = Proposals(made, [{**r, "again": r["number"] == 2} for r in rows])
    assert [t.number for t in again.pending] == [2]
    rows = [*(r for r in rows if r["number"] != 2), row(again.pending[0])]
    assert {t.number: t.trial_id for t in Proposals(made, rows).trials} == before


def test_what_is_confirmed_is_the_last_generation_at_fixed_values_and_the_full_budget() -> None:
    made = population(confirm=2, epochs=6)
    now, rows = play(made)
    assert now.search is not None
    assert all(number >= 2 * P for number in now.search.candidates)
    assert len({t.trial_id for t in now.trials}) == len(now.trials)
    confirmed = [t for t in now.trials if t.stage == CONFIRM]
    assert confirmed
    for trial in confirmed:
        assert (trial.spec.start, trial.spec.optim.horizon, trial.keep) == ("", 0, False)
        assert trial.spec.optim.epochs == BASE.optim.epochs == 9
    for trial in now.compared:
        assert (trial.spec.start, trial.spec.optim.horizon) == ("", 0)
    values = [by_number(rows)[n]["val_top1"] for n in now.search.candidates]
    assert values == sorted(values, reverse=True)


def test_of_equal_values_one_is_confirmed() -> None:
    """With one dimension of two values, all but one of the last generation are the base or each other."""
    space: dict[str, Dimension] = {"augment": Categorical(("none", "hflip"))}
    made = population(space=space, population=2, trials=6, confirm=2)
    now, _ = play(made)
    assert now.search is not None
    assert len(now.search.candidates) <= 1
    assert len({t.trial_id for t in now.trials}) == len(now.trials)


def test_numbers_move_by_a_fifth_within_their_range_and_steps() -> None:
    def moves(dimension: Dimension, value: float) -> set[float]:
        rng = np.random.default_rng(0)
        return {round(perturbed(dimension, value, rng), 9) for _ in range(40)}

    assert moves(Float(0.0, 1.0), 0.5) == {0.4, 0.6}
    assert moves(Float(0.45, 0.55), 0.5) == {0.45, 0.55}
    assert moves(Float(1e-4, 1e-1, log=True), 1e-2) == {0.008, 0.012}
    assert moves(Float(0.0, 1.0, step=0.1), 0.2) == {0.1, 0.3}, "0.16 and 0.24 are 0.2 on the grid: a step"
    assert moves(Float(0.0, 1.0, step=0.3), 0.9) == {0.6, 0.9}, "1.08 is beyond the last on the grid"
    assert moves(Int(1, 20), 10) == {8, 12}
    assert moves(Int(1, 20), 2) == {1, 3}
    assert moves(Int(8, 64, step=8), 40) == {32, 48}
    assert moves(Int(1, 1000, log=True), 3) == {2, 4}
    assert all(type(perturbed(Int(1, 9), 4, np.random.default_rng(n))) is int for n in range(4))


def test_the_quarters() -> None:
    assert ranked([0.1, None, 0.3, 0.2]) == [2, 3, 0, 1]
    assert ranked([0.5, 0.5]) == [0, 1], "of equals the one that came first"
    assert chosen([0.1, 0.4, 0.3, 0.2]) == ([1], {0})
    assert chosen([0.1, 0.9, 0.3, 0.2, 0.8, 0.5, 0.6, 0.7]) == ([1, 4], {0, 3})
    assert chosen([0.1, None, None, 0.2]) == ([3], {1, 2}), "all that failed copy, and they are the worst"
    assert chosen([None, None]) == ([], {0, 1})
    assert chosen([0.1, 0.2]) == ([1], {0})


def test_what_weights_must_fit_is_inherited() -> None:
    space: dict[str, Dimension] = {
        "model.name": Categorical(("frame_transformer", "cnn_lstm_1")),
        "augment": Categorical(("none", "hflip")),
        "model.dropout": Float(0.0, 0.5),
        "clip.num_frames": Categorical((4, 8)),
        "optim.name": Categorical(("adam", "sgd")),
        "loss.kind": Categorical(("cross_entropy", "focal")),
        "loss.gamma": Float(0.5, 3.0, when=When("loss.kind", ("focal",))),
        "model.width": Int(8, 32, when=When("augment", ("hflip",))),  # so the augmentation must stay, too
    }
    assert changing(space) == ["model.dropout", "loss.kind", "loss.gamma"]


def test_dimensions_come_and_go_with_what_they_depend_on() -> None:
    space: dict[str, Dimension] = {
        "loss.kind": Categorical(("cross_entropy", "focal")),
        "loss.gamma": Float(0.5, 1.5, when=When("loss.kind", ("focal",))),
        "optim.lr": Float(1e-4, 1e-2, log=True),
    }
    made = population(space=space, trials=40, population=8)
    _, rows = play(made)
    kinds = set()
    for trial in Proposals(made, rows).trials:
        kinds.add(trial.spec.loss.kind)
        assert (trial.spec.loss.gamma == 2.0) == (trial.spec.loss.kind == "cross_entropy"), "the base's"
        assert params(space, trial.spec) is not None
        assert trial.trial_id == trial_id(trial.spec)
    assert kinds == {"cross_entropy", "focal"}


def test_a_space_with_hardly_any_values_still_has_no_trial_twice() -> None:
    space: dict[str, Dimension] = {
        "augment": Categorical(("none", "hflip")),
        "optim.lr": Categorical((1e-3, 2e-3)),
    }
    made = population(space=space, trials=24, population=4)
    _, rows = play(made)
    assert len({r["trial_id"] for r in rows}) == len(rows) == 24


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"trials": 10}, r"trials=10: a population of 4 needs whole generations: 8 or 12"),
        ({"trials": 3}, r"whole generations: 4$"),
        ({"population": 1, "trials": 4}, r"population=1: must be an int ≥ 2"),
        (
            {"trials": 40},
            r"40 trials of a population of 4 are 10 generations, but there are 9 epochs .* most 36",
        ),
        ({"stopping": "asha"}, "replaces poor trials itself"),
        ({"objectives": ("val_top1", "seconds")}, "sampler='pbt' takes one objective"),
        ({"space": {"optim.epochs": Int(2, 9)}}, "'optim.epochs' cannot be searched"),
        ({"space": {"model.width": Int(8, 64, step=8)}}, "of model.width nothing can change"),
        ({"space": {"augment": Categorical(("none",))}, "trials": 4}, "the space has 1 trials"),
        ({"space": {"start": Categorical(("",))}}, "'start' cannot be searched"),
    ],
)
def test_a_mistake_is_told(values: dict[str, object], words: str) -> None:
    base = override(BASE, {"model": ModelSpec(name="frame_transformer", width=16)})
    with pytest.raises(StudyError, match=words):
        population(base=base, **values)


def test_early_stopping_inside_is_refused() -> None:
    with pytest.raises(StudyError, match=r"optim\.patience must be 0, not 3"):
        population(base=override(BASE, {"optim.patience": 3}))


def test_the_plan_says_what_it_is() -> None:
    made = population(confirm=1)
    assert made.search is not None
    text = describe(made, expected(made), {"train": 10})
    assert "12 trials, proposed by pbt" in text
    assert "4 members × 3 generations" in text
    assert "freeze.strategy, freeze.k inherited" in text
    # 12 parts of 3 epochs; 2 confirmed × 3 seeds and at most 8 arms × 2 seeds of 9; each 10 clips.
    most = (12 * 3 + (2 * 3 + (len(SPACE) + 3) * 2) * 9) * 10
    assert f"about {most:,} clips" in text
    assert Search.from_dict(made.search.to_dict()) == made.search
    assert (made.search.abreast, made.search.generations) == (4, 3)


def test_it_does_not_grow() -> None:
    """More trials would cut the epochs anew: other parts, other trials."""
    assert changes(population(), population(trials=20)) == ["search.trials: 12 → 20"]
    assert not grown(population(), population(trials=20))
    assert grown(study(), study(trials=20))

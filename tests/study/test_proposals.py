"""What a search proposes is a function of what ended, whatever the order, the kills and the cluster."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from actrec.errors import StudyError
from actrec.spec import ModelSpec, override, trial_id
from actrec.study.dimensions import Categorical, Dimension, Float, Int, When
from actrec.study.proposals import Ended, Proposals, frozen
from actrec.study.search import SAMPLERS, Known, Search
from actrec.study.space import params
from tests.study.searching import BASE, SPACE, Row, play, row, study

PARALLEL = 4  # of a search, where it does not say
COUNTABLE: dict[str, Dimension] = {
    "model.dropout": Float(0.0, 0.6, step=0.1),
    "optim.lr": Categorical((1e-3, 3e-3)),
    "augment": Categorical(("none", "hflip")),
}


def searched(rows: list[Row]) -> list[tuple[int, str, str]]:
    found = [(r["number"], r["trial_id"], r["status"]) for r in rows if r["stage"] == "search"]
    return sorted(found)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_every_sampler_makes_the_same_search_in_any_order(sampler: str) -> None:
    made = study(COUNTABLE, sampler=sampler, trials=10, confirm=0)
    first, second = (play(made, order)[1] for order in (1, 2))
    assert [r["trial_id"] for r in first] != [r["trial_id"] for r in second], "the orders must differ"
    assert searched(first) == searched(second)
    assert [number for number, _, _ in searched(first)] == list(range(10))
    assert len({key for _, key, _ in searched(first)}) == 10, "no trial twice"
    other = play(study(COUNTABLE, sampler=sampler, trials=10, confirm=0, seed=1))[1]
    assert searched(other) != searched(first), "the seed matters"


def test_the_first_is_the_base() -> None:
    (first, *_) = Proposals(study(), []).trials
    assert first.spec == override(first.spec, {"optim": BASE.optim, "augment": BASE.augment})
    assert (first.arm, first.stage, first.number, first.seed) == ("#0", "search", 0, 0)


def test_a_trial_is_proposed_knowing_all_but_the_last_few() -> None:
    made = study(parallel=3)
    rows: list[Row] = []
    known = Proposals(made, rows)
    assert len(known.trials) == 3
    rows.append(row(known.trials[1]))  # number 0 is still under way
    assert len(Proposals(made, rows).trials) == 3
    rows.append(row(known.trials[0]))
    assert len(Proposals(made, rows).trials) == 5


def test_what_is_in_flight_does_not_change_what_is_proposed() -> None:
    """Number 4 of a search with ``parallel`` 2 knows 0 to 2, whether 3 has ended well, badly or not yet."""
    made = study(parallel=2)
    _, rows = play(made)
    known = [r for r in rows if r["stage"] == "search" and r["number"] < 3]
    third = next(r for r in rows if r["stage"] == "search" and r["number"] == 3)
    variants = [known, [*known, third], [*known, {**third, "status": "failed", "val_top1": None}]]
    assert len({Proposals(made, list(v)).trials[4].trial_id for v in variants}) == 1


@pytest.mark.parametrize("stopping", ["none", "asha", "median"])
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(stopping: str) -> None:
    made = study(stopping=stopping, trials=20, confirm=0)
    now, rows = play(made)
    statuses = {r["status"] for r in rows}
    assert statuses == ({"ok"} if stopping == "none" else {"ok", "pruned"})
    for cut in (1, 7, 15):
        again, more = play(made, order=9, rows=list(rows[:cut]))
        assert searched(more) == searched(rows)
        assert again.trials == now.trials


@pytest.mark.parametrize("lost", [4, 13])  # the sampler draws at random until it knows 10
def test_a_search_that_lost_a_row_goes_on_as_if_it_had_not(lost: int) -> None:
    made = study(stopping="asha", trials=24, confirm=0)
    _, rows = play(made)
    kept = [r for r in rows if r["number"] != lost and r["number"] < lost + 8]
    now = Proposals(made, kept)
    assert [trial.number for trial in now.pending] == [lost]
    assert len(now.trials) == lost + PARALLEL, "nothing whose past is incomplete is asked for"
    _, more = play(made, rows=kept)
    assert searched(more) == searched(rows)
    assert len(more) == len(rows), "nothing else is run again"


def test_more_trials_go_on_from_fewer() -> None:
    short, long = study(trials=8, confirm=0), study(trials=14, confirm=0)
    _, rows = play(short)
    before = list(rows)
    _, rows = play(long, rows=rows)
    assert rows[:8] == before
    assert searched(rows) == searched(play(long)[1])


def test_the_ledger_is_not_argued_with() -> None:
    """A number that has a row is that row's trial, even if the sampler would now propose another."""
    made = study(trials=18, confirm=0)
    _, rows = play(made)
    rows.sort(key=lambda r: r["number"])
    changed = rows[:14]
    best = max(range(10), key=lambda place: changed[place]["val_top1"])
    changed[best] = {**changed[best], "val_top1": 0.01, "history": [0.01] * 9}  # as one that was run again
    again = Proposals(made, changed)
    assert [trial.trial_id for trial in again.trials[:14]] == [key for _, key, _ in searched(changed)]
    assert again.trials[14].trial_id != searched(rows)[14][1], "and what follows has learnt from it"
    assert len({trial.trial_id for trial in again.trials}) == len(again.trials)


def test_optuna_is_told_the_truth() -> None:
    made = study(stopping="asha", trials=12, confirm=0)
    _, rows = play(made)
    rows[5] = {**rows[5], "status": "failed", "val_top1": None, "history": []}
    proposals = Proposals(made, rows)
    told = {n: frozen(proposals.search.space, ended) for n, ended in proposals.ended.items()}
    for r in rows:
        state = {"ok": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[
            r["status"]
        ]
        trial = told[r["number"]]
        assert trial.state == state
        assert trial.value == (r["val_top1"] if r["status"] == "ok" else None)
        assert list(trial.intermediate_values.values()) == r["history"]
        assert trial.params == params(proposals.search.space, proposals.ended[r["number"]].spec)
    assert {trial.state for trial in told.values()} == {
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
    }


def test_a_value_that_is_no_number_is_a_failure() -> None:
    made = study()
    first = Proposals(made, []).trials[0]
    for bad in (None, float("nan")):
        assert Ended.of({**row(first), "val_top1": bad}, ("val_top1",)).state == TrialState.FAIL


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_a_space_that_has_no_more_ends_the_search(sampler: str) -> None:
    space: dict[str, Dimension] = {
        "augment": Categorical(("none", "hflip")),
        "optim.lr": Categorical((1e-3, 2e-3, 3e-3)),
    }
    now, rows = play(study(space, trials=50, confirm=0, sampler=sampler))
    assert len(searched(rows)) == 6
    assert now.search is not None
    assert now.search.exhausted


def test_an_earlier_study_is_known_to_the_sampler() -> None:
    """Told that one corner is best by far, TPE looks there at once."""
    space: dict[str, Dimension] = {"model.dropout": Float(0.0, 0.9), "optim.lr": Float(1e-4, 1e-2, log=True)}
    known = tuple(
        Known({"model.dropout": 0.01 * n, "optim.lr": 1e-3}, (0.9 if n < 10 else 0.1,)) for n in range(80)
    )
    dropouts = [
        [t.spec.model.dropout or 0.0 for t in Proposals(study(space, parallel=9, known=k), []).trials[1:]]
        for k in ((), known)
    ]
    assert sum(dropouts[1]) / 8 < 0.2 < sum(dropouts[0]) / 8


def test_two_objectives_make_a_front() -> None:
    made = study(COUNTABLE, sampler="nsga2", objectives=("val_top1", "trainable_params"), confirm=2)
    now, rows = play(made)
    assert now.search is not None
    ended = {r["number"]: (r["val_top1"], r["trainable_params"]) for r in rows if r["stage"] == "search"}
    for number in now.search.candidates:
        value, cost = ended[number]
        assert not any(v >= value and c <= cost and (v, c) != (value, cost) for v, c in ended.values())


def test_a_combination_that_is_no_trial_is_told_before_anything_runs() -> None:
    space: dict[str, Dimension] = {
        "model.name": Categorical(("frame_transformer", "cnn_lstm_1")),
        "model.attention_heads": Categorical((0, 4)),
    }
    base = override(BASE, {"model": ModelSpec(name="frame_transformer", attention_heads=4)})
    # However large the space: with the other dimensions it has 8 × 16 × 16 combinations.
    large: dict[str, Dimension] = {"optim.epochs": Int(1, 16), "optim.batch_size": Int(32, 47)}
    for whole in (space, {**space, **large}):
        with pytest.raises(StudyError, match=r"a trial that is none: .*attention_heads.* needs a `when`"):
            study(whole, base=base)


def test_a_misspelt_model_is_told_however_large_the_space() -> None:
    name = "frame_transformer"
    only = When("model.name", (name,))
    # 16 × 16 × 2 = 512 ways of building that one, and those of the others: too many to go through together.
    large: dict[str, Dimension] = {
        "model.width": Int(64, 79, when=only),
        "model.layers": Int(1, 16, when=only),
        "model.motion": Categorical((True, False), when=only),
    }
    misspelt: dict[str, Dimension] = {"model.name": Categorical((name, "cnn_lstm_1", "i3", "i3d"))}
    with pytest.raises(StudyError, match="unknown model 'i3'; did you mean 'i3d'"):
        study(large | misspelt)
    weights: dict[str, Dimension] = {
        "model.name": Categorical((name, "cnn_lstm_1", "i3d")),
        "model.weights": Categorical(("", "kinetics"), when=When("model.name", ("i3d",))),
    }
    with pytest.raises(StudyError, match="unknown weights of 'i3d' 'kinetics'"):
        study(large | weights)
    assert study(large | {"model.name": weights["model.name"]}).search is not None


@pytest.mark.parametrize("sampler", [*sorted(SAMPLERS), "pbt"])
def test_a_combination_that_is_no_trial_is_one_that_failed(sampler: str) -> None:
    """Which of 64 numbers of heads divide the width, and that one of the models has none, is not counted."""
    space: dict[str, Dimension] = {
        "model.name": Categorical(("frame_transformer", "cnn_lstm_1")),
        "model.attention_heads": Int(1, 64),
        "optim.lr": Float(1e-3, 3e-3, step=1e-4),
    }
    made = study(space, trials=16, sampler=sampler, confirm=0, seed=1)
    now, rows = play(made)
    assert sorted(r["number"] for r in rows) == list(range(16)), "N is N"
    failed = [r["error"] for r in rows if r["status"] == "failed"]
    assert any("unknown option of 'cnn_lstm_1' 'model.attention_heads'" in error for error in failed)
    assert any("heads" in error and "divide" in error for error in failed)
    assert [r["status"] for r in rows if r["number"] == 0] == ["ok"], "the base"
    ended = Proposals(made, rows).ended
    assert all((ended[r["number"]].state == TrialState.FAIL) == (r["status"] == "failed") for r in rows)
    # In another order, and after a kill: the same.
    assert searched(play(made, order=3)[1]) == searched(rows)
    again, more = play(made, order=7, rows=list(rows[:9]))
    assert searched(more) == searched(rows)
    assert again.trials == now.trials


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sampler": "tpee"}, "unknown sampler 'tpee'; did you mean 'tpe'"),
        ({"stopping": "asah"}, "unknown stopping rule 'asah'; did you mean 'asha'"),
        ({"objectives": ("test_top1",)}, "unknown objective 'test_top1'"),
        ({"objectives": ("seconds", "val_top1")}, "the first must be 'val_top1'"),
        ({"objectives": ("val_top1", "seconds"), "sampler": "cmaes"}, "takes one objective; for several use"),
        ({"objectives": ("val_top1", "seconds"), "stopping": "asha"}, "is for one objective"),
        ({"trials": 0}, "trials=0: must be an int ≥ 1"),
        ({"sampler": "brute_force"}, "'model.dropout' needs a step"),
        ({"epochs": 3, "space": {"optim.epochs": Int(2, 9)}}, "leave out one"),
    ],
)
def test_a_mistake_in_a_search_is_told(values: dict[str, object], words: str) -> None:
    given = {"space": {"model.dropout": Float(0.0, 0.6)}, **values}
    with pytest.raises(StudyError, match=words):
        study(**given)  # type: ignore[arg-type]


def test_a_search_survives_json() -> None:
    made = study(known=(Known({"optim.lr": 1e-3}, (0.5,)),)).search
    assert made is not None
    assert Search.from_dict(made.to_dict()) == made
    assert made.size is None
    assert study(COUNTABLE).search is not None
    assert Search(space=COUNTABLE).size == 7 * 2 * 2


def test_the_samplers_are_optunas() -> None:
    for name in SAMPLERS:
        assert isinstance(Search(space=COUNTABLE, sampler=name).make_sampler(), optuna.samplers.BaseSampler)


def test_the_same_specification_is_the_same_trial() -> None:
    made = study()
    for trial in Proposals(made, []).trials:
        assert trial.trial_id == trial_id(trial.spec)
        assert SPACE.keys() >= (params(SPACE, trial.spec) or {}).keys()


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_failed_trials_that_run_again_stay_what_they_were(sampler: str) -> None:
    """Three of a search failed. Run again they come to something, and nothing else is trained anew."""
    made = study(trials=24, confirm=0, sampler=sampler)
    _, rows = play(made)
    rows.sort(key=lambda r: r["number"])
    failed = [{**r, "status": "failed", "val_top1": None, "history": []} for r in rows]
    bad = {11, 20, 23}
    search = [failed[r["number"]] if r["number"] in bad else r for r in rows]
    # What followed them was proposed without knowing them: here it is what the ledger has, as ever.
    plan = [trial.trial_id for trial in Proposals(made, search).trials]
    again: list[Row] = [{**r, "again": r["number"] in bad} for r in search]
    done: list[int] = []
    while pending := (now := Proposals(made, again)).pending:
        trial = pending[0]
        done.append(trial.number or 0)
        again = [r for r in again if r["number"] != trial.number] + [row(trial)]
    assert done == sorted(bad)
    assert [trial.trial_id for trial in now.trials] == plan
    assert {r["trial_id"] for r in again} == set(plan)


def test_a_failed_row_never_replaces_one_that_did_not_fail() -> None:
    made = study(trials=4, confirm=0)
    _, rows = play(made)
    other = {**rows[0], "trial_id": "other", "status": "failed", "val_top1": None, "history": []}
    for order in ([*rows, other], [other, *rows]):
        assert Proposals(made, order).ended[rows[0]["number"]].status == "ok"


def test_the_order_in_which_a_space_was_written_does_not_matter() -> None:
    one, other = study(SPACE, trials=8), study(dict(reversed(SPACE.items())), trials=8)
    assert [t.trial_id for t in play(one)[0].trials] == [t.trial_id for t in play(other)[0].trials]

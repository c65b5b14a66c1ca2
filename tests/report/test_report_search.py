"""A search's tables → values. The numbers are those of :mod:`tests.report.tiny_search`."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest

from actrec.report.importances import importances
from actrec.report.space import params, read_space
from actrec.report.tables import load
from actrec.report.values import Dimension, Search, Trial, Tried
from actrec.results.ledger import Ledger
from actrec.spec import ModelSpec, TrialSpec
from actrec.study import space as studied
from actrec.study.dimensions import Categorical, Float, Int, When
from actrec.study.rounds import current
from actrec.study.space import Space
from tests.report import tiny_search
from tests.report.searched import ended, searching, write_record


def search_of(folder: Path) -> Search:
    found = load(folder).search
    assert found is not None
    return found


def counts(search: Search) -> list[tuple[str, int | None, dict[str, int]]]:
    return [
        (stage.state, stage.planned, {str(k): n for k, n in stage.counts.items() if n})
        for stage in search.stages
    ]


def test_a_study_without_a_search_has_none(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"study": {"search": null}, "search": null}')
    assert load(tmp_path).search is None


def test_every_trial_of_the_search_has_its_place_and_its_value(tmp_path: Path) -> None:
    tried = search_of(tiny_search.whole(tmp_path)).tried
    # #0, #2 and #3 are plain, so they have no depth.
    assert [dict(one.params) for one in tried] == [
        {"a.rate": 0.001, "a.kind": "plain"},
        {"a.rate": 0.01, "a.kind": tiny_search.KIND, "a.depth": 2},
        {"a.rate": 0.1, "a.kind": "plain"},
        {"a.rate": 0.02, "a.kind": "plain"},
        {"a.rate": 0.05, "a.kind": tiny_search.KIND, "a.depth": 3},
    ]
    assert [one.value for one in tried] == [0.5, 0.8, 0.3, None, 0.7]
    assert [one.trial.status for one in tried] == ["ok", "ok", "pruned", "failed", "ok"]
    assert [one.is_complete for one in tried] == [True, True, False, False, True]


def test_stages_count_every_status_and_all_work(tmp_path: Path) -> None:
    search = search_of(tiny_search.whole(tmp_path))
    assert counts(search) == [
        ("done", 5, {"ok": 3, "pruned": 1, "failed": 1}),
        ("done", 6, {"ok": 6}),
        ("done", 6, {"ok": 6}),
    ]
    assert [stage.seeds for stage in search.stages] == [(0,), (1, 2), (3, 4)]
    # 10 + 40 + 5 + 1 + 20, 6 × 30, 6 × 60
    assert [stage.seconds for stage in search.stages] == [76.0, 180.0, 360.0]


def test_candidates_are_seen_through_the_stages(tmp_path: Path) -> None:
    found = search_of(tiny_search.whole(tmp_path)).confirmed
    # The base first, then by the search's value: #1 (0.8), #4 (0.7). The winner is the ablation's baseline.
    assert [(one.name, one.searched, one.confirmed, one.won) for one in found] == [
        ("default", 0.5, (0.52, 0.48), False),
        ("#1", 0.8, (0.6, 0.7), False),
        ("#4", 0.7, (0.72, 0.68), True),
    ]
    assert [one.mean for one in found] == pytest.approx([0.5, 0.65, 0.7])
    assert [(one.ablated, one.tested) for one in found] == [
        (pytest.approx(0.5), pytest.approx(0.5)),
        (None, None),
        (pytest.approx(0.65), pytest.approx(0.7)),
    ]


def test_arms_and_all_that_is_said_of_them_are_of_the_last_stage(tmp_path: Path) -> None:
    report = load(tiny_search.whole(tmp_path))
    assert [arm.name for arm in report.arms] == ["baseline", "default", "a.rate=0.001"]
    assert report.seeds == [3, 4]
    assert {curve.arm for curve in report.curves} == {"baseline", "default", "a.rate=0.001"}
    assert [(effect.arm, effect.verdict) for effect in report.effects] == [
        ("default", "hurts"),
        ("a.rate=0.001", "no result"),
    ]
    assert report.count("pruned") == 1
    assert report.count("failed") == 1
    assert (report.planned, report.count("ok")) == (17, 15)


def test_a_search_under_way_waits_for_trials_that_are_not_proposed_yet(tmp_path: Path) -> None:
    search = search_of(tiny_search.write(tmp_path, "search", trials=7))
    assert counts(search) == [
        ("running", 7, {"ok": 3, "pruned": 1, "failed": 1, "waiting": 2}),
        ("ahead", None, {}),
        ("ahead", None, {}),
    ]
    assert search.confirmed == ()
    assert load(tmp_path).arms == ()


def test_a_search_that_ran_out_of_trials_has_ended(tmp_path: Path) -> None:
    folder = tiny_search.write(tmp_path, "search", trials=7)
    tiny_search.amend(folder, search={"stage": "confirm", "exhausted": True, "winner": None})
    assert counts(search_of(folder)) == [
        ("done", 5, {"ok": 3, "pruned": 1, "failed": 1}),
        ("skipped", None, {}),  # nobody to confirm: the study has come to that stage and has no trial of it
        ("skipped", None, {}),
    ]


@pytest.mark.parametrize(("winner", "state"), [(0, "skipped"), (None, "ahead")])
def test_a_default_that_won_leaves_nothing_to_ablate(tmp_path: Path, winner: int | None, state: str) -> None:
    folder = tiny_search.write(tmp_path, "search", "confirm")
    tiny_search.amend(folder, search={"stage": "confirm", "exhausted": False, "winner": winner})
    assert search_of(folder).stages[2].state == state


def test_the_front_is_of_trials_that_no_other_beats(tmp_path: Path) -> None:
    # Seconds against top-1: #0 is the cheapest (10, 0.5), #4 costs more and is better (20, 0.7), #1 is the
    # best (40, 0.8). Trained parameters: 900, 100, 100, so that #1 and #4 beat #0 in all.
    folder = tiny_search.write(tmp_path, "search", objectives=["val_top1", "seconds"])
    assert search_of(folder).front == (1, 4, 0)
    folder = tiny_search.write(tmp_path / "other", "search", objectives=["val_top1", "trainable_params"])
    assert search_of(folder).front == (1,)
    assert search_of(tiny_search.write(tmp_path / "one", "search")).front == ()


def test_changes_are_told_against_the_base(tmp_path: Path) -> None:
    search = search_of(tiny_search.whole(tmp_path))
    assert search.changes(4) == {"a.rate": 0.05, "a.kind": tiny_search.KIND, "a.depth": 3}
    assert search.changes(3) == {"a.rate": 0.02}
    assert search.changes(0) == {}


def test_too_few_trials_have_no_importances(tmp_path: Path) -> None:
    search = search_of(tiny_search.whole(tmp_path))
    assert search.too_few
    assert search.importances == ()


def _tried(number: int, value: float, **settings: float) -> Tried:
    trial = Trial(f"t{number}", f"#{number}", "search", "", 0, "ok", number=number)
    return Tried(number, trial, {f"a.{name}": level for name, level in settings.items()}, (value,))


SQUARE = (Dimension("a.x", "x", low=0.0, high=1.0), Dimension("a.y", "y", low=0.0, high=1.0))


def test_importances_find_the_dimension_that_matters() -> None:
    # y is worth nothing: a grid of 6 × 6 whose value is x.
    tried = [_tried(6 * i + j, i / 5, x=i / 5, y=j / 5) for i in range(6) for j in range(6)]
    found = {one.method: one.shares for one in importances(SQUARE, tried)}
    assert list(found) == ["fANOVA", "PED-ANOVA"]
    for shares in found.values():
        assert shares["a.x"] > 0.95
        assert sum(shares.values()) == pytest.approx(1.0, abs=1e-3)
    assert importances(SQUARE, tried) == importances(SQUARE, tried)


def test_fanova_leaves_out_what_not_every_trial_has() -> None:
    tried = [_tried(i, i / 11, x=i / 11) for i in range(12)]
    tried += [_tried(i, i / 23, x=i / 23, y=0.5) for i in range(12, 24)]
    fanova, _ = importances(SQUARE, tried)
    assert set(fanova.shares) == {"a.x"}


def test_of_very_many_trials_an_even_sample_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of 24, 12 are every other one: those whose value is x. In between, it is noise.
    tried = [_tried(i, i / 23 if i % 2 == 0 else (i * 7 % 23) / 23, x=i / 23, y=0.5) for i in range(24)]
    monkeypatch.setattr("actrec.report.importances.MOST", 12)
    assert importances(SQUARE, tried) == importances(SQUARE, tried[::2])


def test_trials_that_are_all_alike_have_no_importances() -> None:
    assert importances(SQUARE, [_tried(i, 0.5, x=i / 11, y=0.0) for i in range(12)]) == ()


def test_importances_leave_optunas_log_as_it_was() -> None:
    before = optuna.logging.get_verbosity()
    importances(SQUARE, [_tried(i, i / 11, x=i / 11, y=0.0) for i in range(12)])
    assert optuna.logging.get_verbosity() == before


def test_the_space_is_read_as_the_search_means_it() -> None:
    """What a study's own code says of a trial's place in its space, this says from JSON alone."""
    space: Space = {
        "augment": Categorical(("none", "hflip", "set3")),
        "freeze.strategy": Categorical(("none", "first_k", "last_k")),
        "freeze.k": Int(1, 3, when=When("freeze.strategy", ("first_k", "last_k"))),
        "model.motion": Categorical((None, True, False)),
        "model.layers": Int(1, 4, when=When("model.motion", (True,))),
        "optim.lr": Float(1e-4, 1e-1, log=True),
        "model.dropout": Float(0.0, 0.5, step=0.1),
    }
    base = TrialSpec(model=ModelSpec(dropout=0.0))
    ordered = studied.check(space, base, {})
    dimensions = read_space(json.loads(json.dumps(studied.to_dict(ordered))))
    assert [dimension.path for dimension in dimensions] == list(ordered)
    sampled = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(40):
        spec = studied.suggest(ordered, base, sampled.ask())
        told = json.loads(json.dumps(spec.to_dict()))
        assert params(dimensions, told) == studied.params(ordered, spec)


def test_labels_are_short_where_they_are_unique() -> None:
    entry = {"kind": "int", "low": 1, "high": 2, "step": 1, "log": False, "when": None}
    found = read_space({"optim.gamma": entry, "loss.gamma": entry, "freeze.k": entry})
    assert [dimension.label for dimension in found] == ["optim.gamma", "loss.gamma", "k"]


def test_a_trial_without_settings_has_no_place() -> None:
    assert params(SQUARE, {}) == {}


def test_a_real_plan_is_read_at_every_step(tmp_path: Path) -> None:
    """The plan and the progress of the study's own code, one stage after the other."""
    study = searching(trials=4, confirm=1, confirm_seeds=2)
    ledger = Ledger(tmp_path)
    ledger.claim()
    rows: list[dict[str, object]] = []
    states = []
    while (now := current(study, rows)).pending:
        write_record(tmp_path, study, now)
        search = search_of(tmp_path)
        states.append(tuple(stage.state for stage in search.stages))
        assert [one.number for one in search.tried] == list(range(len(search.tried)))
        for trial in now.pending:
            row, epochs, predictions = ended(trial)
            ledger.append(row, epochs, predictions)
            rows.append(row | {"history": ()})
    write_record(tmp_path, study, now)
    search = search_of(tmp_path)
    assert now.search is not None
    assert search.winner == now.search.winner
    assert tuple(one.number for one in search.confirmed) == (0, *now.search.candidates)
    assert list(dict.fromkeys(states)) == [
        ("running", "ahead", "ahead"),
        ("done", "running", "ahead"),
        *([("done", "done", "running")] if now.search.winner else []),
    ]

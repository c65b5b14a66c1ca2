"""A search on a real Ray: proposed as it goes, stopped early, confirmed, ablated; and gone on with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from actrec.engine.search import STORAGE
from actrec.errors import StudyError
from actrec.results import parquet
from actrec.results.ledger import Ledger
from actrec.spec import ModelSpec, override
from actrec.study.dimensions import Categorical, Dimension, Float, Int
from actrec.study.factors import Study
from actrec.study.rounds import current
from actrec.study.search import Search

pytestmark = pytest.mark.usefixtures("ray_session")

STATES = {"ok": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@pytest.fixture
def study(small_study: Callable[..., Study]) -> Study:
    """Two classes that a sound rate tells apart at once, a low one never; one of 1e30 diverges."""
    search = Search(
        space={
            "optim.lr": Categorical((3e-3, 1e-6, 1e30)),
            "model.dropout": Float(0.0, 0.5),
            "clip.num_frames": Categorical((4, 2)),
        },
        trials=12,
        stopping="asha",
        parallel=2,
        confirm=1,
        confirm_seeds=1,
    )
    easy = {"data__classes": ("right", "left"), "model__motion": True, "optim__batch_size": 8}
    made = small_study(optim__lr=3e-3, optim__epochs=4, model__dropout=0.3, **easy)
    return dataclasses.replace(made, search=search)


def loaded(folder: Any) -> optuna.Study:
    return optuna.load_study(
        study_name="small", storage=JournalStorage(JournalFileBackend(str(folder / STORAGE)))
    )


def trials(folder: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Ledger(folder).read("trials").to_pylist()
    return rows


def same_as_the_ledger(folder: Any) -> None:
    """Optuna's storage has every trial of the search, with its true state, value and epochs."""
    rows = {row["number"]: row for row in trials(folder) if row["stage"] == "search"}
    found = {trial.number: trial for trial in loaded(folder).trials}
    assert found.keys() == rows.keys()
    for number, row in rows.items():
        assert found[number].state == STATES[row["status"]]
        assert found[number].value == (row["val_top1"] if row["status"] == "ok" else None)
        assert len(found[number].intermediate_values) == (row["epochs"] or 0)


def test_a_search_to_its_end_and_on(study: Study, launch: Callable[..., Any]) -> None:
    first = launch(study)
    rows = trials(first.out)
    searched = [row for row in rows if row["stage"] == "search"]
    assert sorted(row["number"] for row in searched) == list(range(12))
    assert len({row["trial_id"] for row in rows}) == len(rows) == first.outcome.planned
    by_status = {status: [r for r in searched if r["status"] == status] for status in STATES}
    assert all(by_status.values()), "the search has trials of every kind"
    for row in by_status["pruned"]:
        assert row["epochs"] in (1, 3)
        assert (row["test_top1"], row["n_test"]) == (None, None), "it is not tested"
        assert row["val_top1"] is not None
    assert all("diverged" in row["error"] for row in by_status["failed"])
    assert first.outcome.pruned == len(by_status["pruned"])
    same_as_the_ledger(first.out)

    # Both ways of reading the videos were decoded before the search, each video once for each.
    assert first.outcome.filled.clip_keys == 2
    assert first.outcome.filled.decoded == first.outcome.filled.videos

    record = json.loads((first.out / "study.json").read_text())
    assert {entry["trial_id"] for entry in record["plan"]} == {row["trial_id"] for row in rows}
    assert record["search"]["stage"] in ("confirm", "ablate")
    seeds = {
        stage: {r["seed"] for r in rows if r["stage"] == stage} for stage in ("search", "confirm", "ablate")
    }
    assert not seeds["search"] & (seeds["confirm"] | seeds["ablate"])
    assert not seeds["confirm"] & seeds["ablate"]
    pieces = parquet.scan(first.out / "effects.parquet", "effects")
    judged = [row for piece in pieces for row in piece.to_pylist()]
    assert bool(judged) == bool(record["search"]["winner"]), "verdicts are about the last stage"
    assert not any(row["arm"].startswith("#") for row in judged)

    # The same command again does nothing, but writes the storage anew where it was lost, or is damaged.
    for damage in (b"", b'{"op_code": 0, "worker_id"'):
        (first.out / STORAGE).write_bytes(damage)
        again = launch(study)
        assert "nothing to train" in again.text
        assert trials(first.out) == rows
        same_as_the_ledger(first.out)

    # N is what a search has in all: more of them go on from those there are, if it may grow.
    assert study.search is not None
    more = dataclasses.replace(study, search=dataclasses.replace(study.search, trials=14, confirm=0))
    with pytest.raises(StudyError, match=r"search\.trials: 12 → 14"):
        launch(more)
    more = dataclasses.replace(study, search=dataclasses.replace(study.search, trials=14))
    grown = launch(more, extend=True, max_concurrent=1)
    assert "earlier trials had 1 thread(s) a worker, further ones have 2" in grown.text
    later = [row for row in trials(grown.out) if row["stage"] == "search"]
    assert [row for row in later if row["number"] < 12] == searched
    assert sorted(row["number"] for row in later) == list(range(14))
    same_as_the_ledger(grown.out)


@pytest.mark.faults  # half a minute of Ray
def test_a_search_that_lost_rows_fills_the_gaps_with_the_same(
    study: Study, launch: Callable[..., Any], tmp_path: Any
) -> None:
    """Rows in the middle are missing, as of trials that were in flight when everything was killed."""
    assert study.search is not None
    alone = dataclasses.replace(study, search=dataclasses.replace(study.search, confirm=0, trials=8))
    whole = launch(alone)
    rows = sorted(trials(whole.out), key=lambda row: row["number"])
    part = Ledger(tmp_path / "part")
    part.claim()
    epochs = Ledger(whole.out).read("epochs").to_pylist()
    predictions = Ledger(whole.out).read("predictions").to_pylist()
    for row in rows:
        if row["number"] not in (2, 5, 6, 7):
            own = [[r for r in table if r["trial_id"] == row["trial_id"]] for table in (epochs, predictions)]
            part.append(row, *own)
    part.release()
    rest = launch(alone, out=tmp_path / "part")
    again = sorted(trials(rest.out), key=lambda row: row["number"])
    chance = ("started", "ended", "seconds", "joules", "host")
    for one, other in zip(rows, again, strict=True):
        assert {k: v for k, v in one.items() if k not in chance} == {
            k: v for k, v in other.items() if k not in chance
        }
    same_as_the_ledger(rest.out)


def test_combinations_that_are_no_trials_fail_alone(study: Study, launch: Callable[..., Any]) -> None:
    """Heads that one of the models has not, and numbers of heads that do not divide the width of 16."""
    space: dict[str, Dimension] = {
        "model.name": Categorical(("frame_transformer", "cnn_lstm_1")),
        "model.attention_heads": Int(1, 64),
    }
    search = Search(space=space, trials=8, sampler="random", parallel=2, confirm=0)
    # Options that both models have are all that the base sets, or it would be told before anything runs.
    base = override(study.base, {"model": ModelSpec(), "optim.epochs": 1})
    made = dataclasses.replace(study, base=base, search=search)
    found = launch(made, max_concurrent=1)
    rows = sorted(trials(found.out), key=lambda row: row["number"])
    assert [row["number"] for row in rows] == list(range(8))
    errors = [row["error"] for row in rows if row["status"] == "failed"]
    assert len(errors) == found.outcome.failed
    assert any("unknown option of 'cnn_lstm_1' 'model.attention_heads'" in error for error in errors)
    assert any("heads" in error and "divide" in error for error in errors)
    assert rows[0]["status"] == "ok"
    same_as_the_ledger(found.out)
    assert "nothing to train" in launch(made, max_concurrent=1).text
    assert sorted(trials(found.out), key=lambda row: row["number"]) == rows


def test_one_trial_of_a_search_alone(study: Study, launch: Callable[..., Any]) -> None:
    first = current(study, ()).trials[0].trial_id
    alone = launch(study, only=(first,))
    assert [row["trial_id"] for row in trials(alone.out)] == [first]


def test_an_earlier_study_warms_a_search(study: Study, launch: Callable[..., Any], tmp_path: Any) -> None:
    from actrec.engine.warm import warmed

    assert study.search is not None
    short = dataclasses.replace(study.search, trials=3, confirm=0, stopping="none")
    first = launch(dataclasses.replace(study, search=short))
    ok = [row for row in trials(first.out) if row["status"] == "ok"]
    made = warmed(dataclasses.replace(study, search=short), tmp_path / "new", first.out)
    assert made.search is not None
    assert sorted(known.values[0] for known in made.search.known) == sorted(row["val_top1"] for row in ok)
    other = dataclasses.replace(study, base=dataclasses.replace(study.base, placebo=1), search=short)
    with pytest.raises(StudyError, match=r"none of its 3 trials is one that this search could propose"):
        warmed(other, tmp_path / "new", first.out)
    with pytest.raises(StudyError, match="there is no study in that folder"):
        warmed(made, tmp_path / "new", tmp_path / "nowhere")
    with pytest.raises(StudyError, match="add --search"):
        warmed(dataclasses.replace(study, search=None), tmp_path / "new", first.out)

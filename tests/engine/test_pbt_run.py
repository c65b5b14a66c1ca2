"""Population based training on a real Ray: parts of trials, copies, and a kill in between."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actrec.engine.station import KEPT
from actrec.results.ledger import Ledger
from actrec.spec import ModelSpec
from actrec.study.dimensions import Categorical, Float
from actrec.study.factors import Study
from actrec.study.search import Search

pytestmark = pytest.mark.usefixtures("ray_session")

CHANCE = ("started", "ended", "seconds", "joules", "host")


@pytest.fixture
def study(small_study: Callable[..., Study]) -> Study:
    """Four members in three generations of an epoch; a rate of 1e30 diverges."""
    search = Search(
        space={
            "optim.lr": Categorical((3e-3, 1e-2, 1e30)),
            "model.dropout": Float(0.0, 0.5),
            "model.width": Categorical((16, 8)),
        },
        sampler="pbt",
        population=4,
        trials=12,
        confirm=0,
    )
    made = small_study(optim__lr=3e-3, optim__epochs=3, model__dropout=0.1)
    return dataclasses.replace(made, search=search)


def trials(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Ledger(folder).read("trials").to_pylist()
    return sorted(rows, key=lambda row: row["number"])


def test_generations_and_a_kill_in_the_middle_of_one(
    study: Study, launch: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:  # so that there is something left to kill it in the middle of
        patched.setattr("actrec.engine.launching.forget", lambda folder, proposals: None)
        whole = launch(study, max_concurrent=1)  # one actor to start
    rows = trials(whole.out)
    assert [row["number"] for row in rows] == list(range(12))
    specs = {row["trial_id"]: json.loads(row["spec"]) for row in rows}
    for row in rows:
        ours, generation = specs[row["trial_id"]], row["number"] // 4
        assert ours["optim"]["epochs"] == generation + 1
        if not generation:
            assert ours["start"] == ""
            continue
        source = next(one for one in rows if one["trial_id"] == ours["start"])
        assert source["number"] // 4 == generation - 1
        assert source["status"] == "ok"
        assert specs[source["trial_id"]]["model"]["width"] == ours["model"]["width"], "weights must fit"
        if row["status"] == "ok":
            assert row["epochs"] == generation + 1
            assert row["clips_trained"] == source["clips_trained"], "each part counts its own"
    kept = {place.name for place in (whole.out / KEPT).iterdir()}
    assert kept == {row["trial_id"] for row in rows if row["number"] < 8 and row["status"] == "ok"}

    # Killed when two of the second generation had ended: the rest comes to the same.
    part = Ledger(tmp_path / "part")
    part.claim()
    tables = {name: Ledger(whole.out).read(name).to_pylist() for name in ("epochs", "predictions")}
    for row in rows:
        if row["number"] in (0, 1, 2, 3, 5, 6):
            own = [[r for r in table if r["trial_id"] == row["trial_id"]] for table in tables.values()]
            part.append(row, *own)
    part.release()
    shutil.copytree(whole.out / KEPT, tmp_path / "part" / KEPT)
    rest = launch(study, out=tmp_path / "part", max_concurrent=1)
    for one, other in zip(rows, trials(rest.out), strict=True):
        assert {k: v for k, v in one.items() if k not in CHANCE} == {
            k: v for k, v in other.items() if k not in CHANCE
        }
    assert not (rest.out / KEPT).exists(), "in the end nobody needs them"


@pytest.mark.faults  # half a minute of Ray
def test_two_workers_a_trial_make_the_same_search(
    small_study: Callable[..., Study], launch: Callable[..., Any], tmp_path: Path
) -> None:
    """Without dropout, augmentation and BatchNorm the sums of two workers are those of one, but for the order
    in which floats are added: so the same members are copied, and come to the same."""
    search = Search(
        space={"optim.lr": Float(1e-6, 1e-2, log=True), "loss.label_smoothing": Float(0.0, 0.2)},
        sampler="pbt",
        population=4,
        trials=8,
        confirm=0,
    )
    model = ModelSpec(name="cnn_lstm_1", dropout=0.0)
    made = small_study(model=model, optim__lr=3e-3, optim__epochs=2, optim__batch_size=8)
    made = dataclasses.replace(made, search=search)
    one = launch(made, out=tmp_path / "one", max_concurrent=1)
    two = launch(made, out=tmp_path / "two", workers=2)
    rows = trials(two.out)
    assert {(row["workers"], row["status"]) for row in rows} == {(2, "ok")}
    same = ("number", "trial_id", "epochs", "best_epoch", "clips_trained", "n_test")
    for ours, alone in zip(rows, trials(one.out), strict=True):
        assert {name: ours[name] for name in same} == {name: alone[name] for name in same}
        assert ours["test_loss"] == pytest.approx(alone["test_loss"], rel=1e-3)
    starts = [json.loads(row["spec"])["start"] for row in rows[4:]]
    assert len(set(starts)) < 4, "somebody was copied"
    # What a member took over is there to the last digit: the epoch of the one that it goes on from.
    first: dict[str, dict[tuple[str, str], float]] = {}
    for entry in Ledger(two.out).read("epochs").to_pylist():
        if entry["epoch"] == 1:
            first.setdefault(entry["trial_id"], {})[entry["split"], entry["metric"]] = entry["value"]
    for row, start in zip(rows[4:], starts, strict=True):
        assert first[row["trial_id"]] == first[start]
    assert not (two.out / KEPT).exists()

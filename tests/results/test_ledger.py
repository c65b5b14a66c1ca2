"""The ledger: each trial once, wholly or not at all, whatever is killed when."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actrec.errors import LedgerError
from actrec.files import ASIDE
from actrec.results.ledger import Ledger
from actrec.results.reader import LEDGER_TABLES
from actrec.results.schema import TABLES
from tests.results.rows import VIDEOS, content, epochs, names, predictions, put, row


def test_what_was_appended_is_read_back(ledger: Ledger) -> None:
    put(ledger, "a", test_top1=0.5, n_test=3)
    put(ledger, "b", "failed", error="NaN loss")
    trials = ledger.read("trials")
    assert trials.schema.equals(TABLES["trials"], check_metadata=True)
    assert [r["status"] for r in trials.to_pylist()] == ["ok", "failed"]
    assert trials.to_pylist()[0]["test_top1"] == 0.5
    assert trials.to_pylist()[0]["started"] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert trials.to_pylist()[0]["spec"] is None
    assert len(ledger.read("predictions")) == 2 * VIDEOS
    assert ledger.read("predictions")["scores"].to_pylist()[0] == [0.25, 0.75]
    assert ledger.finished() == {"a"}
    assert ledger.done() == {"a", "b"}


def test_an_empty_folder_has_empty_tables(tmp_path: Path) -> None:
    reader = Ledger(tmp_path / "nothing")
    assert all(len(reader.read(name)) == 0 for name in LEDGER_TABLES)
    assert reader.finished() == set()
    assert not (tmp_path / "nothing").exists(), "reading must not write"


def test_reading_some_columns_of_some_trials(ledger: Ledger) -> None:
    for name in "abcd":
        put(ledger, name)
        if name == "b":
            ledger.compact()
    some = ledger.read("predictions", columns=["video_id", "trial_id"], trial_ids={"b", "c"})
    assert some.column_names == ["video_id", "trial_id"]
    assert Counter(some["trial_id"].to_pylist()) == {"b": VIDEOS, "c": VIDEOS}
    with pytest.raises(LedgerError, match=r"'vidoe_id'; did you mean 'video_id'"):
        ledger.read("predictions", columns=["vidoe_id"])
    with pytest.raises(LedgerError, match="unknown table 'trails'"):
        ledger.read("trails")


def test_a_later_append_replaces_the_earlier(ledger: Ledger) -> None:
    put(ledger, "a", "failed")
    put(ledger, "a")
    assert ledger.finished() == {"a"}
    ledger.compact()
    put(ledger, "a", "failed")  # a part wins over the compacted files
    assert ledger.finished() == set()
    ledger.compact()
    assert len(ledger.read("trials")) == 1
    assert len(ledger.read("epochs")) == 1


def test_predictions_may_be_a_table(ledger: Ledger) -> None:
    given = pa.table(
        {
            "video_id": ["v"],
            "group": ["g"],
            "fold": [0],
            "label": pa.array([1], pa.int32()),
            "scores": pa.array([[0.5, 0.5]], pa.list_(pa.float64())),
        }
    )
    ledger.append(row("a"), [], given)
    assert ledger.read("predictions").schema.equals(TABLES["predictions"])


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        (row("a", test_top_1=1.0), r"'test_top_1'; did you mean 'test_top1'"),
        ({"trial_id": "a"}, "column 'arm' is missing"),
        (row("a", seed=None), "column 'seed' has a missing value"),
        (row("a", test_top1="high"), "column 'test_top1'"),
        (row("a", started=datetime(2026, 1, 1)), "no time zone"),
        (row("../a"), "letters and digits"),
    ],
)
def test_a_row_that_does_not_fit_is_refused(ledger: Ledger, trial: dict[str, Any], message: str) -> None:
    with pytest.raises(LedgerError, match=message):
        ledger.append(trial, epochs(), predictions())
    assert ledger.done() == set()


def test_rows_of_another_trial_are_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="rows of other trials than a"):
        ledger.append(row("a"), [{"trial_id": "b", **epochs()[0]}], predictions())


# -- killed between two steps ------------------------------------------------------------------------------


class Killed(BaseException):
    """Not an Exception: like a signal, nothing handles it."""


def kill_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets ``steps`` further changes of the disk through; then nothing of the process happens any more."""
    left = [steps]

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if left[0] <= 0:
                raise Killed
            left[0] -= 1
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(os, "replace", guarded(os.replace))
    monkeypatch.setattr(os, "rename", guarded(os.rename))
    monkeypatch.setattr(os, "unlink", guarded(os.unlink))


def fill(ledger: Ledger) -> None:
    put(ledger, "a")
    put(ledger, "b", "failed")
    ledger.compact()
    put(ledger, "b")  # retried after it was compacted
    put(ledger, "c")


def prefixes(limit: int = 40) -> Iterator[int]:
    yield from range(limit)


def test_compaction_may_be_killed_anywhere(tmp_path: Path) -> None:
    (whole := Ledger(tmp_path / "whole")).claim()
    fill(whole)
    wanted = content(whole.folder)
    outcomes = []
    for steps in prefixes():
        (ledger := Ledger(tmp_path / f"cut{steps}")).claim()
        fill(ledger)
        with pytest.MonkeyPatch.context() as patch:
            kill_after(steps, patch)
            try:
                ledger.compact()
                outcomes.append("finished")
            except Killed:
                outcomes.append("killed")
        assert content(ledger.folder) == wanted, f"killed after {steps} steps"
        (again := Ledger(ledger.folder)).claim()
        again.compact()
        assert content(ledger.folder) == wanted
        assert not [name for name in names(ledger.folder) if ASIDE in name]
        assert names(ledger.folder / "parts") == []
        if outcomes[-1] == "finished":
            break
    # Three files are renamed, and what was beside each is cleared away; then two parts are removed.
    assert outcomes == ["killed"] * 8 + ["finished"]


def test_appending_may_be_killed_anywhere(tmp_path: Path) -> None:
    outcomes = []
    for steps in prefixes():
        (ledger := Ledger(tmp_path / f"cut{steps}")).claim()
        put(ledger, "a")
        put(ledger, "b", "failed")
        with pytest.MonkeyPatch.context() as patch:
            kill_after(steps, patch)
            try:
                put(ledger, "b")
                outcomes.append("finished")
            except Killed:
                outcomes.append("killed")
        found = content(ledger.folder)
        ids = {name: {r["trial_id"] for r in rows} for name, rows in found.items()}
        assert ids["trials"] == ids["epochs"] == ids["predictions"]
        assert len(found["trials"]) == len(ids["trials"]), "each trial once"
        assert "a" in ids["trials"]
        (again := Ledger(ledger.folder)).claim()
        put(again, "b")
        assert again.finished() == {"a", "b"}
        if outcomes[-1] == "finished":
            break
    assert outcomes[-1] == "finished"


def test_setting_aside_may_be_killed_anywhere(tmp_path: Path) -> None:
    for steps in prefixes():
        (ledger := Ledger(tmp_path / f"cut{steps}")).claim()
        fill(ledger)
        before = ledger.finished()
        with pytest.MonkeyPatch.context() as patch:
            kill_after(steps, patch)
            try:
                ledger.set_aside()
                killed = False
            except Killed:
                killed = True
        found = content(ledger.folder)
        ids = {name: {r["trial_id"] for r in rows} for name, rows in found.items()}
        assert ids["trials"] == ids["epochs"] == ids["predictions"], "no trial is left without its rows"
        assert ids["trials"] <= before
        if not killed:
            break
    assert ids["trials"] == set()


# -- owners ------------------------------------------------------------------------------------------------


def test_a_stale_owner_cannot_write(ledger: Ledger) -> None:
    put(ledger, "a")
    newer = Ledger(ledger.folder)
    token = newer.claim()
    assert ledger.owner() == token
    with pytest.raises(LedgerError, match="another run has taken over"):
        put(ledger, "b")
    with pytest.raises(LedgerError, match="another run has taken over"):
        ledger.compact()
    put(newer, "c")
    assert newer.done() == {"a", "c"}


def test_writing_needs_a_claim(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"claim\(\) the ledger"):
        put(Ledger(tmp_path), "a")


# -- setting aside -----------------------------------------------------------------------------------------


def test_set_aside_keeps_everything(ledger: Ledger) -> None:
    assert ledger.set_aside() is None
    fill(ledger)
    (ledger.folder / "index.html").write_text("report")
    (ledger.folder / "notes.txt").write_text("not ours")
    wanted = content(ledger.folder)
    old = ledger.set_aside("index.html")
    assert old is not None
    assert content(old) == wanted
    assert (old / "index.html").read_text() == "report"
    assert (ledger.folder / "notes.txt").exists()
    assert ledger.done() == set()
    put(ledger, "z")
    second = ledger.set_aside()
    assert second is not None
    assert second != old
    assert Ledger(second).done() == {"z"}


def test_compaction_keeps_row_groups_large(ledger: Ledger) -> None:
    for name in "abcdefgh":
        put(ledger, name)
    ledger.compact()
    assert pq.ParquetFile(ledger.folder / "trials.parquet").num_row_groups == 1

"""Atomic files and the tables' schemas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actrec.errors import LedgerError
from actrec.results import parquet
from actrec.results.files import replacing, write_json
from actrec.results.schema import TABLES, table

# What the tables promise to others, from the brief of the platform.
PROMISED = {
    "trials": "trial_id arm factor level seed status error epochs test_top1 test_macro_f1 test_loss val_top1 "
    "n_test started ended spec",
    "epochs": "trial_id epoch split metric value",
    "predictions": "trial_id video_id group fold label scores",
    "effects": "factor level baseline metric n_seeds difference low high p p_adjusted verdict",
}


@pytest.mark.parametrize("name", PROMISED)
def test_the_promised_columns_are_there(name: str) -> None:
    assert set(PROMISED[name].split()) <= set(TABLES[name].names)


def test_write_json(tmp_path: Path) -> None:
    path = tmp_path / "new" / "study.json"
    write_json(path, {"name": "größe", "seeds": [0, 1]})
    write_json(path, {"name": "größe", "seeds": [2]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "größe", "seeds": [2]}
    assert [p.name for p in path.parent.iterdir()] == ["study.json"]


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(TypeError, match="must be str"), replacing(path) as aside:
        aside.write_text(b"new")  # type: ignore[arg-type]  # a writer's mistake
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_replace_writes_a_table_of_the_schema(tmp_path: Path) -> None:
    effect = {"arm": "a", "factor": "f", "level": "1", "baseline": "0", "metric": "top1", "n_seeds": 5}
    path = tmp_path / "effects.parquet"
    parquet.replace(path, table("effects", [effect]))
    (read,) = (row for piece in parquet.scan(path, "effects") for row in piece.to_pylist())
    assert read == {name: effect.get(name) for name in TABLES["effects"].names}


def test_no_rows_make_an_empty_table() -> None:
    for name, schema in TABLES.items():
        assert table(name, []).schema.equals(schema)


def test_scan_refuses_the_file_of_another_table(tmp_path: Path) -> None:
    parquet.replace(tmp_path / "x.parquet", table("epochs", []))
    with pytest.raises(LedgerError, match="columns are not those"):
        list(parquet.scan(tmp_path / "x.parquet", "trials"))

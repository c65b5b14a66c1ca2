"""What the plan of a study is told of its trials that ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from actrec.results.reader import Reader
from actrec.results.schema import TABLES
from actrec.study.factors import Study
from actrec.study.proposals import SEARCH
from actrec.study.search import OBJECTIVES


def ended_rows(study: Study, ledger: Reader) -> list[dict[str, Any]]:
    """The rows of the trials in a ledger, with what :func:`actrec.study.rounds.current` needs of them."""
    wanted = {"trial_id", "status", "val_top1", f"val_{study.metric}"}
    if study.search is not None:
        wanted |= {"stage", "number", "spec", *OBJECTIVES}
    columns = [name for name in TABLES["trials"].names if name in wanted]
    rows = ledger.read("trials", columns=columns).to_pylist()
    if study.search is None:
        return rows
    searched = {row["trial_id"] for row in rows if row["stage"] == SEARCH}
    epochs: dict[str, list[dict[str, Any]]] = {}
    for entry in ledger.read("epochs", trial_ids=searched).to_pylist():
        epochs.setdefault(entry["trial_id"], []).append(entry)
    return [with_history(row, epochs.get(row["trial_id"], ())) for row in rows]


def with_history(row: Mapping[str, Any], epochs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A row of ``trials`` with its validation top-1 after each epoch, from its rows of ``epochs``."""
    values = {e["epoch"]: e["value"] for e in epochs if (e["split"], e["metric"]) == ("val", "top1")}
    return {**row, "history": [values[epoch] for epoch in sorted(values)]}

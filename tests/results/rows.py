"""Rows of a ledger, and ways to look into one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from actrec.results.ledger import Ledger
from actrec.results.reader import LEDGER_TABLES

VIDEOS = 3


def row(trial_id: str, status: str = "ok", **values: Any) -> dict[str, Any]:
    return {
        "trial_id": trial_id,
        "arm": "baseline",
        "factor": "",
        "level": "",
        "seed": 0,
        "status": status,
        "started": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        **values,
    }


def epochs(top1: float = 0.5) -> list[dict[str, Any]]:
    return [{"epoch": 0, "split": "val", "metric": "top1", "value": top1}]


def predictions() -> list[dict[str, Any]]:
    return [
        {"video_id": f"v{i}", "group": "g", "fold": 0, "label": 1, "scores": [0.25, 0.75]}
        for i in range(VIDEOS)
    ]


def put(ledger: Ledger, trial_id: str, status: str = "ok", **values: Any) -> None:
    ledger.append(row(trial_id, status, **values), epochs(), predictions())


def content(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of a fresh reader, in an order of their own."""
    reader = Ledger(folder)
    tables = {name: reader.read(name).to_pylist() for name in LEDGER_TABLES}
    assert not reader.problems
    return {name: sorted(rows, key=str) for name, rows in tables.items()}


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))

"""The smallest study with a search whose numbers are derived by hand in the tests.

Of five trials with seed 0 one was pruned and one failed; #1 and #4 were confirmed with seeds 1 and 2, where
#4 won; it is ablated with seeds 3 and 4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actrec.results.ledger import Ledger
from tests.report.tiny import effect_row, write_effects

KIND = "<script>alert(1)</script>"  # a category
SPACE: Mapping[str, Any] = {
    "a.rate": {"kind": "float", "low": 0.001, "high": 0.1, "step": None, "log": True, "when": None},
    "a.kind": {"kind": "categorical", "choices": ["plain", KIND], "when": None},
    "a.depth": {
        "kind": "int", "low": 1, "high": 3, "step": 1, "log": False,
        "when": {"path": "a.kind", "values": [KIND]},
    },
}  # fmt: skip
# number: status, rate, kind, depth, top-1 on validation, seconds
SEARCHED: Mapping[int, tuple[str, float, str, int, float | None, float]] = {
    0: ("ok", 0.001, "plain", 1, 0.5, 10.0),
    1: ("ok", 0.01, KIND, 2, 0.8, 40.0),
    2: ("pruned", 0.1, "plain", 1, 0.3, 5.0),
    3: ("failed", 0.02, "plain", 1, None, 1.0),
    4: ("ok", 0.05, KIND, 3, 0.7, 20.0),
}
CONFIRMED = {0: (0.52, 0.48), 1: (0.6, 0.7), 4: (0.72, 0.68)}  # on validation, by seed
ABLATED = {  # arm: factor, level, (validation, test) by seed
    "baseline": ("", "", ((0.7, 0.75), (0.6, 0.65))),
    "default": ("default", "all put back", ((0.5, 0.55), (0.5, 0.45))),
    "a.rate=0.001": ("a.rate", "0.001", ((0.7, 0.7), (0.6, 0.6))),
}


def write(folder: Path, *stages: str, **changes: Any) -> Path:
    """The tables of some stages, and a whole ``study.json``: its ``search`` as it is after them, ``changes``
    are of the study's search."""
    ledger = Ledger(folder)
    ledger.claim()
    plan = []
    for row in _searched() + _confirmed() + _ablated():
        if row["stage"] in stages:
            ledger.append({**row, "workers": 1, "device": "cpu", "feed": "cache"}, _epochs(row), [])
            names = ("trial_id", "arm", "factor", "level", "seed", "stage", "number")
            plan.append({name: row.get(name) for name in names})
    ledger.release()
    search = {"space": SPACE, "trials": 5, "sampler": "tpe", "objectives": ["val_top1"], "confirm": 2}
    progress = {"stage": stages[-1] if stages else "search", "exhausted": False}
    progress |= {"winner": 4 if "ablate" in stages else None}
    study = {
        "name": "tiny",
        "study": {"metric": "top1", "search": {**search, **changes}},
        "plan": plan,
        "search": progress,
        "command": "python tiny.py --search 5",
        "manifest": {"counts": {"val": 100, "test": 100}},
    }
    (folder / "study.json").write_text(json.dumps(study), encoding="utf-8")
    if "ablate" in stages:
        put_back = {"arm": "default", "factor": "default", "level": "all put back", "n_seeds": 2}
        told = {"difference": -0.2, "low": -0.3, "high": -0.1, "n_failed": 0, "verdict": "hurts"}
        write_effects(folder, effect_row(**put_back, **told))
    return folder


def whole(folder: Path, **changes: Any) -> Path:
    """All three stages."""
    return write(folder, "search", "confirm", "ablate", **changes)


def amend(folder: Path, **changes: Any) -> None:
    """Changes keys of ``study.json``."""
    path = folder / "study.json"
    study = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(study | changes), encoding="utf-8")


def _searched() -> list[dict[str, Any]]:
    rows = []
    for number, (status, rate, kind, depth, val, seconds) in SEARCHED.items():
        rows.append(
            _row(f"s{number}", f"#{number}", "search", str(number), 0, "search", number)
            | {"status": status, "val_top1": val, "seconds": seconds, "epochs": 2}
            | {"error": "DivergedError: nan" if status == "failed" else ""}
            | {"spec": json.dumps({"a": {"rate": rate, "kind": kind, "depth": depth}, "seed": 0})}
            | {"trainable_params": 100 if number else 900}
        )
    return rows


def _confirmed() -> list[dict[str, Any]]:
    return [
        _row(f"c{number}{seed}", f"#{number}" if number else "default", "confirm", str(number), seed)
        | {"stage": "confirm", "number": number, "status": "ok", "val_top1": val, "seconds": 30.0}
        for number, values in CONFIRMED.items()
        for seed, val in enumerate(values, start=1)
    ]


def _ablated() -> list[dict[str, Any]]:
    return [
        _row(f"a{index}{seed}", arm, factor, level, seed)
        | {"stage": "ablate", "status": "ok", "seconds": 60.0, "epochs": 2, "n_test": 100}
        | {"val_top1": val, "test_top1": test}
        for index, (arm, (factor, level, values)) in enumerate(ABLATED.items())
        for seed, (val, test) in enumerate(values, start=3)
    ]


def _row(
    trial_id: str, arm: str, factor: str, level: str, seed: int, stage: str = "", number: int | None = None
) -> dict[str, Any]:
    row: dict[str, Any] = {"trial_id": trial_id, "arm": arm, "factor": factor, "level": level, "seed": seed}
    return row | {"stage": stage, "number": number}


def _epochs(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"epoch": epoch, "split": "val", "metric": "top1", "value": (row["val_top1"] or 0.1) * epoch / 2}
        for epoch in (1, 2)
    ]

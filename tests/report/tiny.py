"""The smallest study that has everything, whose numbers are derived by hand in the tests.

Three classes, four test videos with labels 0, 0, 1, 2; two seeds; the arms baseline, placebo and ``a=x``, of
which the second seed failed; one more trial is planned and has not run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from actrec.results.ledger import Ledger
from actrec.results.schema import table

LABELS = (0, 0, 1, 2)
CLASSES = ("zero", "one", "two")

# trial: arm, factor, level, seed, predicted classes (None: it failed), val top-1, val top-1 by epoch
TRIALS: dict[str, tuple[str, str, str, int, tuple[int, ...] | None, float, tuple[float, ...]]] = {
    "b0": ("baseline", "", "", 0, (0, 0, 1, 2), 0.9, (0.5, 0.8)),
    "b1": ("baseline", "", "", 1, (0, 1, 1, 1), 0.7, (0.3, 0.6)),
    "p0": ("placebo", "placebo", "1", 0, (0, 0, 1, 2), 0.99, (0.5, 0.8)),
    "a0": ("a=x", "a", "x", 0, (0, 0, 1, 0), 0.8, (0.2, 0.9)),
    "a1": ("a=x", "a", "x", 1, None, 0.0, ()),
}
WAITING = ("w0", "a=y", "a", "y", 0)


def effect_row(**changes: Any) -> dict[str, Any]:
    """A row of the effects table."""
    row = {"arm": "a=x", "factor": "a", "level": "x", "baseline": "o", "metric": "top1", "n_seeds": 1}
    row |= {"difference": -0.25, "low": -0.4, "high": -0.1, "p": 0.01, "p_adjusted": 0.02, "verdict": "hurts"}
    return row | {"n_failed": 1} | changes


def write_ledger(folder: Path, trials: Sequence[str] = tuple(TRIALS)) -> Ledger:
    """The named trials in a ledger."""
    ledger = Ledger(folder)
    ledger.claim()
    for key in trials:
        arm, factor, level, seed, predicted, val, epochs = TRIALS[key]
        row = {"trial_id": key, "arm": arm, "factor": factor, "level": level, "seed": seed}
        if predicted is None:
            ledger.append({**row, "status": "failed", "error": "DivergedError: loss is nan"}, [], [])
            continue
        hits = [int(p == label) for p, label in zip(predicted, LABELS, strict=True)]
        row |= {
            "status": "ok",
            "error": "",
            "val_top1": val,
            "test_top1": sum(hits) / 4,
            "epochs": len(epochs),
        }
        ledger.append(
            row,
            [
                {"epoch": epoch, "split": "val", "metric": "top1", "value": value}
                for epoch, value in enumerate(epochs)
            ],
            [
                {
                    "video_id": f"v{index}",
                    "group": "g",
                    "fold": 0,
                    "label": label,
                    "scores": [0.8 if k == guess else 0.1 for k in range(3)],
                }
                for index, (label, guess) in enumerate(zip(LABELS, predicted, strict=True))
            ],
        )
    return ledger


def write_study(folder: Path, **changes: Any) -> None:
    """A whole ``study.json``, with some keys changed."""
    plan = [(key, *trial[:4]) for key, trial in TRIALS.items()] + [WAITING]
    study: Mapping[str, Any] = {
        "name": "tiny",
        "study": {"metric": "top1"},
        "plan": [
            dict(zip(("trial_id", "arm", "factor", "level", "seed"), entry, strict=True)) for entry in plan
        ],
        "manifest": {
            "class_names": list(CLASSES),
            "counts": {"train": {"zero": 3, "one": 2, "two": 2}, "test": {"zero": 2, "one": 1, "two": 1}},
            "undecodable": [],
        },
    }
    (folder / "study.json").write_text(json.dumps({**study, **changes}), encoding="utf-8")


def write_effects(folder: Path, *rows: Mapping[str, Any]) -> None:
    """An effects table."""
    pq.write_table(table("effects", rows), folder / "effects.parquet")


def write_tiny(folder: Path) -> Path:
    """Everything: ledger, ``study.json`` and the effects of ``a=x`` and the placebo."""
    write_ledger(folder).compact()
    write_study(folder)
    placebo = effect_row(arm="placebo", factor="placebo", level="1", difference=0.0, low=-0.1, high=0.1)
    placebo |= {"p": 0.9, "p_adjusted": 0.9, "verdict": "inconclusive", "n_failed": 0}
    write_effects(folder, placebo, effect_row(), effect_row(metric="loss", difference=0.125, verdict="hurts"))
    return folder

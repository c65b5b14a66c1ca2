"""A realistic study made of seeded random numbers: 12 arms × 5 seeds, a flip that hurts, a trial that failed.

``python -m tests.report.example DIR`` writes it with its page, to look at.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy import stats

from actrec.metrics import classification_report, confusion
from actrec.report.page import build_report
from actrec.results.ledger import Ledger
from actrec.results.schema import table
from actrec.seeding import derive, numpy_rng
from actrec.spec import TrialSpec, override

CLASSES = (
    "left", "right", "up", "down", "clockwise", "counter-clockwise", "approach", "recede", "bounce", "shake",
)  # fmt: skip
SUPPORT = (24, 19, 16, 13, 11, 9, 7, 5, 4, 3)
MIRRORED = {0: 1, 1: 0, 4: 5, 5: 4}  # what a horizontal flip turns into what
SEEDS = (0, 1, 2, 3, 4)
EPOCHS = 15
MARGIN = 0.01  # the smallest difference that matters
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

# arm, factor, level, the baseline's level, accuracy, share of a mirrored class that is taken for its mirror
ARMS = (
    ("baseline", "", "", "", 0.88, 0.0),
    ("augment=hflip", "augment", "hflip", "none", 0.88, 0.26),
    ("augment=crop", "augment", "crop", "none", 0.87, 0.0),
    ("augment=jitter", "augment", "jitter", "none", 0.885, 0.0),
    ("augment=erasing", "augment", "erasing", "none", 0.88, 0.0),
    ("loss.class_weights=balanced", "loss.class_weights", "balanced", "none", 0.87, 0.0),
    ("loss.class_weights=sqrt", "loss.class_weights", "sqrt", "none", 0.89, 0.0),
    ("model.dropout=0.3", "model.dropout", "0.3", "0.0", 0.89, 0.0),
    ("model.dropout=0.5", "model.dropout", "0.5", "0.0", 0.865, 0.0),
    ("model.attention_heads=8", "model.attention_heads", "8", "4", 0.88, 0.0),
    ("freeze.strategy=backbone", "freeze.strategy", "backbone", "none", 0.86, 0.0),
    ("placebo", "placebo", "1", "0", 0.88, 0.0),
)
LEVELS = {"0.3": 0.3, "0.5": 0.5, "8": 8, "1": 1}  # as values, where they are not words
FAILED = ("model.dropout=0.5", 3)
LABELS = np.repeat(np.arange(len(CLASSES)), SUPPORT)


def trial_key(arm: str, seed: int) -> str:
    """A stable id in the ledger's form."""
    return f"{derive(seed, arm):016x}"[:12]


def write_example(
    folder: Path,
    *,
    seeds: Sequence[int] = SEEDS,
    class_names: Sequence[str] = CLASSES,
    done: int | None = None,
) -> Path:
    """Writes tables and ``study.json``; where ``done`` is given, only so many trials and no effects."""
    plan = [(arm, seed) for seed in seeds for arm in ARMS]
    ledger = Ledger(folder)
    ledger.claim()
    scores: dict[tuple[str, int], float] = {}
    for index, (arm, seed) in enumerate(plan[:done]):
        row, epochs, predictions = _trial(arm, seed, START + timedelta(seconds=3 * index))
        ledger.append(row, epochs, predictions)
        if row["status"] == "ok":
            scores[arm[0], seed] = row["test_top1"]
    if done is None:
        ledger.compact()
        pq.write_table(table("effects", _effects(scores, seeds)), folder / "effects.parquet")
    study = _study([(arm[0], arm[1], arm[2], seed) for arm, seed in plan], seeds, class_names)
    (folder / "study.json").write_text(json.dumps(study), encoding="utf-8")
    return folder


Rows = list[dict[str, Any]]


def _trial(arm: tuple[Any, ...], seed: int, started: datetime) -> tuple[dict[str, Any], Rows, Rows]:
    name, factor, level, _, accuracy, mirrored = arm
    key = trial_key(name, seed)
    common = {"trial_id": key, "arm": name, "factor": factor, "level": level, "seed": seed}
    times = {"started": started, "ended": started + timedelta(seconds=2.4), "seconds": 2.4, "host": "node-1"}
    if (name, seed) == FAILED:
        error = "DivergedError: the training loss is nan in epoch 4 (lr 0.001, batch 17)"
        return {**common, **times, "status": "failed", "error": error, "epochs": 4}, [], []
    shared = numpy_rng(seed, "videos").normal(size=len(LABELS))  # by the arms of a seed: they are paired
    rng = numpy_rng(seed, "trial", name)
    hardness = 0.98 * shared + 0.2 * rng.normal(size=len(LABELS))
    other = (LABELS + rng.integers(1, len(CLASSES), len(LABELS))) % len(CLASSES)
    predicted = np.where(hardness > stats.norm.ppf(accuracy), other, LABELS)
    for index, label in enumerate(LABELS):
        if int(label) in MIRRORED and rng.random() < mirrored:
            predicted[index] = MIRRORED[int(label)]
    scores = rng.dirichlet(np.full(len(CLASSES), 0.3), len(LABELS)) * 0.4
    scores[np.arange(len(LABELS)), predicted] += 0.6
    report = classification_report(confusion(LABELS, predicted, len(CLASSES)))
    val = report.accuracy + 0.02 + rng.normal(0, 0.01)
    seconds = {"backbone": 1.1, "8": 3.1}.get(level, 2.4) + 0.1 * rng.random()
    changes = {factor: LEVELS.get(level, level)} if factor else {}
    spec = override(TrialSpec(seed=seed), changes).to_dict()
    row = {
        **common,
        **times,
        "status": "ok",
        "error": "",
        "epochs": EPOCHS,
        "test_top1": report.accuracy,
        "test_top5": min(1.0, report.accuracy + 0.09),
        "test_macro_f1": report.macro.f1,
        "test_loss": 0.9 - 0.5 * report.accuracy,
        "val_top1": val,
        "n_test": len(LABELS),
        "best_epoch": EPOCHS - 2,
        "seconds": seconds,
        "trainable_params": 12_400 if level == "backbone" else 418_314,
        "clips_trained": 222 * EPOCHS,
        "spec": json.dumps(spec),
        "workers": 1,
        "device": "cpu",
        "feed": "cache",
    }
    predictions = [
        {
            "video_id": f"v{i:03d}",
            "group": f"g{i // 4:02d}",
            "fold": 0,
            "label": int(LABELS[i]),
            "scores": scores[i],
        }
        for i in range(len(LABELS))
    ]
    return row, _epochs(val, rng), predictions


def _epochs(final: float, rng: np.random.Generator) -> Rows:
    progress = 1 - np.exp(-np.arange(1, EPOCHS + 1) / 3.5)
    values = {
        ("val", "top1"): 0.1 + (final - 0.1) * progress + rng.normal(0, 0.015, EPOCHS),
        ("train", "top1"): 0.1 + 0.89 * progress + rng.normal(0, 0.008, EPOCHS),
        ("val", "loss"): 2.3 - 1.9 * progress + 0.02 * np.arange(EPOCHS) + rng.normal(0, 0.03, EPOCHS),
        ("train", "loss"): 2.3 - 2.2 * progress + rng.normal(0, 0.02, EPOCHS),
    }
    return [
        {"epoch": epoch + 1, "split": split, "metric": metric, "value": float(series[epoch])}
        for (split, metric), series in values.items()
        for epoch in range(EPOCHS)
    ]


def _effects(scores: dict[tuple[str, int], float], seeds: Sequence[int]) -> Rows:
    """Plain paired t intervals with Holm's correction: good enough to look at."""
    rows: Rows = []
    for name, factor, level, reference, *_ in ARMS[1:]:
        paired = [s for s in seeds if (name, s) in scores and ("baseline", s) in scores]
        differences = np.array([scores[name, s] - scores["baseline", s] for s in paired])
        test = stats.ttest_1samp(differences, 0.0)
        interval = test.confidence_interval(0.95)
        rows.append(
            {
                "arm": name,
                "factor": factor,
                "level": level,
                "baseline": reference,
                "metric": "top1",
                "n_seeds": len(paired),
                "difference": float(differences.mean()),
                "low": float(interval.low),
                "high": float(interval.high),
                "p": float(test.pvalue),
                "n_failed": len(seeds) - len(paired),
                "low_simultaneous": float(test.confidence_interval(1 - 0.05 / len(ARMS)).low),
                "high_simultaneous": float(test.confidence_interval(1 - 0.05 / len(ARMS)).high),
                "margin": MARGIN,
                "n_videos": len(LABELS),
                "n_groups": len(LABELS) // 4 + 1,
                "fair_budget": True,
            }
        )
    running = 0.0
    for rank, row in enumerate(sorted(rows, key=lambda row: row["p"])):
        running = max(running, min(1.0, (len(rows) - rank) * row["p"]))
        decided = "helps" if row["difference"] > 0 else "hurts"
        small = max(-row["low_simultaneous"], row["high_simultaneous"]) < row["margin"]
        verdict = "no practical effect" if small else decided if running < 0.05 else "inconclusive"
        row |= {"p_adjusted": running, "verdict": verdict}
        if verdict == "inconclusive":
            row |= {"more_seeds": 3 + 4 * rank} if rank < 7 else {"needs_videos": True}
    return rows


def _study(
    plan: Sequence[tuple[str, str, str, int]], seeds: Sequence[int], names: Sequence[str]
) -> dict[str, Any]:
    undecodable = [
        {"video_id": "up/clip_031", "path": "up/clip_031.mp4", "reason": "the file is empty"},
        {"video_id": "bounce/clip_007", "path": "bounce/clip_007.mp4", "reason": "moov atom not found"},
    ]
    counts = {
        split: {name: max(1, round(scale * n)) for name, n in zip(names, SUPPORT, strict=True)}
        for split, scale in {"train": 2.0, "val": 0.6, "test": 1.0}.items()
    }
    videos = sum(sum(classes.values()) for classes in counts.values())
    command = "python experiments/ablate_regularization.py"
    launch = {"started": START.isoformat(), "command": command}
    clips = {"videos": videos, "clip_keys": 1}
    return {
        "schema": 1,
        "name": "ablate_regularization",
        "study": {
            "metric": "top1",
            "mode": "max",
            "design": "one_at_a_time",
            "seeds": list(seeds),
            "base": TrialSpec().to_dict(),
        },
        "plan": [
            {"trial_id": trial_key(arm, seed), "arm": arm, "factor": factor, "level": level, "seed": seed}
            for arm, factor, level, seed in plan
        ],
        "command": command,
        "started": "2026-03-01T09:00:00+00:00",
        "ended": "2026-03-01T09:02:31+00:00",
        "wall_seconds": 151.2,
        "versions": {"actrec": "0.1.0", "python": "3.12.1", "torch": "2.15.0", "ray": "2.60.0"},
        "git": {"revision": "4f2a9c1d0b7e", "dirty": False},
        "manifest": {
            "path": "builtin",
            "digest": "9b1c6a2e07d4",
            "class_names": list(names),
            "counts": counts,
            "undecodable": undecodable,
            "straddling_groups": 0,
            "split_source": "builtin",
        },
        "launches": [
            {**launch, "seconds": 100.0, **clips, "decoded": videos, "reused": 0},
            {**launch, "seconds": 51.2, **clips, "decoded": 0, "reused": videos},
        ],
        "hardware": {
            "nodes": 1,
            "cpus": 2.0,
            "gpus": 0,
            "gpu": "none here",
            "processor": "x86_64",
            "memory_gib": 4.0,
            "trials": "2 at a time",
        },
    }


if __name__ == "__main__":
    print(build_report(write_example(Path(sys.argv[1]))))

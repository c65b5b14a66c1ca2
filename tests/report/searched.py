"""A study with a search whose trials are made of seeded random numbers; its plan is the real one.

``python -m tests.report.searched DIR [TRIALS]`` writes it with its page, to look at; with a number only so
many of its trials have ended.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy import stats

from actrec.report.page import build_report
from actrec.report.values import ABLATE, SEARCH
from actrec.results.ledger import Ledger
from actrec.results.schema import table
from actrec.seeding import numpy_rng
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.dimensions import Categorical, Float, Int, When
from actrec.study.factors import Study
from actrec.study.plan import Trial
from actrec.study.rounds import Round, current
from actrec.study.search import Search

CLASSES = ("left", "right", "up", "down")
LABELS = np.repeat(np.arange(4), 30)
FAILED = 9  # the search's trial that fails
PLANNED = ("trial_id", "arm", "factor", "level", "seed", "fold", "stage", "number")
Row = dict[str, Any]


def searching(**changes: Any) -> Study:
    """A study with a search; ``changes`` are of its parts."""
    search = Search(
        space={
            "augment": Categorical(("none", "hflip", "jitter")),
            "model.dropout": Float(0.0, 0.6),
            "model.attention_heads": Categorical((0, 4, 8)),
            "model.layers": Int(1, 3, when=When("model.attention_heads", (4, 8))),
            "freeze.strategy": Categorical(("none", "first_k")),
            "freeze.k": Int(1, 2, when=When("freeze.strategy", ("first_k",))),
            "optim.lr": Float(3e-4, 1e-2, log=True),
        },
        trials=24,
    )
    base = TrialSpec(
        clip=ClipSpec(num_frames=8, height=32, width=32),
        model=ModelSpec(name="frame_transformer"),
        optim=OptimSpec(lr=4e-4),
    )
    search = dataclasses.replace(search, **changes)
    return Study(name="search_regularization", base=base, factors=(), search=search)


def write_search(folder: Path, study: Study | None = None, *, until: int | None = None) -> Path:
    """Writes tables and ``study.json`` of ``study``, of which ``until`` trials have ended; None: all."""
    study = study or searching()
    ledger = Ledger(folder)
    ledger.claim()
    rows: list[Row] = []
    while (now := current(study, rows)).pending and (until is None or len(rows) < until):
        for trial in now.pending if until is None else now.pending[: until - len(rows)]:
            row, epochs, predictions = ended(trial)
            ledger.append(row, epochs, predictions)
            history = tuple(entry["value"] for entry in epochs)
            rows.append(row | {"history": history})
    ledger.compact()
    ledger.release()
    write_record(folder, study, now)
    if not now.pending and (found := list(_effects(now, {str(row["trial_id"]): row for row in rows}))):
        pq.write_table(table("effects", found), folder / "effects.parquet")
    return folder


def write_record(folder: Path, study: Study, now: Round, **changes: Any) -> None:
    """``study.json`` as a run leaves it, with some of its keys changed."""
    record = {
        "name": study.name,
        "study": study.to_dict(),
        "plan": [{name: getattr(trial, name) for name in PLANNED} for trial in now.trials],
        "search": dataclasses.asdict(now.search) if now.search else None,
        "command": "python experiments/search_regularization.py --search 24",
        "manifest": {
            "class_names": list(CLASSES),
            "counts": {"train": 240, "val": 60, "test": len(LABELS)},
            "undecodable": [],
        },
    }
    (folder / "study.json").write_text(json.dumps({**record, **changes}), encoding="utf-8")


def ended(trial: Trial) -> tuple[Row, list[Row], list[Row]]:
    """A row of ``trials``, and those of the other tables."""
    spec = trial.spec
    rng = numpy_rng(trial.seed, "searched", trial.trial_id)
    shared = numpy_rng(trial.seed, "videos").normal(size=len(LABELS))
    right = shared * 0.9 + rng.normal(0, 0.45, len(LABELS)) < stats.norm.ppf(accuracy(spec))
    predicted = np.where(right, LABELS, (LABELS + 1) % 4)
    top1 = float(np.mean(predicted == LABELS))
    val = accuracy(spec) + rng.normal(0, 0.025)
    curve = val * (1 - np.exp(-np.arange(1, spec.optim.epochs + 1) / 3))
    stop = next((epoch for epoch, least in trial.cutoffs if curve[epoch - 1] < least), None)
    curve = curve[:stop]
    epochs = [
        {"epoch": epoch, "split": "val", "metric": "top1", "value": float(value)}
        for epoch, value in enumerate(curve, start=1)
    ]
    row: Row = {name: getattr(trial, name) for name in PLANNED} | {
        "status": "ok",
        "error": "",
        "epochs": len(curve),
        "best_epoch": len(curve),
        "seconds": len(curve) * (0.2 + 0.1 * (spec.model.layers or 1)),
        "spec": json.dumps(spec.to_dict()),
        "trainable_params": 100_000 * (spec.model.layers or 1),
        "workers": 1,
        "device": "cpu",
        "feed": "cache",
        "val_top1": float(curve[-1]),
        "batch_size": spec.optim.batch_size,
    }
    if trial.stage == SEARCH and trial.number == FAILED:
        nothing = {"val_top1": None, "status": "failed", "error": "DivergedError: the training loss is nan"}
        return row | nothing, epochs, []
    if stop is not None:
        return row | {"status": "pruned"}, epochs, []
    scores = np.full((len(LABELS), 4), 0.1)
    scores[np.arange(len(LABELS)), predicted] = 0.7
    predictions = [
        {"video_id": f"v{i}", "group": f"g{i}", "fold": 0, "label": int(LABELS[i]), "scores": scores[i]}
        for i in range(len(LABELS))
    ]
    tested = {"test_top1": top1, "test_top5": 1.0, "test_macro_f1": top1, "test_loss": 2 - top1}
    return row | tested | {"n_test": len(LABELS)}, epochs, predictions


def accuracy(spec: TrialSpec) -> float:
    """What a trial is worth: a flip hurts, the learning rate and the heads matter, dropout a little."""
    heads = spec.model.attention_heads or 0
    return float(
        0.88
        - 0.12 * (np.log10(spec.optim.lr) + 2.4) ** 2
        - (0.07 if spec.augment.hflip else 0.0)
        + 0.004 * heads
        - 0.15 * ((spec.model.dropout or 0.0) - 0.2) ** 2
        - 0.03 * (spec.freeze.strategy == "first_k")
    )


def _effects(now: Round, rows: Mapping[str, Row]) -> Iterator[Row]:
    """Plain paired t intervals, corrected for nothing: good enough to look at."""
    tested: dict[str, dict[int, float]] = {}
    arms = {}
    for trial in now.trials:
        if trial.stage == ABLATE:
            tested.setdefault(trial.arm, {})[trial.seed] = rows[trial.trial_id]["test_top1"]
            arms[trial.arm] = trial
    for name, arm in arms.items():
        if name == "baseline":
            continue
        differences = [value - tested["baseline"][seed] for seed, value in tested[name].items()]
        test = stats.ttest_1samp(differences, 0.0)
        interval = test.confidence_interval(0.95)
        p = float(test.pvalue)
        verdict = "inconclusive" if p > 0.05 else "hurts" if np.mean(differences) < 0 else "helps"
        yield {
            "arm": name,
            "factor": arm.factor,
            "level": arm.level,
            "baseline": next((a.baseline for a in now.arms if a.name == name), ""),
            "metric": "top1",
            "n_seeds": len(differences),
            "difference": float(np.mean(differences)),
            "low": float(interval.low),
            "high": float(interval.high),
            "p": p,
            "p_adjusted": p,
            "verdict": verdict,
            "margin": 0.01,
            "n_videos": len(LABELS),
        }


if __name__ == "__main__":
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else None
    print(build_report(write_search(Path(sys.argv[1]), searching(stopping="asha"), until=wanted)))

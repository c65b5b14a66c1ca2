"""Parquet and ``study.json`` → plain values. All counting of the report is done here and in ``outcomes.py``.

Whatever ``study.json`` lacks is left out of the page; a table that lacks a promised column is an error.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from actrec.data.counts import Undecodable
from actrec.errors import LedgerError
from actrec.metrics import DIRECTIONS
from actrec.report.outcomes import class_report, count_predictions, outcome
from actrec.report.values import (
    BASELINE,
    ONE_SEED,
    PLACEBO,
    Arm,
    Best,
    Conditions,
    Curve,
    Data,
    Effect,
    Launch,
    Report,
    Status,
    Trial,
)
from actrec.results import parquet
from actrec.results.ledger import Ledger
from actrec.stats.effects import IDLE

T = TypeVar("T")
Row = Mapping[str, Any]

NO_RESULT = "no result"


def load(folder: Path) -> Report:
    """Everything that the page shows of the study in ``folder``.

    Raises:
        LedgerError: if there is no study there, or its tables or ``study.json`` cannot be read.
    """
    study = _study(folder)
    ledger = Ledger(folder)
    rows = ledger.read("trials").to_pylist()
    if not study and not rows:
        raise LedgerError(f"{folder} holds no study: neither study.json nor a trial")
    trials = _trials(at(study, "plan", list, []), rows)
    # One folder may hold the trials of several plans: only those of this one count.
    planned = {trial.trial_id for trial in trials if trial.planned}
    arms = _arms(trials)
    best = _best(arms)
    data = _data(study)
    metric = at(study, "study.metric", str, "top1").removeprefix("test_")
    effects = _effects(folder, arms)
    own = [effect for effect in effects if effect.metric == metric and effect.difference is not None]
    judged = {effect.arm for effect in own}
    own += [_unjudged(arm, metric) for arm in arms if arm.name not in {BASELINE, *judged}]
    predictions = ledger.read("predictions", trial_ids=planned)
    counted = count_predictions(predictions, at(study, "manifest.class_names", list, []))
    compared = [arm for arm in arms if arm.name == BASELINE or (best and arm.name == best.arm)]
    return Report(
        name=at(study, "name", str, folder.resolve().name),
        metric=metric,
        trials=trials,
        arms=arms,
        effects=tuple(sorted(own, key=_rank)),
        further=tuple(
            sorted((e for e in effects if e.metric != metric and e.difference is not None), key=_rank)
        ),
        class_names=counted.class_names,
        curves=_curves(ledger.read("epochs", trial_ids=planned), arms),
        outcomes=_known((arm.name, outcome(arm, counted)) for arm in arms),
        class_reports=_known((arm.name, class_report(arm, counted)) for arm in compared),
        best=best,
        data=data,
        launches=_launches(study),
        settings=_settings(study, rows, arms),
        n_test=_n_test(arms, data),
        study=study,
        problems=tuple(ledger.problems),
    )


def at(values: Row, path: str, kind: type[T], default: Any) -> Any:
    """The value at a dotted path of nested mappings, or ``default`` where it is missing or not a ``kind``."""
    value: Any = values
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, kind) else default


def _known(pairs: Iterable[tuple[str, T | None]]) -> dict[str, T]:
    return {name: value for name, value in pairs if value is not None}


def _study(folder: Path) -> Row:
    path = folder / "study.json"
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LedgerError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise LedgerError(f"{path} must hold a JSON object, not {type(found).__name__}")
    return found


def _trials(plan: Sequence[Row], rows: Sequence[Row]) -> tuple[Trial, ...]:
    """The plan in its order, then what the ledger has beside it; without a plan the ledger is the plan."""
    done = {row["trial_id"]: row for row in rows}
    planned = {entry["trial_id"] for entry in plan}
    # What a trial is an arm of is said by the plan: studies of other designs may share it.
    ordered = (
        [{**done.get(entry["trial_id"], {}), **entry} for entry in plan] if plan else list(done.values())
    )
    beside = [row for row in rows if row["trial_id"] not in planned] if plan else []
    return tuple(_trial(row, planned=True) for row in ordered) + tuple(
        _trial(row, planned=False) for row in beside
    )


def _trial(row: Row, *, planned: bool) -> Trial:
    status: Status = "waiting" if "status" not in row else "ok" if row["status"] == "ok" else "failed"
    return Trial(
        trial_id=row["trial_id"],
        arm=row["arm"],
        factor=_word(row.get("factor")),
        level=_word(row.get("level")),
        seed=row["seed"],
        status=status,
        planned=planned,
        error=_word(row.get("error")) or ("it left no message" if status == "failed" else ""),
        epochs=row.get("epochs"),
        seconds=_finite(row.get("seconds")),
        val_top1=_finite(row.get("val_top1")),
        test_top1=_finite(row.get("test_top1")),
        test_macro_f1=_finite(row.get("test_macro_f1")),
        n_test=row.get("n_test"),
        conditions=None
        if row.get("workers") is None
        else Conditions(row["workers"], _word(row.get("device")), _word(row.get("feed"))),
    )


def _arms(trials: Sequence[Trial]) -> tuple[Arm, ...]:
    """The planned arms in the plan's order, the baseline first and the placebo second."""
    members: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.planned:
            members[trial.arm].append(trial)
    names = sorted(members, key=lambda name: (name != BASELINE, name != PLACEBO))  # stable: else as planned
    return tuple(
        Arm(name, members[name][0].factor, members[name][0].level, tuple(members[name])) for name in names
    )


def _best(arms: Sequence[Arm]) -> Best | None:
    """The change with the highest mean validation top-1, among those with the most finished seeds: fewer
    seeds have the luckier mean."""
    means = {arm.name: (len(arm.finished), _mean_val(arm)) for arm in arms if arm.finished}
    changes = {arm.name: means[arm.name] for arm in arms if arm.is_change and arm.name in means}
    if not changes:
        return None
    name = max(changes, key=lambda arm: changes[arm])
    return Best(name, changes[name][1], means[BASELINE][1] if BASELINE in means else None)


def _mean_val(arm: Arm) -> float:
    known = [trial.val_top1 for trial in arm.finished if trial.val_top1 is not None]
    return sum(known) / len(known) if known else -math.inf


def _n_test(arms: Sequence[Arm], data: Data) -> int | None:
    """The test videos that were scored; before any was, those of the manifest."""
    scored = {trial.n_test for arm in arms for trial in arm.finished if trial.n_test}
    return max(scored) if scored else sum(data.counts.get("test", {}).values()) or None


def _settings(study: Row, rows: Sequence[Row], arms: Sequence[Arm]) -> Row:
    """The baseline's settings: as a finished trial had them, else the study's base."""
    specs = {row["trial_id"]: row["spec"] for row in rows if row.get("spec")}
    own = [trial.trial_id for arm in arms if arm.name == BASELINE for trial in arm.finished]
    found = next((json.loads(specs[trial_id]) for trial_id in own if trial_id in specs), None)
    return found if isinstance(found, dict) else at(study, "study.base", dict, {})


def _launches(study: Row) -> tuple[Launch, ...]:
    """The launches on the data of the plan: one folder may hold trials on other data too."""
    digest = at(study, "manifest.digest", str, None)
    entries = at(study, "launches", list, [])
    return tuple(_launch(entry) for entry in entries if entry.get("manifest", digest) == digest)


def _launch(values: Row) -> Launch:
    seconds = at(values, "seconds", object, None)
    return Launch(
        at(values, "started", str, ""),
        float(seconds) if isinstance(seconds, int | float) else None,
        *(at(values, key, int, 0) for key in ("videos", "clip_keys", "decoded", "reused")),
    )


def _effects(folder: Path, arms: Sequence[Arm]) -> tuple[Effect, ...]:
    """The rows of the effects table that can be of this plan: of its arms, of no more seeds than finished."""
    path = folder / "effects.parquet"
    if not path.exists():
        return ()
    rows = [row for piece in parquet.scan(path, "effects") for row in piece.to_pylist()]
    own = {arm.name: arm for arm in arms if arm.name != BASELINE}
    return tuple(
        _effect(row, own[row["arm"]])
        for row in rows
        if row["arm"] in own and row["n_seeds"] <= len(own[row["arm"]].finished)
    )


def _unjudged(arm: Arm, metric: str) -> Effect:
    """A row for an arm without a difference, so that the page has every arm."""
    failed = sum(trial.status == "failed" for trial in arm.trials)
    waits = any(trial.status == "waiting" for trial in arm.trials)
    return Effect(
        arm=arm.name,
        factor=arm.factor,
        level=arm.level,
        metric=metric,
        n_seeds=len(arm.finished),
        n_failed=failed,
        verdict="not yet" if waits else NO_RESULT,
    )


def _rank(effect: Effect) -> tuple[int, bool, bool, float, str]:
    """Decided effects first, then the largest; the placebo last. Metrics in their fixed order."""
    order = list(DIRECTIONS)
    return (
        order.index(effect.metric) if effect.metric in order else len(order),
        effect.arm == PLACEBO,
        not effect.decided,
        -abs(effect.difference or 0.0),
        effect.arm,
    )


def _effect(row: Row, arm: Arm) -> Effect:
    verdict = row.get("verdict") or NO_RESULT
    low, high, p, p_adjusted = (
        None if verdict == IDLE else _finite(row.get(key)) for key in ("low", "high", "p", "p_adjusted")
    )
    if row["n_seeds"] == 1 and p is None and verdict != IDLE:
        verdict = ONE_SEED
    return Effect(
        arm=arm.name,
        factor=arm.factor,
        level=arm.level,
        metric=row["metric"],
        n_seeds=row["n_seeds"],
        n_failed=row.get("n_failed") or 0,
        verdict=verdict,
        baseline=row["baseline"],
        difference=_finite(row.get("difference")),
        low=low,
        high=high,
        p=p,
        p_adjusted=p_adjusted,
    )


def _curves(epochs: pa.Table, arms: Sequence[Arm]) -> tuple[Curve, ...]:
    """Mean and range over the finished seeds of each arm, at every epoch that any of them reached."""
    finished = [(trial.trial_id, arm.name) for arm in arms for trial in arm.finished]
    ids = pa.array([trial_id for trial_id, _ in finished], pa.string())
    names = pa.array([name for _, name in finished], pa.string())
    owned = epochs.append_column("arm", names.take(pc.index_in(epochs["trial_id"].combine_chunks(), ids)))
    keys = ["arm", "split", "metric", "epoch"]
    grouped = (
        owned.filter(pc.is_valid(owned["arm"]))
        .group_by(keys, use_threads=False)  # in one order, so that the same rows make the same page
        .aggregate([("value", "mean"), ("value", "min"), ("value", "max")])
        .sort_by([(key, "ascending") for key in keys])
    )
    points: dict[tuple[str, str, str], list[tuple[int, float, float, float]]] = defaultdict(list)
    for row in grouped.to_pylist():
        values = tuple(row[f"value_{name}"] for name in ("mean", "min", "max"))
        if all(_finite(value) is not None for value in values):
            points[row["arm"], row["split"], row["metric"]].append((row["epoch"], *values))
    return tuple(
        Curve(arm, split, metric, *(tuple(column) for column in zip(*rows, strict=True)))
        for (arm, split, metric), rows in points.items()
    )


def _data(study: Row) -> Data:
    counts = {
        str(split): {str(name): int(n) for name, n in found.items()}
        if isinstance(found, Mapping)
        else {"": int(found)}
        for split, found in at(study, "manifest.counts", dict, {}).items()
    }
    counts = {split: classes for split, classes in counts.items() if any(classes.values())}
    undecodable = at(study, "manifest.undecodable", list, None)
    return Data(
        counts=counts,
        undecodable=None
        if undecodable is None
        else tuple(
            Undecodable(_word(row.get("video_id")), _word(row.get("path")), _word(row.get("reason")))
            for row in undecodable
        ),
        straddling_groups=at(study, "manifest.straddling_groups", int, None),
        split_source=at(study, "manifest.split_source", str, None),
    )


def _word(value: object) -> str:
    return "" if value is None else str(value)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

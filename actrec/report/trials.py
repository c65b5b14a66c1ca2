"""The table ``trials`` and the plan → trials, arms, the best change."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from actrec.report.record import Row, at, finite, word
from actrec.report.values import BASELINE, PLACEBO, Arm, Best, Conditions, Data, Effect, Status, Trial
from actrec.results.schema import OK, PRUNED

FIGURE_ARMS = 30  # that a figure shows; a table has all
METRICS = ("val_top1", "test_top1", "test_top5", "test_macro_f1", "test_loss")
STATUS: dict[str, Status] = {OK: "ok", PRUNED: "pruned"}  # of the ledger; all others have failed


def read_trials(plan: Sequence[Row], rows: Sequence[Row]) -> tuple[Trial, ...]:
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
    status = STATUS.get(row["status"], "failed") if "status" in row else "waiting"
    return Trial(
        trial_id=row["trial_id"],
        arm=row["arm"],
        factor=word(row.get("factor")),
        level=word(row.get("level")),
        seed=row["seed"],
        status=status,
        fold=row.get("fold") or 0,
        planned=planned,
        error=word(row.get("error")) or ("it left no message" if status == "failed" else ""),
        epochs=row.get("epochs"),
        seconds=finite(row.get("seconds")),
        n_test=row.get("n_test"),
        best_epoch=row.get("best_epoch"),
        trainable_params=row.get("trainable_params"),
        clips_trained=row.get("clips_trained"),
        joules=finite(row.get("joules")),
        shared_stages=row.get("shared_stages") or 0,
        conditions=None
        if row.get("workers") is None
        else Conditions(row["workers"], word(row.get("device")), word(row.get("feed"))),
        stage=word(row.get("stage")),
        number=row.get("number"),
        batch=_batch(row),
        **{name: finite(row.get(name)) for name in METRICS},
    )


def _batch(row: Row) -> tuple[int, int] | None:
    """The clips of a batch, used and asked for; None where they are the same, or not recorded."""
    used, spec = row.get("batch_size"), row.get("spec")
    asked = at(json.loads(spec), "optim.batch_size", int, None) if used and spec else None
    return (used, asked) if used and asked and used != asked else None


def group_arms(trials: Sequence[Trial], rows: Sequence[Row]) -> tuple[Arm, ...]:
    """The planned arms in the plan's order, the baseline first and the placebo second."""
    members: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.is_compared:
            members[trial.arm].append(trial)
    specs = {row["trial_id"]: row["spec"] for row in rows if row.get("spec")}
    names = sorted(members, key=lambda name: (name != BASELINE, name != PLACEBO))  # stable: else as planned
    return tuple(
        Arm(
            name,
            members[name][0].factor,
            members[name][0].level,
            tuple(members[name]),
            _settings(members[name], specs),
        )
        for name in names
    )


def _settings(trials: Sequence[Trial], specs: Mapping[str, str]) -> Mapping[str, Any]:
    """The specification of the first finished trial that has one."""
    own = (specs[trial.trial_id] for trial in trials if trial.status == "ok" and trial.trial_id in specs)
    found = json.loads(next(own, "{}"))
    return found if isinstance(found, dict) else {}


def best_change(arms: Sequence[Arm]) -> Best | None:
    """The change with the highest mean validation top-1, among those of which every planned seed has
    finished; where there is none, among those with the most: fewer seeds have the luckier mean."""
    best = selected([arm for arm in arms if arm.is_change])
    if best is None:
        return None
    baseline = next((arm for arm in arms if arm.name == BASELINE), None)
    return Best(best.name, _mean_val(best), baseline.mean("val_top1") if baseline else None)


def selected(arms: Sequence[Arm]) -> Arm | None:
    """The arm that validation selects, as :func:`best_change` does among the changes."""
    return max(
        (arm for arm in arms if arm.finished), key=lambda a: (_finished(a), _mean_val(a)), default=None
    )


def _finished(arm: Arm) -> float:
    return math.inf if len(arm.finished) == len(arm.trials) else len(arm.finished)


def _mean_val(arm: Arm) -> float:
    mean = arm.mean("val_top1")
    return -math.inf if mean is None else mean


def in_focus(arms: Sequence[Arm], effects: Sequence[Effect], best: Best | None) -> tuple[Arm, ...]:
    """The arms that figures show, in their order: all of a small study. Of a large one the baseline, the
    placebo, the best change and those whose effects come first."""
    if len(arms) <= FIGURE_ARMS:
        return tuple(arms)
    ranked = [BASELINE, PLACEBO, *([best.arm] if best else []), *(effect.arm for effect in effects)]
    chosen = set(list(dict.fromkeys([*ranked, *(arm.name for arm in arms)]))[:FIGURE_ARMS])
    return tuple(arm for arm in arms if arm.name in chosen)


def test_videos(arms: Sequence[Arm], data: Data) -> int | None:
    """The test videos that were scored; before any was, those of the manifest."""
    scored = {sum(trial.n_test or 0 for trial in run) for arm in arms for run in arm.runs} - {0}
    return max(scored) if scored else sum(data.counts.get("test", {}).values()) or None

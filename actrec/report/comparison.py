"""Two studies, or two runs of one: what differs in their settings, their baselines and their verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actrec.report.record import finite, flat
from actrec.report.tables import load
from actrec.report.values import BASELINE, Arm, Effect, Report
from actrec.results.ledger import Ledger
from actrec.stats.paired import paired_effect

IDENTITY = ("seed",)  # of a trial, not of a study


@dataclass(frozen=True, slots=True)
class Pair:
    """An arm that both studies have, with its effect in each on the first one's metric."""

    arm: str
    ours: Effect
    theirs: Effect

    @property
    def changed(self) -> bool:
        return self.ours.verdict != self.theirs.verdict


@dataclass(frozen=True, slots=True)
class Baselines:
    """The test top-1 of both baselines, and ours less theirs.

    ``low`` and ``high`` are the 95 % interval, over ``n_seeds`` seeds and ``n_videos`` test videos that both
    have; where there is none ``why`` says so.
    """

    ours: float | None
    theirs: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    n_seeds: int = 0
    n_videos: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """``names`` tell the studies apart, two runs of one too. ``settings`` are those of the baselines that
    differ: path, ours, theirs; None where one lacks it."""

    ours: Report
    theirs: Report
    names: tuple[str, str]
    settings: tuple[tuple[str, Any, Any], ...]
    pairs: tuple[Pair, ...]
    only_ours: tuple[str, ...]
    only_theirs: tuple[str, ...]
    baselines: Baselines


def compare(folder: Path, other: Path) -> Comparison:
    """What differs between the studies in two folders.

    Raises:
        LedgerError: if there is no study in one of them, or it cannot be read.
    """
    ours, theirs = load(folder), load(other)
    known = {
        effect.arm: effect for effect in (*theirs.effects, *theirs.further) if effect.metric == ours.metric
    }
    names, others = ([arm.name for arm in report.arms if arm.name != BASELINE] for report in (ours, theirs))
    return Comparison(
        ours,
        theirs,
        _names((ours.name, folder), (theirs.name, other)),
        _settings(ours, theirs),
        tuple(Pair(e.arm, e, known[e.arm]) for e in ours.effects if e.arm in known),
        tuple(name for name in names if name not in others),
        tuple(name for name in others if name not in names),
        _baselines(_Scores.of(folder, ours), _Scores.of(other, theirs)),
    )


def _names(*studies: tuple[str, Path]) -> tuple[str, str]:
    """The studies' names; where they are the same, with their folders."""
    (name, folder), (other, elsewhere) = studies
    if name != other:
        return name, other
    folder, elsewhere = folder.resolve(), elsewhere.resolve()
    if folder.name != elsewhere.name:
        return f"{name} ({folder.name})", f"{other} ({elsewhere.name})"
    return f"{name} ({folder})", f"{other} ({elsewhere})"


def _settings(ours: Report, theirs: Report) -> tuple[tuple[str, Any, Any], ...]:
    mine, yours = flat(ours.settings), flat(theirs.settings)
    paths = dict.fromkeys([*mine, *yours])
    return tuple(
        (path, mine.get(path), yours.get(path))
        for path in paths
        if path not in IDENTITY and mine.get(path) != yours.get(path)
    )


@dataclass(frozen=True, slots=True)
class _Scores:
    """What a baseline did to each test video: seed → video id → whether it was right."""

    mean: float | None
    hits: Mapping[int, Mapping[str, bool]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, report: Report) -> _Scores:
        arm = next((arm for arm in report.arms if arm.name == BASELINE), None)
        if arm is None:
            return cls(None)
        hits: dict[int, dict[str, bool]] = {}
        labels: dict[str, str] = {}
        groups: dict[str, str] = {}
        for row in _predictions(folder, arm):
            hits.setdefault(row["seed"], {})[row["video_id"]] = int(np.argmax(row["scores"])) == row["label"]
            labels[row["video_id"]] = report.class_names[row["label"]]
            groups[row["video_id"]] = row["group"]
        return cls(arm.mean("test_top1"), hits, labels, groups)


def _predictions(folder: Path, arm: Arm) -> list[dict[str, Any]]:
    """The rows of the arm's finished seeds, each with its seed."""
    seeds = {trial.trial_id: trial.seed for run in arm.runs for trial in run}
    rows = Ledger(folder).read("predictions", trial_ids=seeds).to_pylist()
    return [row | {"seed": seeds[row["trial_id"]]} for row in rows]


def _baselines(ours: _Scores, theirs: _Scores) -> Baselines:
    means = ours.mean, theirs.mean
    if not ours.hits or not theirs.hits:
        return Baselines(*means, why="one of them has no predictions")
    if ours.labels != theirs.labels:
        same = len(set(ours.labels.items()) & set(theirs.labels.items()))
        return Baselines(
            *means,
            why=f"their test videos are not the same: {len(ours.labels)} and {len(theirs.labels)}, of which "
            f"{same} are in both with one class",
        )
    seeds = sorted(set(ours.hits) & set(theirs.hits))
    if not seeds:
        return Baselines(*means, why="they have no seed in common")
    videos = sorted(ours.labels)

    def scores(each: _Scores) -> NDArray[np.float64]:
        return np.array([[each.hits[seed].get(video, np.nan) for video in videos] for seed in seeds], float)

    effect = paired_effect(scores(ours), scores(theirs), [ours.groups[video] for video in videos])
    low, high = finite(effect.low), finite(effect.high)
    parts = effect.parts
    why = "" if low is not None else "one seed, one group of videos, or runs that are alike tell no interval"
    return Baselines(*means, finite(effect.difference), low, high, parts.n_seeds, parts.n_videos, why)

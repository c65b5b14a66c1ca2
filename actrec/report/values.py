"""What the page shows, as plain frozen values. Shares are in [0, 1]; the page writes percent and points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from actrec.data.counts import Undecodable

BASELINE, PLACEBO = "baseline", "placebo"
ONE_SEED = "not judged (one seed)"  # the verdict where there is a difference and no noise to compare it with

Status = Literal["ok", "failed", "waiting"]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a trial was trained on: so many ``workers``, ``device`` ``cpu`` or ``cuda``, ``feed`` ``cache`` or
    ``stream``."""

    workers: int
    device: str
    feed: str


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of the plan, or of the ledger alone (``planned`` is then false and no figure uses it).

    ``status`` is ``waiting`` while the ledger does not have it. ``val_top1`` is of the validation split, the
    other two of the test split, which has ``n_test`` videos; all are None unless the trial is ``ok``.
    """

    trial_id: str
    arm: str
    factor: str
    level: str
    seed: int
    status: Status
    planned: bool = True
    error: str = ""
    epochs: int | None = None
    seconds: float | None = None
    val_top1: float | None = None
    test_top1: float | None = None
    test_macro_f1: float | None = None
    n_test: int | None = None
    conditions: Conditions | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm and its planned trials, in the order of their seeds."""

    name: str
    factor: str
    level: str
    trials: tuple[Trial, ...]

    @property
    def finished(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.status == "ok")

    @property
    def is_change(self) -> bool:
        """Whether the arm is something to compare with the baseline, the placebo apart."""
        return self.name not in (BASELINE, PLACEBO)


@dataclass(frozen=True, slots=True)
class Effect:
    """One row of the effects table: the mean paired difference from the baseline on the test split.

    ``level`` is the arm's, ``baseline`` the baseline's. ``low`` and ``high`` are the interval; for
    shares 0.01 is one point. What too few finished seeds cannot tell is None, and so are the interval and
    ``p`` of an arm that took no effect: there was no chance in it to judge.
    """

    arm: str
    factor: str
    level: str
    metric: str
    n_seeds: int
    n_failed: int
    verdict: str
    baseline: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None

    @property
    def decided(self) -> bool:
        return self.verdict in ("helps", "hurts")


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric of one arm on one split, epoch by epoch: mean, least and greatest over its seeds."""

    arm: str
    split: str
    metric: str
    epoch: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Precision, recall and F1 of one class (or an average over classes), and its number of test videos."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class ClassReport:
    """scikit-learn's classification report on the test split, each number a mean over ``n_seeds`` trials."""

    arm: str
    n_seeds: int
    accuracy: float
    rows: tuple[ClassRow, ...]
    macro: ClassRow
    weighted: ClassRow


@dataclass(frozen=True, slots=True)
class Outcome:
    """Test predictions of one arm, counted over all of its finished seeds.

    ``confusion`` is int64 (K, K): rows are true classes, columns predicted ones.
    """

    arm: str
    n_seeds: int
    confusion: NDArray[np.int64]

    @property
    def recall(self) -> NDArray[np.float64]:
        """Float64 (K,) in [0, 1]; NaN for a class without test videos."""
        seen = self.confusion.sum(axis=1)
        return np.where(seen > 0, np.diagonal(self.confusion) / np.maximum(seen, 1), np.nan)


@dataclass(frozen=True, slots=True)
class Best:
    """The change with the highest mean validation top-1, and the baseline's, None where it has no trial."""

    arm: str
    val_top1: float
    baseline: float | None


@dataclass(frozen=True, slots=True)
class Data:
    """The manifest in numbers. ``counts``: split → class → videos, undecodable ones included; the class is
    ``""`` where only totals are known. What ``study.json`` does not tell is None."""

    counts: Mapping[str, Mapping[str, int]]
    undecodable: tuple[Undecodable, ...] | None
    straddling_groups: int | None
    split_source: str | None

    @property
    def videos(self) -> int:
        """All videos of the manifest, those that do not decode included."""
        return sum(sum(classes.values()) for classes in self.counts.values())


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of the study: ``videos`` × ``clip_keys`` were needed, ``decoded`` now or ``reused``."""

    started: str
    seconds: float | None
    videos: int
    clip_keys: int
    decoded: int
    reused: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page. ``effects`` are on the study's own metric, ``further`` on the others.

    ``settings`` are the baseline's, nested as a trial's are. ``n_test`` is the number of test videos.
    """

    name: str
    metric: str
    trials: tuple[Trial, ...]
    arms: tuple[Arm, ...]
    effects: tuple[Effect, ...]
    further: tuple[Effect, ...]
    class_names: tuple[str, ...]
    curves: tuple[Curve, ...]
    outcomes: Mapping[str, Outcome]
    class_reports: Mapping[str, ClassReport]
    best: Best | None
    data: Data
    launches: tuple[Launch, ...]
    settings: Mapping[str, Any]
    n_test: int | None
    study: Mapping[str, Any]
    problems: tuple[str, ...] = ()  # what was damaged in the ledger, a line each

    def count(self, status: Status) -> int:
        """The number of planned trials with this status."""
        return sum(trial.status == status for trial in self.trials if trial.planned)

    @property
    def seeds(self) -> list[int]:
        """The planned seeds in order."""
        return sorted({trial.seed for trial in self.trials if trial.planned})

    @property
    def planned(self) -> int:
        """The number of planned trials."""
        return sum(trial.planned for trial in self.trials)

    def effect(self, arm: str) -> Effect | None:
        """The arm's effect on the study's metric, where it has one."""
        return next((effect for effect in self.effects if effect.arm == arm), None)

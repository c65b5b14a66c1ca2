"""What the page shows, as plain frozen values. Shares are in [0, 1]; the page writes percent and points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from actrec.data.counts import Undecodable
from actrec.report.frames import Frame
from actrec.report.plane import Map
from actrec.report.videos import BlockScore, Seen, Videos

BASELINE, PLACEBO = "baseline", "placebo"
ALPHA = 0.05  # an adjusted p up to this is a finding
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
    metrics after it of the test split, which has ``n_test`` videos; all are None unless the trial is ``ok``.
    ``seconds`` are of work on each of its workers, ``joules`` those that its devices took, where they tell.
    ``shared_stages`` frozen ones were not computed by it: it trained on their output, shared with others.
    """

    trial_id: str
    arm: str
    factor: str
    level: str
    seed: int
    status: Status
    fold: int = 0
    planned: bool = True
    error: str = ""
    epochs: int | None = None
    seconds: float | None = None
    val_top1: float | None = None
    test_top1: float | None = None
    test_top5: float | None = None
    test_macro_f1: float | None = None
    test_loss: float | None = None
    n_test: int | None = None
    best_epoch: int | None = None
    trainable_params: int | None = None
    clips_trained: int | None = None
    joules: float | None = None
    shared_stages: int = 0
    conditions: Conditions | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm and its planned trials, in the order of their seeds.

    ``settings`` are those of its first finished trial, nested; empty where they are not recorded.
    """

    name: str
    factor: str
    level: str
    trials: tuple[Trial, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.status == "ok")

    @property
    def is_change(self) -> bool:
        """Whether the arm is something to compare with the baseline, the placebo apart."""
        return self.name not in (BASELINE, PLACEBO)

    @property
    def runs(self) -> tuple[tuple[Trial, ...], ...]:
        """The trials of each finished seed: one, or in a cross-validation one for every fold."""
        by_seed = {trial.seed: tuple(t for t in self.trials if t.seed == trial.seed) for trial in self.trials}
        return tuple(run for run in by_seed.values() if all(trial.status == "ok" for trial in run))

    def values(self, name: str) -> list[float]:
        """A field of the finished seeds, such as ``test_top1``, of those that have it: over the folds of a
        seed the mean, weighted by their test videos."""
        found = []
        for run in self.runs:
            known = [(getattr(t, name), t.n_test or 1) for t in run if getattr(t, name) is not None]
            if known:
                found.append(sum(value * n for value, n in known) / sum(n for _, n in known))
        return found

    def mean(self, name: str) -> float | None:
        """The mean of :meth:`values`; None without any."""
        known = self.values(name)
        return sum(known) / len(known) if known else None


@dataclass(frozen=True, slots=True)
class Effect:
    """One row of the effects table: the mean paired difference from the baseline on the test split.

    ``level`` is the arm's, ``baseline`` the baseline's. ``low`` and ``high`` are the interval; for
    shares 0.01 is one point. What too few finished seeds cannot tell is None, and so are the interval and
    ``p`` of an arm that took no effect: there was no chance in it to judge.

    ``low_simultaneous`` and ``high_simultaneous`` hold for all arms of the study together. ``margin`` is the
    smallest difference that matters. ``more_seeds`` would settle an inconclusive verdict; None where no
    number of seeds would, which ``needs_videos`` blames on the test videos. Tables of earlier versions lack
    all of these.
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
    low_simultaneous: float | None = None
    high_simultaneous: float | None = None
    margin: float | None = None
    n_videos: int | None = None
    n_groups: int | None = None
    more_seeds: int | None = None
    needs_videos: bool = False
    fair_budget: bool | None = None

    @property
    def decided(self) -> bool:
        return self.verdict in ("helps", "hurts")


@dataclass(frozen=True, slots=True)
class Contrast:
    """One row of the contrasts table: a main effect of a level, or its interaction with another.

    An interaction is by how much greater the effect of ``level`` is where the other factor is at
    ``other_level`` than where it is at ``other_baseline``. ``difference`` is None where the arms cannot tell
    it from what ``confounded_with`` names.
    """

    kind: Literal["main", "interaction"]
    factor: str
    level: str
    baseline: str
    other_factor: str
    other_level: str
    other_baseline: str
    difference: float | None
    low: float | None
    high: float | None
    p_adjusted: float | None
    confounded_with: str

    @property
    def decided(self) -> bool:
        return self.p_adjusted is not None and self.p_adjusted <= ALPHA


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
class Fit:
    """One metric of one arm on the three splits, at the epoch that was tested: means over its seeds."""

    arm: str
    metric: str
    train: float | None
    val: float | None
    test: float | None


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """The precision-recall curve of one class: at ``recall[j]``, (j + 1)/n of its n test videos, the
    precision, a mean over seeds; ``average`` is the average precision."""

    name: str
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    average: float


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
class Mistake:
    """A test video that was taken for another class: the probabilities of the class that it was ``taken`` for
    and of its ``true`` one."""

    video_id: str
    label: int
    predicted: int
    true: float
    taken: float


@dataclass(frozen=True, slots=True)
class Panel:
    """One trial of an arm. ``changed`` are its settings that the baseline has otherwise (path, baseline's,
    own), ``confused`` the classes mistaken most often (true, predicted, videos); ``right`` of ``videos`` were
    not mistaken."""

    arm: str
    trial: Trial
    changed: tuple[tuple[str, Any, Any], ...]
    curves: tuple[Curve, ...]
    videos: int
    right: int
    worst: tuple[Mistake, ...]
    confused: tuple[tuple[int, int, int], ...]


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
    near_duplicates: int | None
    split_source: str | None

    @property
    def videos(self) -> int:
        """All videos of the manifest, those that do not decode included."""
        return sum(sum(classes.values()) for classes in self.counts.values())


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of the study: ``videos`` × ``clip_keys`` were needed, ``decoded`` now or ``reused``."""

    started: str
    command: str
    seconds: float | None
    videos: int
    clip_keys: int
    decoded: int
    reused: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page. ``effects`` are on the study's own metric, ``further`` on the others.

    ``settings`` are the baseline's, nested as a trial's are. ``n_test`` is the number of test videos.
    ``focus`` are the arms that the figures show: all, or in a large study the most telling.
    """

    name: str
    metric: str
    trials: tuple[Trial, ...]
    arms: tuple[Arm, ...]
    focus: tuple[Arm, ...]
    effects: tuple[Effect, ...]
    further: tuple[Effect, ...]
    contrasts: tuple[Contrast, ...]
    class_names: tuple[str, ...]
    curves: tuple[Curve, ...]
    fits: tuple[Fit, ...]
    precision_recall: Mapping[str, tuple[PrecisionRecall, ...]]
    outcomes: Mapping[str, Outcome]
    class_reports: Mapping[str, ClassReport]
    best: Best | None
    data: Data
    launches: tuple[Launch, ...]
    settings: Mapping[str, Any]
    n_test: int | None
    study: Mapping[str, Any]
    videos: Videos | None = None
    seen: tuple[Seen, ...] = ()
    blocks: tuple[BlockScore, ...] = ()
    maps: tuple[Map, ...] = ()
    panels: tuple[Panel, ...] = ()
    frames: Mapping[str, Frame] = field(default_factory=dict)  # video id → its picture
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

"""Trials and arms: what was trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

BASELINE, PLACEBO = "baseline", "placebo"
SEARCH, CONFIRM, ABLATE = "search", "confirm", "ablate"  # the stages of a study with a search

Status = Literal["ok", "failed", "pruned", "waiting"]


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

    ``status`` is ``waiting`` while the ledger does not have it, ``pruned`` where the search stopped it early.
    ``val_top1`` is of the validation split, the metrics after it of the test split, which has ``n_test``
    videos; all are None unless the trial is ``ok``, but that ``val_top1`` of a pruned one is what it had come
    to. ``seconds`` are of work on each of its workers, ``joules`` those that its devices took, where they
    tell. ``shared_stages`` frozen ones were not computed by it: it trained on their output, shared with
    others. ``stage`` is empty where the study has no search; ``number`` is that of the search's trial, also
    where it is confirmed. ``batch`` are the clips of a batch, used and asked for, where memory was too short
    for what was asked.
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
    stage: str = ""
    number: int | None = None
    batch: tuple[int, int] | None = None

    @property
    def is_compared(self) -> bool:
        """Whether it is a trial of an arm: of a search, only the last stage has arms."""
        return self.planned and self.stage in ("", ABLATE)

    @property
    def work(self) -> float:
        """Seconds of work, times the workers that shared it; 0 where they are not recorded."""
        return (self.seconds or 0.0) * (self.conditions.workers if self.conditions else 1)


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
class Best:
    """The change with the highest mean validation top-1, and the baseline's, None where it has no trial."""

    arm: str
    val_top1: float
    baseline: float | None

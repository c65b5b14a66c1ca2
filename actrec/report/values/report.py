"""Everything on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from actrec.report.frames import Frame
from actrec.report.plane import Map
from actrec.report.values.effects import Contrast, Effect
from actrec.report.values.outcomes import ClassReport, Curve, Fit, Outcome, Panel, PrecisionRecall
from actrec.report.values.search import Search
from actrec.report.values.study import Data, Launch
from actrec.report.values.trials import Arm, Best, Status, Trial
from actrec.report.videos import BlockScore, Seen, Videos


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page. ``effects`` are on the study's own metric, ``further`` on the others.

    ``settings`` are the baseline's, nested as a trial's are. ``n_test`` is the number of test videos.
    ``focus`` are the arms that the figures show: all, or in a large study the most telling. Of a study with a
    ``search``, arms and what is said of them are of its last stage, where the baseline is the winner.
    """

    name: str
    metric: str
    trials: tuple[Trial, ...]
    arms: tuple[Arm, ...]
    focus: tuple[Arm, ...]
    effects: tuple[Effect, ...]
    further: tuple[Effect, ...]
    recalls: Mapping[tuple[str, int], Effect]  # arm and class → on the recall of the class
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
    search: Search | None = None
    problems: tuple[str, ...] = ()  # what was damaged in the ledger, a line each

    def count(self, status: Status) -> int:
        """The number of planned trials with this status."""
        return sum(trial.status == status for trial in self.trials if trial.planned)

    @property
    def seeds(self) -> list[int]:
        """The planned seeds of the arms in order."""
        return sorted({trial.seed for trial in self.trials if trial.is_compared})

    @property
    def looks(self) -> int:
        """At how many numbers of seeds arms are judged: p is multiplied by it, intervals have that level."""
        looks = self.study.get("looks")
        return looks if isinstance(looks, int) and looks > 0 else 1

    @property
    def planned(self) -> int:
        """The number of planned trials."""
        return sum(trial.planned for trial in self.trials)

    def effect(self, arm: str) -> Effect | None:
        """The arm's effect on the study's metric, where it has one."""
        return next((effect for effect in self.effects if effect.arm == arm), None)

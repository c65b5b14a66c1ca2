"""What the arms are found to do: effects, main effects, interactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ALPHA = 0.05  # an adjusted p up to this is a finding
ONE_SEED = "not judged (one seed)"  # the verdict where there is a difference and no noise to compare it with


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

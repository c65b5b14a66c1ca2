"""What the study is about and how it was run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actrec.data.counts import Undecodable


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

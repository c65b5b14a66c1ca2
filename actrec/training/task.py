"""What a trial is trained for, and what it says of each epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from actrec.errors import DataError


@dataclass(frozen=True, slots=True)
class Task:
    """The classes, and how many training videos each has.

    Raises:
        DataError: if the two differ in length, there is no class, or no training video.
    """

    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.class_names) != len(self.train_counts) or not sum(self.train_counts):
            raise DataError(
                f"{len(self.class_names)} classes with {len(self.train_counts)} training counts that sum "
                f"to {sum(self.train_counts)}: every class needs a count, and there must be a training video"
            )


@dataclass(frozen=True, slots=True)
class TrainStats:
    """One pass over the training clips, over all workers.

    Attributes:
        loss: the training loss, weighted and smoothed as the specification says.
        top1: fraction of clips whose class scored highest while training, augmentation and dropout on.
        lr: the learning rate of the last step.
        clips: how many clips were trained on.
        seconds: wall time of this worker.
    """

    loss: float
    top1: float
    lr: float
    clips: int
    seconds: float


@dataclass(frozen=True, slots=True)
class EpochStats:
    """An epoch, trained and validated.

    Attributes:
        epoch: counted from 1.
        train: what training measured.
        val: ``loss``, ``top1``, ``top5`` and ``macro_f1`` on the validation videos.
    """

    epoch: int
    train: TrainStats
    val: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        return cls(values["epoch"], TrainStats(**values["train"]), dict(values["val"]))

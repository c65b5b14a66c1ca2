"""How trials are trained, and whether that can be done and compared with what is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Any, Literal, Self

from actrec.engine.placement import Allocation
from actrec.errors import PlacementError, StudyError
from actrec.results.reader import Reader
from actrec.training.learner import Modes


@dataclass(frozen=True, slots=True)
class Conditions:
    """How trials are trained, beside their specification: the same for all that are compared.

    Several workers draw dropout and augmentation from generators of their own and normalise over their own
    part of a batch; a stream has another order; a GPU or a compiler another arithmetic. None in rows that do
    not say.

    The number of threads is not one of them: it is the order of sums, and so the last digits of a result, no
    more than what another processor changes. A study that is continued on a machine with other cores would
    have to be refused for it. It is recorded, and said: see :func:`threads_note`.
    """

    workers: int | None
    device: Literal["cpu", "cuda"] | None
    feed: Literal["cache", "stream"] | None
    compiled: bool | None
    sync_batchnorm: bool | None

    @classmethod
    def of(cls, allocation: Allocation, modes: Modes, *, stream: bool) -> Self:
        device: Literal["cpu", "cuda"] = "cuda" if allocation.gpus_per_worker else "cpu"
        feed: Literal["cache", "stream"] = "stream" if stream else "cache"
        return cls(allocation.workers, device, feed, modes.compiled, modes.sync_batchnorm)

    def contradicts(self, other: Conditions) -> bool:
        """Whether both say something, and not the same."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return any(one != another for one, another in pairs if one is not None and another is not None)

    def __str__(self) -> str:
        modes = ", compiled" * bool(self.compiled) + ", synchronised BatchNorm" * bool(self.sync_batchnorm)
        return f"{self.workers} worker(s) on {self.device} from the {self.feed}{modes}"


def check_alike(ledger: Reader, trial_ids: Collection[str], conditions: Conditions, study: str) -> None:
    """Trials that are compared must be trained alike.

    Args:
        trial_ids: of the plan of the study with the name ``study``.

    Raises:
        StudyError: if some in the ledger were trained under other conditions.
    """
    columns = [field.name for field in dataclasses.fields(Conditions)]
    for row in ledger.read("trials", columns=columns, trial_ids=trial_ids).to_pylist():
        earlier = Conditions(**{name: row[name] for name in columns})
        if earlier.contradicts(conditions):
            raise StudyError(
                f"earlier trials of {study!r} were trained with {earlier}, now it would be {conditions}: "
                "their results cannot be compared; use the same options, or --fresh"
            )


def threads_note(launches: Iterable[Mapping[str, Any]], digest: str, threads: int) -> str | None:
    """A sentence if the last launch on the data with this digest had another number of threads a worker.

    Args:
        launches: of ``study.json``; those of older versions do not say.
    """
    told = [launch["threads"] for launch in launches if launch["manifest"] == digest and "threads" in launch]
    if not told or told[-1] == threads:
        return None
    return (
        f"note: earlier trials had {told[-1]} thread(s) a worker, further ones have {threads}: run again, a "
        "trial would come to the same up to rounding, not to the last bit"
    )


def check_modes(modes: Modes, allocation: Allocation) -> None:
    """Torch synchronises batch statistics between GPUs alone.

    Raises:
        PlacementError: if that is asked for where there are none, or one worker.
    """
    if modes.sync_batchnorm and (allocation.workers < 2 or not allocation.gpus_per_worker):
        device = "GPU" if allocation.gpus_per_worker else "CPU"
        raise PlacementError(
            f"--sync-batchnorm with {allocation.workers} worker(s) a trial, each on a {device}: it needs "
            "--workers-per-trial of 2 or more, and a GPU for each (torch has none for CPUs)"
        )

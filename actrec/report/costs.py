"""What every arm cost, and which arms no other beats at their cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actrec.report.values import Arm

DEVICES = {"cpu": "CPU", "cuda": "GPU"}


@dataclass(frozen=True, slots=True)
class ArmCost:
    """An arm's finished trials in sum.

    Attributes:
        device: ``CPU`` or ``GPU``; empty where it is not recorded.
        seconds: of work, times the workers that shared it.
        each: the same by trial.
        clips: that went through the model in training; None where it is not recorded.
        joules: that the devices took; None unless they tell of every trial.
        accuracy: mean test top-1.
    """

    arm: Arm
    device: str
    seconds: float
    each: float
    clips: int | None
    joules: float | None
    accuracy: float | None


def arm_cost(arm: Arm) -> ArmCost | None:
    """What the arm cost; None where no finished trial has a time."""
    timed = [trial for trial in arm.finished if trial.seconds is not None]
    if not timed:
        return None
    seconds = sum(trial.work for trial in timed)
    device = next((t.conditions.device for t in timed if t.conditions), "")
    clips = [trial.clips_trained for trial in timed if trial.clips_trained is not None]
    joules = [trial.joules for trial in timed if trial.joules is not None]
    return ArmCost(
        arm=arm,
        device=DEVICES.get(device, device),
        seconds=seconds,
        each=seconds / len(timed),
        clips=sum(clips) if clips else None,
        joules=sum(joules) if len(joules) == len(timed) else None,  # a part would pass for the whole
        accuracy=arm.mean("test_top1"),
    )


def pareto_front(costs: Sequence[ArmCost]) -> list[ArmCost]:
    """The arms that no other matches or beats in accuracy at the same or a lower cost, the cheapest first."""
    front: list[ArmCost] = []
    for cost in sorted(costs, key=lambda cost: (cost.each, -(cost.accuracy or 0.0))):
        if cost.accuracy is not None and (not front or cost.accuracy > (front[-1].accuracy or 0.0)):
            front.append(cost)
    return front

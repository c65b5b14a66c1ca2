"""The few collective operations of a trial that several workers share; with one worker they do nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from actrec.errors import TrialError
from actrec.training.tally import Tally, merge

T = TypeVar("T")


def replicate(model: nn.Module, device: torch.device, world_size: int) -> nn.Module:
    """The model as training calls it: itself, or wrapped so that gradients are averaged over the workers.

    Raises:
        TrialError: if there are several workers and no process group of that size.
    """
    if world_size == 1:
        return model
    size = distributed.get_world_size() if distributed.is_initialized() else 0
    if size != world_size:
        raise TrialError(f"a trial of {world_size} workers needs a process group of that size, not {size}")
    if device.type == "cuda":
        torch.cuda.set_device(device)  # where all_gather_object puts what it sends
    # Each worker keeps its own running statistics through an epoch; see average_buffers.
    return DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        broadcast_buffers=False,
        gradient_as_bucket_view=True,
    )


def add_up(values: Tensor, world_size: int) -> Tensor:
    """Sums ``values`` over the workers, in place."""
    if world_size > 1:
        distributed.all_reduce(values)
    return values


def average_buffers(model: nn.Module, world_size: int) -> None:
    """Gives every worker the mean of all workers' running statistics, so that all evaluate one model."""
    if world_size == 1:
        return
    for buffer in model.buffers():
        if buffer.is_floating_point():
            distributed.all_reduce(buffer)
            buffer /= world_size


def from_first(make: Callable[[], T], rank: int, world_size: int) -> T:
    """What ``make`` gives on rank 0, on every worker."""
    if world_size == 1:
        return make()
    made: list[T | None] = [None if rank else make()]
    distributed.broadcast_object_list(made, src=0)
    (given,) = made
    assert given is not None
    return given


def union(tally: Tally, world_size: int) -> Tally:
    """Every worker's tally merged, on every worker."""
    if world_size == 1:
        return tally
    tallies: list[Tally] = [tally] * world_size
    distributed.all_gather_object(tallies, tally)
    return merge(tallies)

"""A worker setup for tests: one worker of a group has memory for small batches alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from actrec.engine.fleet import Handler
from actrec.engine.mailbox import Post
from actrec.engine.trainable import WorkerSetup
from actrec.training.learner import Learner


@dataclass(frozen=True)
class ShortOfMemory:
    """Makes the last worker ask for more than there is with every part of a batch above ``most`` clips."""

    setup: WorkerSetup
    most: int

    def __call__(self, rank: int, world_size: int, post: Post) -> Handler:
        plain = Learner.step

        def step(learner: Learner, inputs: torch.Tensor, *more: Any) -> torch.Tensor:
            if len(inputs) > self.most:
                torch.empty(2**50, dtype=torch.uint8)  # the allocator refuses, in its own words
            return plain(learner, inputs, *more)

        if rank == world_size - 1:
            Learner.step = step  # type: ignore[assignment, method-assign]
        return self.setup(rank, world_size, post)

"""A warm Ray Train run: workers that stay up from trial to trial and do what they are told.

With one worker, Ray Train's local mode runs the loop in a thread of the trial's own process: no further
process, no placement group, and a fault touches that trial alone. With several, a ``TorchTrainer`` keeps a
group of worker processes, which Ray Train restarts when one of them dies. The loop is the same.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.train import DataConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from actrec.engine.mailbox import Mailbox, Post, RemoteMailbox
from actrec.engine.messages import Failure
from actrec.engine.placement import Allocation
from actrec.engine.station import STALL_S
from actrec.errors import WorkerLostError

GROUP_RESTARTS = 3  # of a group whose workers die, before its trial's actor is given up
_POLL_S = 1.0


Handler = Callable[[Any], Any]
Setup = Callable[[int, int, Any], Handler]  # (rank, world size, post) → handler of commands


@dataclass(frozen=True, slots=True)
class _LoopConfig:
    """What Ray Train hands to every worker."""

    post: Any
    setup: Setup
    registry: ActorHandle[Any] | None = None
    owner: ActorHandle[Any] | None = None


def worker_loop(config: dict[str, Any]) -> None:
    """The one training loop, whatever the mode: take a command, do it, answer."""
    import ray.train

    loop: _LoopConfig = config["loop"]
    post: Post = loop.post
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    if loop.registry is not None and rank == 0:
        group = ray.util.get_current_placement_group()
        ray.get(loop.registry.register.remote(loop.owner, group))
    handler = loop.setup(rank, size, post)
    done = 0
    while True:
        taken = post.take(rank, done)
        if taken is None:
            continue
        done, command = taken
        if command is None:
            post.answer(rank, done, None, False)
            return
        value = handler(command)
        post.answer(rank, done, value, isinstance(value, Failure))
        if isinstance(value, Failure) and size > 1 and not value.alike:
            # The other workers may wait for this one in a collective that never comes. Ray Train starts
            # the whole group anew, and it waits for the next command.
            raise WorkerLostError(value.error)


@dataclass
class Fleet:
    """The workers of one trial actor. Started by the first command, kept until :meth:`stop`."""

    name: str
    allocation: Allocation
    setup: Setup
    storage: Path
    datasets: dict[str, Any] = field(default_factory=dict)
    registry: ActorHandle[Any] | None = None
    owner: ActorHandle[Any] | None = None
    stall_s: float = STALL_S
    _mailbox: Any = None
    _thread: threading.Thread | None = None
    _error: list[BaseException] = field(default_factory=list)

    def start(self) -> None:
        """Starts the workers in the background."""
        assert self._thread is None
        workers = self.allocation.workers
        alone = workers == 1
        self._mailbox = Mailbox(1) if alone else RemoteMailbox(workers)
        loop = _LoopConfig(
            self._mailbox, self.setup, None if alone else self.registry, None if alone else self.owner
        )
        resources = {"CPU": self.allocation.cpus_per_worker}
        if self.allocation.gpus_per_worker:
            resources["GPU"] = self.allocation.gpus_per_worker
        trainer = TorchTrainer(
            worker_loop,
            train_loop_config={"loop": loop},
            datasets=self.datasets,
            dataset_config=DataConfig(datasets_to_split="all"),
            scaling_config=ScalingConfig(num_workers=0)
            if alone
            else ScalingConfig(
                num_workers=workers,
                use_gpu=bool(self.allocation.gpus_per_worker),
                resources_per_worker=resources,
            ),
            run_config=RunConfig(
                name=self.name,
                storage_path=str(self.storage),
                failure_config=FailureConfig(max_failures=GROUP_RESTARTS),
            ),
        )

        def fit() -> None:
            try:
                trainer.fit()
            except BaseException as error:
                self._error.append(error)

        self._thread = threading.Thread(target=fit, name=f"train-{self.name}", daemon=True)
        self._thread.start()

    def ask(self, command: Any) -> dict[int, Any]:
        """Has every worker do ``command``; returns their answers by rank (one alone, if it is a Failure).

        Raises:
            WorkerLostError: if the workers ended, or gave no sign of life for ``stall_s`` seconds.
        """
        if self._thread is None:
            self.start()
        number = self._mailbox.post(command)
        while True:
            answers: dict[int, Any] | None = self._mailbox.collect(number, _POLL_S)
            if answers is not None:
                return answers
            # A dead group never answers: its death shows only in the thread that runs it.
            assert self._thread is not None
            if not self._thread.is_alive():
                why = self._error[-1] if self._error else "they ended early"
                raise WorkerLostError(f"the training workers are gone: {why}")
            if self._mailbox.silence() > self.stall_s:
                raise WorkerLostError(f"the training workers gave no sign of life for {self.stall_s:.0f} s")

    def stop(self) -> None:
        """Ends the workers, and waits a little for them to go."""
        if self._thread is None:
            return
        with contextlib.suppress(ray.exceptions.RayError):
            self._mailbox.post(None)
        self._thread.join(timeout=10)
        self._thread = None

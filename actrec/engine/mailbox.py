"""How a trial's actor and its training workers talk: one command at a time, one answer a worker.

The same class serves both ways of running. With one worker it is shared between two threads of one process;
with several it lives in a Ray actor of its own, whose methods run in threads.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol

import ray

WAIT_S = 5.0  # a worker that waits for a command asks again so often, and can be ended in between


class Post(Protocol):
    """What a worker sees of a mailbox."""

    def take(self, rank: int, after: int) -> tuple[int, Any] | None: ...
    def answer(self, rank: int, number: int, value: Any, final: bool) -> None: ...
    def beat(self, rank: int) -> None: ...


class Mailbox:
    """Commands are numbered. The current one is over when every worker has answered, or one has given a final
    answer that ends it for all.

    A worker that starts anew in the middle of a command takes that command again; one that starts after it
    waits for the next, so nothing is ever replayed.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._changed = threading.Condition()
        self._number = 0
        self._over = 0
        self._command: Any = None
        self._answers: dict[int, Any] = {}
        self._beat: float | None = None  # of the current command

    def post(self, command: Any) -> int:
        """Makes ``command`` the current one and returns its number."""
        with self._changed:
            self._number += 1
            self._command, self._answers = command, {}
            self._beat = None
            self._changed.notify_all()
            return self._number

    def take(self, rank: int, after: int) -> tuple[int, Any] | None:
        """The current command, once it is newer than ``after`` and not over; None if that takes too long."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > max(after, self._over), WAIT_S)
            if self._number <= max(after, self._over):
                return None
            self._beat = time.monotonic()
            return self._number, self._command

    def answer(self, rank: int, number: int, value: Any, final: bool) -> None:
        """A worker's answer to command ``number``; one that comes too late is dropped."""
        with self._changed:
            if number != self._number or number <= self._over:
                return
            self._answers[rank] = value
            if final:
                self._answers = {rank: value}
            if final or len(self._answers) == self._workers:
                self._over = number
            self._changed.notify_all()

    def collect(self, number: int, timeout: float) -> dict[int, Any] | None:
        """The answers to command ``number`` by rank, or None if it is not over within ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._over >= number, timeout)
            return dict(self._answers) if self._over >= number else None

    def beat(self, rank: int) -> None:
        """A sign of life from a worker that is busy."""
        self._beat = time.monotonic()

    def silence(self) -> float:
        """Seconds since a worker's last sign of life at the current command; 0 until one has taken it, since
        the start of a group has a limit of its own, Ray Train's."""
        return 0.0 if self._beat is None else time.monotonic() - self._beat


class RemoteMailbox:
    """A mailbox in an actor of its own, with the same methods. Ends with its last handle."""

    def __init__(self, workers: int) -> None:
        # A worker's take, the owner's collect and everybody's short calls, all at once, with room to spare.
        actor = ray.remote(Mailbox).options(num_cpus=0, max_concurrency=2 * workers + 8)
        self._actor: Any = actor.remote(workers)

    def post(self, command: Any) -> int:
        return int(self._call("post", command))

    def take(self, rank: int, after: int) -> tuple[int, Any] | None:
        taken: tuple[int, Any] | None = self._call("take", rank, after)
        return taken

    def answer(self, rank: int, number: int, value: Any, final: bool) -> None:
        self._call("answer", rank, number, value, final)

    def collect(self, number: int, timeout: float) -> dict[int, Any] | None:
        answers: dict[int, Any] | None = self._call("collect", number, timeout)
        return answers

    def beat(self, rank: int) -> None:
        self._actor.beat.remote(rank)  # nobody waits for it

    def silence(self) -> float:
        return float(self._call("silence"))

    def _call(self, method: str, *arguments: Any) -> Any:
        answer: Any = ray.get([getattr(self._actor, method).remote(*arguments)])
        return answer[0]

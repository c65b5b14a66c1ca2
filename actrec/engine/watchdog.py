"""Ends a process whose training thread hangs.

The trial's actor notices a silent worker and says so (:meth:`actrec.engine.fleet.Fleet.ask`). But that alone
cannot end a thread that is stuck in C, and where such a thread holds Python's lock, nothing in Python ever
notices. So each worker also sets an alarm, which a thread outside Python watches: should it go off, every
thread's stack is written to the worker's log, and the process ends as if it had been killed.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager

GRACE_S = 30.0  # for the orderly way, which gives the reason
_STDERR = 2  # the descriptor: Ray redirects it to the worker's log


@contextmanager
def watching(stall_s: float) -> Iterator[None]:
    """Ends this process if ``stall_s`` and a grace pass without :func:`alive`, until the block is left."""
    alive(stall_s)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def alive(stall_s: float) -> None:
    """Sets the alarm anew."""
    faulthandler.dump_traceback_later(stall_s + GRACE_S, exit=True, file=_STDERR)

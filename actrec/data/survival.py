"""Whether a process survives a call: a decoder may crash on a file instead of raising."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def survives(call: Callable[..., object], *args: Any) -> bool:
    """Makes the call in a process of its own, which costs seconds to start, and tells whether it lived.

    Args:
        call: a function of a module; an exception that it raises is no crash.
    """
    process = multiprocessing.get_context("spawn").Process(target=_attempt, args=(call, *args))
    process.start()
    process.join()
    return process.exitcode == 0


def _attempt(call: Callable[..., object], *args: Any) -> None:
    with suppress(Exception):
        call(*args)

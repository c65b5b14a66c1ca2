"""Whose fault an error is, in a training worker, and how it is told. No Ray in here."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import torch

import actrec
from actrec.errors import ActrecError, DivergedError

_OURS = Path(actrec.__file__).parent
_COLOUR = re.compile(r"\x1b\[\d+m")
# How torch words it where it raises a plain RuntimeError: its CPU allocator; CUDA beside its allocator;
# cuBLAS; oneDNN, which needs memory for the code that it makes.
_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "could not create a primitive",
)


def lost_peer(error: Exception) -> bool:
    """Whether a collective operation broke because another worker ended.

    Gloo says so with a plain RuntimeError, which names its own source files.
    """
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def lost_device(error: Exception) -> bool:
    """Whether a CUDA call failed in a way that leaves the process without its GPU; out of memory does not."""
    if out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    )


def out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed, on a GPU or on the host."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _MEMORY)


def told(error: Exception, *, batch_size: int | None = None) -> str:
    """What is told of a trial's fault, in one line. One that nobody foresaw names the place in our code.

    Args:
        batch_size: of the trial, once it has begun.
    """
    if isinstance(error, DivergedError):
        message = f"diverged: {error}"
    elif isinstance(error, ActrecError):
        message = str(error)
    elif out_of_memory(error):
        asked = re.search(r"tried to allocate ([\d.]+ \w+)", str(error), re.IGNORECASE)
        where = "before the first batch" if batch_size is None else f"at batch size {batch_size}"
        why = f"{asked[1]} more could not be had" if asked else str(error).partition("\n")[0]
        message = f"out of memory {where}: {why}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        last = [frame for frame in frames if Path(frame.filename).is_relative_to(_OURS)][-1]
        place = f"{Path(last.filename).relative_to(_OURS.parent)}:{last.lineno} in {last.name}"
        words = _COLOUR.sub("", str(error))  # Ray's
        message = f"{type(error).__name__}: {words} ({place})"
    return " ".join(message.split())

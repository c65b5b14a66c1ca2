"""What the benchmarks share: how they are called, where they work, the one JSON object that they print."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The arguments of a benchmark; ``--quick`` does less of the same."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="fewer repetitions: a rougher figure, sooner")
    return made


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for one run, with a clip cache of its own in it."""
    with tempfile.TemporaryDirectory(prefix="actrec-bench-", ignore_cleanup_errors=True) as folder:
        os.environ["ACTREC_CACHE"] = str(Path(folder) / "cache")
        yield Path(folder)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    from actrec.engine.provenance import hardware  # here: the table itself needs neither torch nor Ray

    known = hardware((), "")
    return {
        "cpus": CORES,
        "processor": known["processor"],
        "memory_gib": known["memory_gib"],
        "gpu": known["gpu"],
        "system": platform.platform(),
    }


def emit(figures: Mapping[str, Any]) -> None:
    """Prints the result, floats to four significant digits."""
    print(json.dumps({**_rounded(figures), "machine": machine()}), flush=True)


def per_trial(ends: Sequence[float], side_by_side: int) -> float:
    """Seconds that a further trial takes, from when each ended: the start-up falls out.

    The first ``side_by_side`` began together and so end together; they count as the beginning.
    """
    ordered = sorted(ends)
    assert len(ordered) > side_by_side
    return (ordered[-1] - ordered[side_by_side - 1]) / (len(ordered) - side_by_side)


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value

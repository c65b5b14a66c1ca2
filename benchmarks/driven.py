"""Drivers that benchmarks kill: each a process of its own, with a Ray of its own, told apart by a mark."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.gate import Gate

MARK = "ACTREC_BENCH_HOME"  # in the environment of every process that such a driver starts, Ray's among them


@dataclass(frozen=True)
class Home:
    """A short path: Ray's sockets lie below it. Holds a driver's Ray, its clip cache and its log."""

    folder: Path

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts a driver. Ctrl-C for the benchmark does not reach it."""
        own = self.gate.environment() | {
            MARK: str(self.folder),
            "RAY_TMPDIR": str(self.folder),
            "ACTREC_CACHE": str(self.folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, env=os.environ | own, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def gate(self) -> Gate:
        """In front of every epoch of its drivers."""
        return Gate(self.folder / "gate")

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def processes(self, title: str = "") -> list[psutil.Process]:
        """What runs of this home, by process id; only what has ``title`` in the first word of its command."""
        return sorted(self._found(title), key=lambda process: process.pid)

    def _found(self, title: str) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words = process.cmdline()
                if words and title in words[0] and process.environ().get(MARK) == str(self.folder):
                    yield process

    def left(self, limit_s: float = 60) -> list[str]:
        """The commands of what still runs, once nothing does or after ``limit_s``."""
        wait(lambda: not self.processes(), limit_s)
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                found.append(" ".join(process.cmdline())[:80])
        return found

    def clear(self) -> None:
        """Ends whatever still runs."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()


def wait(met: Callable[[], bool], limit_s: float) -> bool:
    """Waits until ``met()``, at most ``limit_s`` seconds; tells whether it came to that."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if met():
            return True
        time.sleep(0.1)
    return met()

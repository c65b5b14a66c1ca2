"""A real disk of a few bytes, for tests that fill it."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A file system in memory, of fixed size."""

    folder: Path

    def fill(self) -> None:
        """Leaves no room on it."""
        with (self.folder / ".ballast").open("wb", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(4096))

    def make_room(self) -> None:
        (self.folder / ".ballast").unlink()


def mount(folder: Path, size: int) -> Disk:
    """Makes ``folder`` a disk of ``size`` bytes; skips the test where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    return Disk(folder)


def unmount(disk: Disk) -> None:
    subprocess.run(["umount", "--lazy", str(disk.folder)], check=True)

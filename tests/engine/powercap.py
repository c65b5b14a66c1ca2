"""A folder like Linux's ``/sys/class/powercap``, for tests that set its counts by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from actrec.engine import energy
from actrec.engine.fleet import Handler
from actrec.engine.mailbox import Post
from actrec.engine.trainable import WorkerSetup

LIMIT = 1000.0  # joules


def zone(root: Path, name: str, kind: str, joules: float = 0.0) -> Path:
    """Makes a zone, e.g. ``intel-rapl:0`` of kind ``package-0``."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{kind}\n")
    (folder / "max_energy_range_uj").write_text(f"{LIMIT * 1e6:.0f}\n")
    count(folder, joules)
    return folder


def count(folder: Path, joules: float) -> None:
    """Sets a zone's count."""
    (folder / "energy_uj").write_text(f"{joules * 1e6:.0f}\n")


@dataclass(frozen=True)
class Counted:
    """Makes workers that find the counts of their CPUs in ``root``."""

    setup: WorkerSetup
    root: Path

    def __call__(self, rank: int, world_size: int, post: Post) -> Handler:
        energy.POWERCAP = self.root
        return self.setup(rank, world_size, post)

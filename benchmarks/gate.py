"""A gate in front of every epoch, so that a fault strikes a sweep however fast the machine is.

Without it whoever kills a sweep races it, and on a quick machine the sweep wins. A driver started with
:meth:`Gate.environment` gets workers that look at the gate before each epoch and wait while it is closed;
nothing else about them changes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actrec.files import replacing
from actrec.results.ledger import Ledger
from actrec.training.batch import Batch
from actrec.training.task import TrainStats
from actrec.training.trial import TrialRun

FILE = "ACTREC_BENCH_GATE"
POLL_S = 0.02


@dataclass(frozen=True)
class Gate:
    """``file`` says where the gate is closed; without it, it is open."""

    file: Path

    def environment(self) -> dict[str, str]:
        """For the process of a driver. Ray calls :func:`hook` there, and :func:`install` in every worker."""
        return {"RAY_RUNTIME_ENV_HOOK": f"{__name__}.hook", FILE: str(self.file)}

    def close(self, out: Path, ended: int) -> None:
        """No epoch begins once ``ended`` trials of the study in ``out`` have a row.

        Trials that are in their last epoch then still end: at most as many as run side by side, less one.
        """
        with replacing(self.file, durable=False) as aside:
            aside.write_text(json.dumps([str(out), ended]))

    def open(self) -> None:
        self.file.unlink(missing_ok=True)

    def closed(self) -> bool:
        """Whether an epoch that would begin now has to wait."""
        try:
            out, ended = json.loads(self.file.read_text())
        except FileNotFoundError:
            return False
        return len(Ledger(out).done()) >= int(ended)


def hook(runtime_env: dict[str, Any] | None) -> dict[str, Any]:
    """The driver's runtime environment with the gate in it."""
    gate = Gate(Path(os.environ[FILE]))
    # No functools.partial: Ray asks a hook for its name, which that has not.
    return {**(runtime_env or {}), "worker_process_setup_hook": lambda: install(gate)}


def install(gate: Gate) -> None:
    """Puts the gate into this process."""
    plain = TrialRun.train_epoch

    def train_epoch(run: TrialRun, batches: Iterable[Batch], *, steps: int) -> TrainStats:
        while gate.closed():
            time.sleep(POLL_S)
        return plain(run, batches, steps=steps)

    TrialRun.train_epoch = train_epoch  # type: ignore[assignment, method-assign]

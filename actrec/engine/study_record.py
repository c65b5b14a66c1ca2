"""What one launch writes into ``study.json``, anew at every step: it is known then whatever happens next."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from actrec.data.manifest import Manifest
from actrec.engine import provenance
from actrec.engine.conditions import threads_note
from actrec.engine.placement import Allocation
from actrec.engine.prepare import Supply
from actrec.results.files import write_json
from actrec.results.ledger import Ledger
from actrec.study.factors import Study
from actrec.study.rounds import Round


class StudyRecord:
    """The ``study.json`` of one launch, in the ledger's folder.

    Args:
        supply: tells what was decoded and shared.
        earlier: what the file held before this launch.
    """

    def __init__(
        self, study: Study, manifest: Manifest, ledger: Ledger, supply: Supply, earlier: Mapping[str, Any]
    ) -> None:
        self._study, self._digest = study, manifest.digest
        self._ledger, self._supply, self._earlier = ledger, supply, earlier
        self._started = time.monotonic()
        self._data = provenance.data_record(study, manifest)
        self._run: dict[str, Any] = {}
        self._threads = 0  # of each worker, once trials run

    @property
    def runs(self) -> bool:
        """Whether anything runs in this launch: see :meth:`begin`."""
        return bool(self._run)

    def begin(self, nodes: Sequence[dict[str, float]], allocation: Allocation) -> str | None:
        """From here on trials run, on a cluster of such nodes, and the launch is part of the record.

        Returns:
            A sentence if the number of threads is not that of the launch before.
        """
        self._run = provenance.run_record() | {"hardware": provenance.hardware(nodes, str(allocation))}
        self._threads = allocation.threads
        return threads_note(self._earlier.get("launches", []), self._digest, self._threads)

    def write(self, now: Round, *, ended: bool = False) -> None:
        """Writes the file anew, with the study as it is ``now``.

        Raises:
            LedgerError: if another has claimed the folder, or it cannot be written to.
        """
        self._ledger.check_owner()
        if now.growing is not None:
            now = dataclasses.replace(now, trials=tuple(now.growing.trials))
        plan_part = provenance.plan_record(self._study, now, self._data)
        run_part, launch = dict(self._run), None
        if run_part:
            seconds = round(time.monotonic() - self._started, 1)
            filled = self._supply.filled
            started = run_part["started"]
            launch = provenance.launch_record(started, seconds, self._digest, filled, self._threads)
            run_part["sharing"] = {
                "lines": self._supply.decisions,
                "prefix_forwards": self._supply.forwards,
                "prefixes": self._supply.shares,
            }
            if ended:
                run_part["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
        record = provenance.joined_record(self._earlier, plan_part, run_part, launch)
        write_json(self._ledger.folder / "study.json", record)

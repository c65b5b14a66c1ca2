"""Looking at a study's folder again and again, while another process writes into it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from actrec.engine.progress import read_news
from actrec.errors import LedgerError
from actrec.report.record import read_study
from actrec.report.watch.snapshot import Driver, Snapshot, metrics, snapshot
from actrec.results.ledger import RESULTS
from actrec.results.lock import MISSED, heartbeat, read_owner
from actrec.results.reader import Reader
from actrec.results.schema import TABLES

REFRESH_S = 2.0  # between two looks, and at least four times as long as a look takes
FAILURES = 5  # of reading in a row, before it is more than bad luck
_COLUMNS = ("trial_id", "arm", "seed", "fold", "stage", "status", "error", "seconds", "ended")


class Watch:
    """Looks at one study's folder again and again. Changes nothing in it.

    Attributes:
        latest: the last snapshot.

    Raises:
        LedgerError: if there is no study in ``folder``, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._results = folder, Reader(folder)
        self._sign, self._seen = b"", 0.0
        if not any((folder / name).exists() for name in (*RESULTS, "owner.json")):
            raise LedgerError(f"{folder} holds no study: neither study.json nor a trial")
        try:
            self.latest = self._read()
        except LedgerError:  # folded together meanwhile: what was just here lies elsewhere now
            self.latest = self._read()
        self._failed = 0

    def look(self) -> Snapshot:
        """The study now. Where reading fails it is as it was: the driver may be moving what is read.

        Raises:
            LedgerError: if reading fails time after time.
        """
        try:
            self.latest = self._read()
            self._failed = 0
        except LedgerError:
            self._failed += 1
            if self._failed > FAILURES:
                raise
        return self.latest

    def follow(self, pause: Callable[[float], None] = time.sleep) -> Iterator[Snapshot]:
        """Looks every ``REFRESH_S`` seconds, until the driver has ended. The last snapshot is of that."""
        while True:
            began = time.monotonic()
            found = self.look()
            yield found
            if found.state != "running":
                return
            pause(max(REFRESH_S, 4 * (time.monotonic() - began)))

    def _read(self) -> Snapshot:
        driver, news = self._driver(), read_news(self._folder)
        study = read_study(self._folder)
        columns = [name for name in (*_COLUMNS, *metrics(study)) if name in TABLES["trials"].names]
        rows = self._results.read("trials", columns=list(dict.fromkeys(columns))).to_pylist()
        name = self._folder.resolve().name
        return snapshot(name, study, rows, news, driver, datetime.now(UTC))

    def _driver(self) -> Driver:
        owner = read_owner(self._folder)
        if owner is None:
            return "none"
        lives = owner.lives()
        if lives is None:  # on another machine: its heartbeat is measured with our clock alone
            sign = heartbeat(self._folder)
            if sign != self._sign:
                self._sign, self._seen = sign, time.monotonic()
            lives = time.monotonic() - self._seen < MISSED * owner.beat_s
        return "alive" if lives else "gone"

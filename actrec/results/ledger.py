"""What has been done, on disk: the truth for resuming and for the report.

::

    <folder>/owner.json, heartbeat                        who may write: see lock.py
             parts/<trial_id>                             one file a finished trial: see part.py
             {trials,epochs,predictions}.parquet          the same, folded together by compact()
             old-<time>-<n>/                              earlier results that --fresh set aside
             damaged/                                     parts that could not be read

Every step is safe to be killed in, by how reader.py reads what is there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from actrec.errors import LedgerError
from actrec.files import ASIDE, discard
from actrec.results import parquet, part
from actrec.results.files import move, replacing
from actrec.results.lock import BEAT_S, Lock, Say
from actrec.results.reader import LEDGER_TABLES, Reader, ids_of
from actrec.results.schema import TABLES, Rows, of_trial, table

# In this order, so that rows of a half-moved study have lost their trials first and no longer count.
RESULTS = (
    "trials.parquet",
    "parts",
    "epochs.parquet",
    "predictions.parquet",
    "effects.parquet",
    "contrasts.parquet",
    "study.json",
)


class Ledger(Reader):
    """The results of one study in one folder, to be read and, after :meth:`claim`, written."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self._lock = Lock(self.folder)

    def claim(self, say: Say = lambda _: None, *, beat_s: float = BEAT_S) -> str:
        """Makes this ledger the only writer until :meth:`release`, and clears up what a killed one left.

        Args:
            say: is told if it has to be watched whether an owner on another machine is alive.
            beat_s: seconds between two signs of life of this one.

        Returns:
            The token of the ownership. Whoever owned the folder before can no longer append.

        Raises:
            LedgerError: while another process owns the folder, or if it cannot be written to.
        """
        token = self._lock.take(say, beat_s)
        for left in [*self.folder.glob(f"{ASIDE}*"), *(self.folder / "parts").glob(f"{ASIDE}*")]:
            discard(left)
        return token

    def release(self) -> None:
        """Lets the next one claim the folder without waiting. Never raises."""
        self._lock.release()

    def owner(self) -> str | None:
        """The token of whoever may write now; None where nobody has claimed the folder."""
        return self._lock.owner()

    def is_mine(self) -> bool:
        """Whether this ledger owns its folder."""
        return self._lock.is_mine()

    def check_owner(self) -> None:
        """For whoever writes into the folder beside the ledger, before each change.

        Raises:
            LedgerError: if another has claimed the folder, or this ledger never has.
        """
        if not self._lock.taken:
            raise LedgerError(f"claim() the ledger in {self.folder} before writing to it")
        if not self.is_mine():
            raise LedgerError(f"another run has taken over {self.folder}: this one may no longer write there")

    def append(self, trial: Mapping[str, Any], epochs: Rows, predictions: Rows) -> None:
        """Adds one trial, wholly or not at all; it replaces an earlier row of the same trial.

        Args:
            trial: a row of ``trials``.
            epochs, predictions: rows of those tables; their ``trial_id`` is filled in where it is missing.

        Raises:
            LedgerError: if another has claimed the folder, on rows that do not fit the schema, or if they
                cannot be written (the folder and the reason are named, and nothing is left half-written).
        """
        self.check_owner()
        name = str(trial.get("trial_id"))
        if not name.isalnum():
            raise LedgerError(f"trial_id {name!r}: must be letters and digits (it names a file)")
        tables = {
            "trials": table("trials", [trial]),
            "epochs": of_trial("epochs", epochs, name),
            "predictions": of_trial("predictions", predictions, name),
        }
        with self._replacing(self.folder / "parts" / name) as aside:
            part.write(aside, tables)

    def compact(self) -> None:
        """Folds the parts into one file a table, and sets aside damaged ones.

        Safe to be killed anywhere: see the rules in :mod:`actrec.results.reader`.

        Raises:
            LedgerError: as :meth:`append`; if another version of the tables wrote what is there.
        """
        self.check_owner()
        names = self._part_names()
        if not names:
            return
        folded: set[str] = set()
        with ExitStack() as stack:
            add = {}
            # trials, the first, is replaced last: until then the parts alone speak for their trials.
            for key in LEDGER_TABLES:
                aside = stack.enter_context(self._replacing(self.folder / f"{key}.parquet"))
                add[key] = stack.enter_context(parquet.writing(aside, TABLES[key]))
            for tables in self._joined(names):
                folded.update(ids_of(tables["trials"]))
                for key, rows in tables.items():
                    add[key](rows)
            for key in LEDGER_TABLES:
                for piece in self._compacted(key, without=folded):
                    add[key](piece)
        for name in names:
            path = self.folder / "parts" / name
            if name in folded:
                discard(path)
            elif path.exists():
                move(path, _unused(self.folder / "damaged", name))

    def set_aside(self, *also: str) -> Path | None:
        """Moves earlier results into a new folder ``old-<time>-<n>``; nothing is deleted.

        Args:
            also: names of further files and folders of the study, e.g. ``index.html``.

        Returns:
            The new folder, or None where there was nothing to move.

        Raises:
            LedgerError: if they cannot be moved.
        """
        names = [name for name in (*RESULTS, *also) if (self.folder / name).exists()]
        if not names:
            return None
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        old = _unused(self.folder, f"old-{stamp}")
        for name in names:
            move(self.folder / name, old / name)
        return old

    @contextmanager
    def _replacing(self, path: Path) -> Iterator[Path]:
        with replacing(path) as aside:
            yield aside
            self.check_owner()  # again: writing took a while


def _unused(folder: Path, stem: str) -> Path:
    """The first of ``folder/stem-1``, ``-2``, … that does not exist."""
    return next(path for n in itertools.count(1) if not (path := folder / f"{stem}-{n}").exists())

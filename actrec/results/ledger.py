"""What has been done, on disk: the truth for resuming and for the report.

::

    <folder>/owner.json, heartbeat                        who may write: see lock.py
             parts/<trial_id>/{trials,epochs,predictions}.parquet   one folder a finished trial
             {trials,epochs,predictions}.parquet          the same, folded together by compact()
             old-<time>-<n>/                              earlier results that --fresh set aside
             damaged/                                     parts that could not be read

Two rules make every step safe to be killed in: a trial that has a part is read from its part alone, and a row
counts only if its trial has a row in ``trials``.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from actrec.errors import LedgerError
from actrec.fields import unknown
from actrec.files import ASIDE, discard
from actrec.results import parquet
from actrec.results.files import move, move_into, replacing
from actrec.results.lock import BEAT_S, Lock, Say
from actrec.results.schema import OK, TABLES, Rows, of_trial, subset, table

LEDGER_TABLES = ("trials", "epochs", "predictions")
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
GROUP_ROWS = 65_536  # of a row group of a compacted file


class Ledger:
    """The results of one study in one folder. Reading changes nothing on disk; writing needs :meth:`claim`.

    Attributes:
        folder: where it is.
        problems: what was found damaged so far, a line each.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.problems: list[str] = []
        self._lock = Lock(self.folder)
        self._sound: set[str] = set()  # parts whose every page was read once and found whole

    # -- writing ------------------------------------------------------------------------------------------

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
        for name in self._part_names():
            try:
                sound = self._is_sound(name)
            except LedgerError:  # of another version, not damaged: read() says so, set_aside() can move it
                continue
            if not sound:
                move(self.folder / "parts" / name, _unused(self.folder / "damaged", name))
        return token

    def release(self) -> None:
        """Lets the next one claim the folder without waiting. Never raises."""
        self._lock.release()

    def owner(self) -> str | None:
        """The token of whoever may write now; None where nobody has claimed the folder."""
        return self._lock.owner()

    def append(self, trial: Mapping[str, Any], epochs: Rows, predictions: Rows) -> None:
        """Adds one trial, wholly or not at all; it replaces an earlier row of the same trial.

        Args:
            trial: a row of ``trials``.
            epochs, predictions: rows of those tables; their ``trial_id`` is filled in where it is missing.

        Raises:
            LedgerError: if another has claimed the folder, on rows that do not fit the schema, or if they
                cannot be written (the folder and the reason are named, and nothing is left half-written).
        """
        self._check_owner()
        name = str(trial.get("trial_id"))
        if not name.isalnum():
            raise LedgerError(f"trial_id {name!r}: must be letters and digits (it names a folder)")
        tables = {
            "trials": table("trials", [trial]),
            "epochs": of_trial("epochs", epochs, name),
            "predictions": of_trial("predictions", predictions, name),
        }
        final = self.folder / "parts" / name
        with replacing(final) as aside:
            aside.mkdir()
            for key, rows in tables.items():
                # zstd would spend three times as long on so few rows; compact() uses it.
                parquet.write(aside / f"{key}.parquet", [rows], rows.schema, compression="lz4")
            self._check_owner()  # again: writing took a while
            if final.exists():  # a folder cannot replace one that is not empty
                earlier = _unused(final.parent, f"{ASIDE}{name}")
                move(final, earlier)
                discard(earlier)
        self._sound.add(name)

    def compact(self) -> None:
        """Folds the parts into one file a table. Safe to be killed anywhere: see the rules above.

        Raises:
            LedgerError: as :meth:`append`.
        """
        self._check_owner()
        parts = self._parts()
        if not parts:
            return
        for name in reversed(LEDGER_TABLES):  # trials last: until then the parts alone speak for their trials
            with replacing(self.folder / f"{name}.parquet") as aside:
                parquet.write(aside, self._pieces(name), TABLES[name], group_rows=GROUP_ROWS)
        # Renamed first, so that a part is never seen without one of its files.
        aside = _unused(self.folder / "parts", f"{ASIDE}folded")
        move_into(aside, [self.folder / "parts" / part for part in parts])
        discard(aside)

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
        self._sound.clear()
        return old

    # -- reading ------------------------------------------------------------------------------------------

    def read(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        trial_ids: Collection[str] | None = None,
    ) -> pa.Table:
        """One of the tables, each trial once: the compacted ones first, then the parts by trial id.

        Args:
            name: ``trials``, ``epochs`` or ``predictions``.
            columns: which columns; None: all.
            trial_ids: which trials; None: all. Nothing else is loaded.

        Raises:
            LedgerError: on an unknown table or column, another schema, or a damaged compacted file.
        """
        if name not in LEDGER_TABLES:
            raise LedgerError(unknown("table", name, LEDGER_TABLES))
        empty = subset(name, columns).empty_table()
        return pa.concat_tables([empty, *self._pieces(name, columns, trial_ids)])

    def pieces(self, name: str, *, columns: Sequence[str], trial_ids: Collection[str]) -> Iterator[pa.Table]:
        """As :meth:`read`, a bounded number of rows at a time: for what does not fit into memory."""
        return self._pieces(name, columns, trial_ids)

    def finished(self) -> set[str]:
        """The ids of the trials that are ok."""
        rows = self.read("trials", columns=["trial_id", "status"]).to_pylist()
        return {row["trial_id"] for row in rows if row["status"] == OK}

    def done(self) -> set[str]:
        """The ids of all trials that have a row, failed ones too."""
        return {row["trial_id"] for row in self.read("trials", columns=["trial_id"]).to_pylist()}

    # -- inside -------------------------------------------------------------------------------------------

    def _check_owner(self) -> None:
        if not self._lock.taken:
            raise LedgerError(f"claim() the ledger in {self.folder} before writing to it")
        if not self._lock.is_mine():
            raise LedgerError(f"another run has taken over {self.folder}: this one may no longer write there")

    def _part_names(self) -> list[str]:
        names = (path.name for path in (self.folder / "parts").glob("*"))
        return sorted(name for name in names if not name.startswith(ASIDE))

    def _parts(self) -> list[str]:
        """The trials that have a sound part."""
        return [name for name in self._part_names() if self._is_sound(name)]

    def _is_sound(self, name: str) -> bool:
        """Reads every page of a part once. What is wrong with it goes to ``problems``.

        Raises:
            LedgerError: if another version of the tables wrote it.
        """
        if name not in self._sound:
            why = self._damage(name)
            if why is not None:
                problem = f"parts/{name} cannot be read and does not count: {why}"
                if problem not in self.problems:
                    self.problems.append(problem)
                return False
            self._sound.add(name)
        return True

    def _damage(self, name: str) -> str | None:
        """What is wrong with a part; None if nothing is."""
        for key in LEDGER_TABLES:
            path = self.folder / "parts" / name / f"{key}.parquet"
            try:
                ids = [row for piece in parquet.scan(path, key) for row in piece["trial_id"].to_pylist()]
            except parquet.Damaged as error:
                return str(error)
            if set(ids) - {name} or (key == "trials" and len(ids) != 1):
                return f"{path.name} has the rows of other trials"
        return None

    def _pieces(
        self, name: str, columns: Sequence[str] | None = None, trial_ids: Collection[str] | None = None
    ) -> Iterator[pa.Table]:
        """The rows of one table, a bounded piece at a time."""
        parts = self._parts()
        keep = self._compacted() - set(parts)
        if trial_ids is not None:
            keep &= set(trial_ids)
            parts = sorted(set(parts) & set(trial_ids))
        if keep:
            yield from parquet.scan(self.folder / f"{name}.parquet", name, columns, keep)
        for part in parts:
            yield from parquet.scan(self.folder / "parts" / part / f"{name}.parquet", name, columns)

    def _compacted(self) -> set[str]:
        """The trials of ``trials.parquet``."""
        path = self.folder / "trials.parquet"
        if not path.exists():
            return set()
        pieces = parquet.scan(path, "trials", ["trial_id"])
        return {str(key) for piece in pieces for key in piece["trial_id"].to_pylist()}


def _unused(folder: Path, stem: str) -> Path:
    """The first of ``folder/stem-1``, ``-2``, … that does not exist."""
    return next(path for n in itertools.count(1) if not (path := folder / f"{stem}-{n}").exists())

"""What has been done, on disk: the truth for resuming and for the report.

::

    <folder>/owner.json, heartbeat                        who may write: see lock.py
             parts/<trial_id>                             one file a finished trial: see part.py
             {trials,epochs,predictions}.parquet          the same, folded together by compact()
             old-<time>-<n>/                              earlier results that --fresh set aside
             damaged/                                     parts that could not be read

Two rules make every step safe to be killed in: a trial that has a part is read from its part alone, and a row
counts only if its trial has a row in ``trials``.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from actrec.errors import LedgerError
from actrec.fields import unknown
from actrec.files import ASIDE, discard
from actrec.results import parquet, part
from actrec.results.files import move, replacing
from actrec.results.lock import BEAT_S, Lock, Say
from actrec.results.schema import OK, TABLES, Rows, of_trial, subset, table

LEDGER_TABLES = part.PART_TABLES
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
ROWS_AT_ONCE = 16_384  # of parts, held in memory to be joined


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

        Safe to be killed anywhere: see the rules above.

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
                folded.update(_ids(tables["trials"]))
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

    # -- reading ------------------------------------------------------------------------------------------

    def read(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        trial_ids: Collection[str] | None = None,
    ) -> pa.Table:
        """One of the tables, each trial once, in no order to rely on. The owner may write meanwhile.

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
        return set(_ids(self.read("trials", columns=["trial_id"])))

    # -- inside -------------------------------------------------------------------------------------------

    @contextmanager
    def _replacing(self, path: Path) -> Iterator[Path]:
        with replacing(path) as aside:
            yield aside
            self.check_owner()  # again: writing took a while

    def _part_names(self) -> list[str]:
        names = (path.name for path in (self.folder / "parts").glob("*"))
        return sorted(name for name in names if not name.startswith(ASIDE))

    def _part(self, name: str) -> dict[str, pa.Table] | None:
        """A trial's own tables; None if they are damaged, which goes to ``problems``, or folded meanwhile."""
        try:
            return part.read(self.folder / "parts" / name)
        except FileNotFoundError:
            return None
        except parquet.Damaged as error:
            problem = f"parts/{name} cannot be read and does not count: {error}"
            if problem not in self.problems:
                self.problems.append(problem)
            return None

    def _joined(self, names: Iterable[str]) -> Iterator[dict[str, pa.Table]]:
        """The tables of sound parts, those of some trials together: a bounded number of rows at a time."""
        waiting: list[dict[str, pa.Table]] = []
        rows = 0
        for name in names:
            if (tables := self._part(name)) is None:
                continue
            waiting.append(tables)
            rows += sum(map(len, tables.values()))
            if rows >= ROWS_AT_ONCE:
                yield _join(waiting)
                waiting, rows = [], 0
        if waiting:
            yield _join(waiting)

    def _pieces(
        self, name: str, columns: Sequence[str] | None = None, trial_ids: Collection[str] | None = None
    ) -> Iterator[pa.Table]:
        """The rows of one table, a bounded piece at a time.

        The parts first: one that is folded meanwhile is then found in the compacted files.
        """
        chosen = subset(name, columns)
        names = [each for each in self._part_names() if trial_ids is None or each in trial_ids]
        apart: set[str] = set()
        for tables in self._joined(names):
            apart.update(_ids(tables["trials"]))
            if len(tables[name]):
                yield tables[name].select(chosen.names).cast(chosen)
        yield from self._compacted(name, columns, without=apart, only=trial_ids)

    def _compacted(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        *,
        without: Collection[str],
        only: Collection[str] | None = None,
    ) -> Iterator[pa.Table]:
        """The rows of a compacted file, those of trials alone that have a row in ``trials``."""
        path = self.folder / "trials.parquet"
        if not path.exists():
            return
        ids = {key for piece in parquet.scan(path, "trials", ["trial_id"]) for key in _ids(piece)}
        keep = ids.difference(without) if only is None else ids.intersection(only).difference(without)
        if keep:
            yield from parquet.scan(self.folder / f"{name}.parquet", name, columns, keep)


def _ids(rows: pa.Table) -> list[str]:
    return [str(key) for key in rows["trial_id"].to_pylist()]


def _join(parts: Sequence[Mapping[str, pa.Table]]) -> dict[str, pa.Table]:
    """The rows of several parts, in memory of their own."""
    return {key: pa.concat_tables([one[key] for one in parts]).combine_chunks() for key in LEDGER_TABLES}


def _unused(folder: Path, stem: str) -> Path:
    """The first of ``folder/stem-1``, ``-2``, … that does not exist."""
    return next(path for n in itertools.count(1) if not (path := folder / f"{stem}-{n}").exists())

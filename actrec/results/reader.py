"""Reading what :mod:`actrec.results.ledger` has written, or is writing.

Two rules make every step of the writer safe to be killed in: a trial that has a part is read from its part
alone, and a row counts only if its trial has a row in ``trials``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from actrec.errors import LedgerError
from actrec.fields import unknown
from actrec.files import ASIDE
from actrec.results import parquet, part
from actrec.results.schema import OK, subset

LEDGER_TABLES = part.PART_TABLES
ROWS_AT_ONCE = 16_384  # of parts, held in memory to be joined


class Reader:
    """The results of one study in one folder, to be read: nothing on disk is changed.

    Attributes:
        folder: where it is.
        problems: what was found damaged so far, a line each.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.problems: list[str] = []

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
        return set(ids_of(self.read("trials", columns=["trial_id"])))

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
            apart.update(ids_of(tables["trials"]))
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
        ids = {key for piece in parquet.scan(path, "trials", ["trial_id"]) for key in ids_of(piece)}
        keep = ids.difference(without) if only is None else ids.intersection(only).difference(without)
        if keep:
            yield from parquet.scan(self.folder / f"{name}.parquet", name, columns, keep)


def ids_of(rows: pa.Table) -> list[str]:
    """The trials of some rows, one a row."""
    return [str(key) for key in rows["trial_id"].to_pylist()]


def _join(parts: Sequence[Mapping[str, pa.Table]]) -> dict[str, pa.Table]:
    """The rows of several parts, in memory of their own."""
    return {key: pa.concat_tables([one[key] for one in parts]).combine_chunks() for key in LEDGER_TABLES}

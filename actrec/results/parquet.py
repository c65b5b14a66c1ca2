"""Parquet files with checksums: damage is told from data, and another version's files from ours."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actrec.errors import LedgerError
from actrec.files import sync
from actrec.results.files import replacing
from actrec.results.schema import TABLES, check_version, subset

GROUP_ROWS = 65_536  # of a row group


class Damaged(LedgerError):
    """A file that is missing, cut short, altered, or has other columns than its table."""


@contextmanager
def writing(
    path: Path, schema: pa.Schema, *, group_rows: int = GROUP_ROWS
) -> Iterator[Callable[[pa.Table], None]]:
    """Gives what takes the rows of a new file, piece by piece; it is whole and synced at the end.

    No more than about ``group_rows`` rows and one piece are held in memory.

    Raises:
        OSError: where the disk does not take it.
    """
    waiting = [schema.empty_table()]
    rows = 0

    def flush() -> None:
        nonlocal rows
        writer.write_table(pa.concat_tables(waiting))
        waiting[1:], rows = [], 0

    def add(piece: pa.Table) -> None:
        nonlocal rows
        waiting.append(piece)
        rows += len(piece)
        if rows >= group_rows:
            flush()

    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        yield add
        flush()
    sync(path)


def replace(path: Path, table: pa.Table) -> None:
    """Writes a whole table as one file, atomically.

    Raises:
        LedgerError: if it cannot be written; names the folder and the reason.
    """
    with replacing(path) as aside, writing(aside, table.schema) as add:
        add(table)


def scan(
    path: Path, name: str, columns: Sequence[str] | None = None, trial_ids: Collection[str] | None = None
) -> Iterator[pa.Table]:
    """The rows of a file of the table ``name`` piece by piece; those of ``trial_ids`` alone if given.

    Raises:
        Damaged: if the file is missing, has other columns, or a page that is read is not what was written.
        LedgerError: if another version of the tables wrote it.
    """
    chosen = subset(name, columns)
    wanted = None if trial_ids is None else pa.array(trial_ids, pa.string())
    read = chosen.names if wanted is None else list(dict.fromkeys(["trial_id", *chosen.names]))
    try:
        # As a dataset, each of the many small files of a study would take three times as long to open.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            check_version(file.schema_arrow, path)
            if not file.schema_arrow.equals(TABLES[name]):
                raise Damaged(f"{path} is damaged: its columns are not those of its table")
            for batch in file.iter_batches(columns=read, use_threads=False):
                piece = pa.Table.from_batches([batch])
                if wanted is not None:
                    piece = piece.filter(pc.is_in(piece["trial_id"], wanted))
                if len(piece):
                    yield piece.select(chosen.names).cast(chosen)
    except (OSError, pa.ArrowException) as error:
        why = "it is missing" if not path.exists() else " ".join(str(error).split())
        raise Damaged(f"{path} cannot be read: {why}") from error

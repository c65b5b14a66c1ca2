"""Parquet files with checksums: damage is told from data, and another version's files from ours."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actrec.errors import LedgerError
from actrec.files import sync
from actrec.results.files import replacing
from actrec.results.schema import TABLES, check_version, subset


class Damaged(LedgerError):
    """A file that is missing, cut short, altered, or has other columns than its table."""


def write(
    path: Path,
    pieces: Iterable[pa.Table],
    schema: pa.Schema,
    *,
    group_rows: int = 65_536,
    compression: Literal["zstd", "lz4"] = "zstd",
) -> None:
    """Writes one synced file, holding no more than about ``group_rows`` rows and one piece in memory.

    Raises:
        OSError: where the disk does not take it.
    """
    with pq.ParquetWriter(path, schema, compression=compression, write_page_checksum=True) as writer:
        waiting: list[pa.Table] = []
        for piece in pieces:
            waiting.append(piece)
            if sum(map(len, waiting)) >= group_rows:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        writer.write_table(pa.concat_tables([schema.empty_table(), *waiting]))
    sync(path)


def replace(path: Path, table: pa.Table) -> None:
    """Writes a whole table as one file, atomically.

    Raises:
        LedgerError: if it cannot be written; names the folder and the reason.
    """
    with replacing(path) as aside:
        write(aside, [table], table.schema)


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

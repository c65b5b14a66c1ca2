"""One finished trial in one file: the rows of its three tables, and a checksum over them.

The tables follow one another as Arrow IPC streams, uncompressed; the last 32 bytes are the SHA-256 of what
comes before. Parquet, made for many rows, takes fifteen times as long to write a few hundred.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from actrec.results.parquet import Damaged
from actrec.results.schema import TABLES, check_version

PART_TABLES = ("trials", "epochs", "predictions")
_DIGEST_BYTES = 32


def write(path: Path, tables: Mapping[str, pa.Table]) -> None:
    """Writes the tables of one trial. Raises OSError where the disk does not take them."""
    sink = io.BytesIO()
    for name in PART_TABLES:
        with pa.ipc.new_stream(sink, TABLES[name]) as stream:
            stream.write_table(tables[name])
    content = sink.getvalue()
    path.write_bytes(content + hashlib.sha256(content).digest())


def read(path: Path) -> dict[str, pa.Table]:
    """The tables of the trial after which the file is named. Each has memory of its own.

    Raises:
        FileNotFoundError: if there is no such file.
        Damaged: if it is not what was written, or another trial's.
        LedgerError: if another version of the tables wrote it.
    """
    try:
        data = memoryview(path.read_bytes())
        content, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise Damaged(f"{path} is damaged: it is not what was written")
        # Not from a buffer: tables that share its memory would keep all of it as long as one of them is kept.
        source = io.BytesIO(content)
        tables = {name: _next_table(source, name, path) for name in PART_TABLES}
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise Damaged(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if tables["trials"]["trial_id"].to_pylist() != [path.name]:
        raise Damaged(f"{path} has the rows of another trial")
    return tables


def _next_table(source: io.BytesIO, name: str, path: Path) -> pa.Table:
    with pa.ipc.open_stream(source) as stream:
        check_version(stream.schema, path)
        if not stream.schema.equals(TABLES[name]):
            raise Damaged(f"{path} is damaged: its columns are not those of its tables")
        return stream.read_all()

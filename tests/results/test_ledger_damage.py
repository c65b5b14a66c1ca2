"""The ledger on bad disks: damaged parts, other versions, no room, no right to write."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from actrec.errors import LedgerError
from actrec.results import parquet
from actrec.results.ledger import Ledger
from actrec.results.schema import SCHEMA_VERSION
from tests.results.rows import VIDEOS, content, names, put


def truncate(part: Path) -> None:
    path = part / "epochs.parquet"
    path.write_bytes(path.read_bytes()[:-20])


def flip_a_byte(part: Path) -> None:
    path = part / "predictions.parquet"
    with pq.ParquetFile(path) as file:
        column = file.metadata.row_group(0).column(0)
    assert column.dictionary_page_offset is not None
    data = bytearray(path.read_bytes())
    # The last byte of the first column's values: the file's own structure stays valid.
    data[column.dictionary_page_offset + column.total_compressed_size - 1] ^= 0xFF
    path.write_bytes(data)


def lose_a_file(part: Path) -> None:
    (part / "predictions.parquet").unlink()


def be_another(part: Path) -> None:
    shutil.copytree(part.parent / "a", part, dirs_exist_ok=True)


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, lose_a_file, be_another])
def test_a_damaged_part_is_reported_and_set_aside(ledger: Ledger, damage: Callable[[Path], None]) -> None:
    put(ledger, "a")
    put(ledger, "b")
    damage(ledger.folder / "parts" / "b")
    reader = Ledger(ledger.folder)
    assert reader.finished() == {"a"}
    assert len(reader.read("predictions")) == VIDEOS
    assert len(reader.problems) == 1
    assert "parts/b cannot be read" in reader.problems[0]

    (again := Ledger(ledger.folder)).claim()
    assert again.problems == reader.problems
    assert (again.folder / "damaged" / "b-1").is_dir()
    put(again, "b")
    assert content(again.folder)["trials"] == [row_read(again, "a"), row_read(again, "b")]


def row_read(ledger: Ledger, trial_id: str) -> dict[str, Any]:
    (found,) = ledger.read("trials", trial_ids={trial_id}).to_pylist()
    return dict(found)


def test_a_damaged_compacted_file_is_an_error_that_names_it(ledger: Ledger) -> None:
    put(ledger, "a")
    ledger.compact()
    (ledger.folder / "predictions.parquet").unlink()
    with pytest.raises(LedgerError, match=r"predictions\.parquet"):
        ledger.read("predictions")


@pytest.mark.parametrize("where", ["trials.parquet", "parts/a/trials.parquet"])
def test_results_of_another_schema_are_refused_until_set_aside(ledger: Ledger, where: str) -> None:
    put(ledger, "a")
    if not where.startswith("parts"):
        ledger.compact()
    older = ledger.read("trials").replace_schema_metadata({b"actrec_schema": b"0"})
    parquet.write(ledger.folder / where, [older], older.schema)
    again = Ledger(ledger.folder)
    again.claim()
    with pytest.raises(LedgerError, match=rf"schema 0, this program reads schema {SCHEMA_VERSION}.*--fresh"):
        again.finished()
    assert again.set_aside() is not None
    assert again.finished() == set()


# -- disks -------------------------------------------------------------------------------------------------


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """What a full disk is to a writer: the system refuses the bytes (EFBIG for ENOSPC)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 100, 2000])
def test_a_full_disk_leaves_nothing_half_written(ledger: Ledger, room: int) -> None:
    put(ledger, "a")
    before = names(ledger.folder)
    with (
        files_no_larger_than(room),
        pytest.raises(LedgerError, match=f"cannot write results to {ledger.folder}/parts: .+"),
    ):
        put(ledger, "b")
    assert names(ledger.folder) == before
    with files_no_larger_than(room), pytest.raises(LedgerError, match="cannot write results to"):
        ledger.compact()
    assert names(ledger.folder) == before
    put(ledger, "b")
    assert ledger.finished() == {"a", "b"}


@pytest.mark.parametrize("kind", ["a file in its place", "inside a file", "not writable"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("x")
    folder = {
        "a file in its place": tmp_path / "file",
        "inside a file": tmp_path / "file" / "study",
        "not writable": Path("/proc/actrec-study"),  # even root may not write here
    }[kind]
    with pytest.raises(LedgerError, match=f"cannot write results to {folder}: .+"):
        Ledger(folder).claim()

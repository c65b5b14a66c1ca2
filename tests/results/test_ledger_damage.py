"""The ledger on bad disks: damaged parts, other versions, no room, no right to write."""

from __future__ import annotations

import hashlib
import io
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actrec.errors import LedgerError
from actrec.results.ledger import Ledger
from actrec.results.schema import SCHEMA_VERSION, TABLES
from tests.results.rows import VIDEOS, content, names, put


def truncate(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-20])


def empty(part: Path) -> None:
    part.write_bytes(b"")


def flip_a_bit(part: Path) -> None:
    data = bytearray(part.read_bytes())
    data[data.rindex(b"v1")] ^= 1  # in the name of a video: the file's own structure stays valid
    part.write_bytes(data)


def be_another(part: Path) -> None:
    shutil.copy(part.with_name("a"), part)


def be_a_folder(part: Path) -> None:
    part.unlink()
    part.mkdir()


@pytest.mark.parametrize("damage", [truncate, empty, flip_a_bit, be_another, be_a_folder])
def test_a_damaged_part_is_reported_and_set_aside(ledger: Ledger, damage: Callable[[Path], None]) -> None:
    put(ledger, "a")
    put(ledger, "b")
    damage(ledger.folder / "parts" / "b")
    reader = Ledger(ledger.folder)
    assert reader.finished() == {"a"}
    assert len(reader.read("predictions")) == VIDEOS
    assert len(reader.problems) == 1
    assert "parts/b cannot be read" in reader.problems[0]

    again = Ledger(ledger.folder)
    again.claim()
    again.compact()
    assert again.problems == reader.problems
    assert (again.folder / "damaged" / "b-1").exists()
    assert names(again.folder / "parts") == []
    assert again.finished() == {"a"}
    put(again, "b")
    assert [row["trial_id"] for row in content(again.folder)["trials"]] == ["a", "b"]


def test_a_damaged_retry_gives_way_to_what_was_folded(ledger: Ledger) -> None:
    put(ledger, "a", "failed")
    ledger.compact()
    put(ledger, "a")
    assert ledger.finished() == {"a"}
    truncate(ledger.folder / "parts" / "a")
    ledger.compact()
    assert ledger.done() == {"a"}
    assert ledger.finished() == set()


def test_a_damaged_compacted_file_is_an_error_that_names_it(ledger: Ledger) -> None:
    put(ledger, "a")
    ledger.compact()
    (ledger.folder / "predictions.parquet").unlink()
    with pytest.raises(LedgerError, match=r"predictions\.parquet"):
        ledger.read("predictions")


def older(folder: Path) -> None:
    """Writes what is in a ledger as another version of the tables would have."""
    path, metadata = folder / "trials.parquet", {b"actrec_schema": b"0"}
    if path.exists():
        rows = pq.read_table(path)
        pq.write_table(rows.replace_schema_metadata(metadata), path)
    for path in (folder / "parts").glob("*"):
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, TABLES["trials"].with_metadata(metadata)):
            pass
        path.write_bytes(sink.getvalue() + hashlib.sha256(sink.getvalue()).digest())


@pytest.mark.parametrize("folded", [True, False])
def test_results_of_another_schema_are_refused_until_set_aside(ledger: Ledger, folded: bool) -> None:
    put(ledger, "a")
    if folded:
        ledger.compact()
    older(ledger.folder)
    if folded:
        put(ledger, "b")
    again = Ledger(ledger.folder)
    again.claim()
    for use in (again.finished, again.compact):
        with pytest.raises(
            LedgerError, match=rf"schema 0, this program reads schema {SCHEMA_VERSION}.*--fresh"
        ):
            use()
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

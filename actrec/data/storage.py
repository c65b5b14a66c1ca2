"""Files that every node must see alike: where the caches lie, and whether a video is the one it was."""

from __future__ import annotations

import os
import platform
import shutil
import stat
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import platformdirs

from actrec.errors import DataError
from actrec.files import ASIDE

MISSING = -1  # the size of a file that is not there
STALE_S = 24 * 3600.0  # what a killed process left aside is certainly nobody's after a day
_AT_ONCE = 256  # files; one at a time, threads would only wait for each other


def cache_root() -> Path:
    """``ACTREC_CACHE``, else the user's cache folder, absolute. On a cluster every node must see it."""
    return Path(os.environ.get("ACTREC_CACHE") or platformdirs.user_cache_dir("actrec")).absolute()


def sizes(paths: Sequence[str]) -> list[int]:
    """The size of each file in bytes, :data:`MISSING` where there is none.

    In threads: on network storage each question takes about a millisecond of waiting.
    """
    parts = [paths[first : first + _AT_ONCE] for first in range(0, len(paths), _AT_ONCE)]
    with ThreadPoolExecutor(max_workers=16) as pool:
        return [size for part in pool.map(_sizes, parts) for size in part]


def _sizes(paths: Iterable[str]) -> list[int]:
    found = []
    for path in paths:
        try:
            found.append(os.stat(path).st_size)
        except OSError:
            found.append(MISSING)
    return found


def check_same(path: str, size: int) -> None:
    """That this node sees the file that the driver saw.

    Raises:
        DataError: if it is not there, or of another size; names the file and the node.
    """
    try:
        found = os.stat(path).st_size
    except OSError as error:
        raise _not_visible(path, error) from error
    if found != size:
        raise DataError(
            f"{path} has {found} bytes on node {platform.node()}, but {size} where the work was started: "
            "it was replaced meanwhile, or the nodes see different storage"
        )


def check_readable(path: str) -> None:
    """That a file can be read to its end, so that a fault in decoding it is its own and not the storage's.

    Raises:
        DataError: if it cannot; names the file and the node.
    """
    try:
        if stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
            with open(path, "rb", buffering=0) as file:
                while file.read(2**20):
                    pass
    except OSError as error:
        raise _not_visible(path, error) from error


def _not_visible(path: str, error: OSError) -> DataError:
    return DataError(
        f"{path} is not visible on node {platform.node()} ({error.strerror or error}); "
        "the videos must lie on storage that every node sees"
    )


def discard_stale(folder: Path, pattern: str) -> None:
    """Removes what matches ``pattern`` in ``folder`` and is older than a day: killed processes left it.

    By the clock of the file system, which dates a new file as it dated those: the clocks of nodes differ.
    """
    left = list(folder.glob(pattern))
    if not left:
        return
    with suppress(OSError), NamedTemporaryFile(dir=folder, prefix=ASIDE) as new:
        now = os.fstat(new.fileno()).st_mtime
        for path in left:
            with suppress(OSError):
                if now - path.stat().st_mtime > STALE_S:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

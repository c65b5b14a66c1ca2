"""The sets of a cache: which there are, who uses them, and which go when room is needed.

A set is a folder ``<root>/clips/<key>`` or ``<root>/features/<key>`` that was held once: who uses one holds a
shared lock on a file in it, which ends with its process however that ends. Eviction takes that lock, or lets
the folder be: nothing goes that is in use, or that somebody else put there. On a file system without locks
sets are used all the same, and none is evicted.

Who will write to a set notes in that file how large it will be. While the set is held, what is yet to come of
it counts as taken, so that two studies do not reckon with the same room.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from actrec.data.shards import stored, writing
from actrec.data.storage import discard_stale
from actrec.errors import DataError
from actrec.files import ASIDE, discard

KINDS = ("clips", "features")
HELD = ".held"  # a lock file; its time is the set's last use, its content the size that was reserved
BUDGET = "ACTREC_CACHE_BUDGET"
_TURN = ".looking"  # a lock file beside the sets, of who asks whether one is held
FREE = 0.1  # of the disk, left free where there is no budget

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True)
class CachedSet:
    """One set on disk.

    Attributes:
        size: bytes.
        promised: bytes that those who hold it have reserved beyond these.
        used: when it was last held, in seconds since the epoch.
    """

    folder: Path
    size: int
    promised: int
    used: float

    @property
    def name(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}"


class Hold:
    """A use of a set: while it lasts, the set is not evicted. Makes the folder.

    Raises:
        DataError: if the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        with writing(folder):
            self._lock = _shared(folder)
            while self._lock is None:  # evicted meanwhile
                self._lock = _shared(folder)
            os.utime(self._lock)

    def reserve(self, size: int) -> None:
        """Notes the bytes that the set will take; a disk that is full keeps no note, and needs none."""
        if self._lock is not None:
            with suppress(OSError):
                os.pwrite(self._lock, f"{size:020d}".encode(), 0)

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextmanager
def filling(folder: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """The right to write to a set, one process at a time; ``waiting`` is called if another has it.

    Its lock lies beside the set: one inside would be evicted with it.

    Raises:
        DataError: if the folder that the set is in cannot be written.
    """
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock_file(folder.parent / f".filling-{folder.name}")
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            _flock(lock, fcntl.LOCK_EX)
        except OSError:
            pass  # no locks here: who writes at once writes the same
        yield
    finally:
        os.close(lock)


def in_use(folder: Path) -> bool:
    """Whether a process holds a set."""
    with _locked(folder) as ours:
        return not ours and (folder / HELD).exists()


def lacking(folder: Path, size: int) -> int:
    """Bytes that a set of ``size`` takes beside what is there and what those who hold it have reserved."""
    return max(0, size - max(stored(folder), _reserved(folder)))


def reserve(
    root: Path, sizes: Mapping[Path, int], say: Callable[[str], object] = lambda note: None
) -> list[Hold] | None:
    """Holds sets, and makes room for what they lack; None, and nothing is held, if there is not enough.

    Args:
        sizes: folder → bytes that its shards will take in all; 0 of a set that is complete.
        say: see :func:`make_room`.

    Raises:
        DataError: if the cache cannot be written.
    """
    with filling(root / "reserved"):  # of those who reserve at once, one after another
        before = {folder: _reserved(folder) for folder in sizes}
        needed = sum(lacking(folder, size) for folder, size in sizes.items())
        with ExitStack() as held:
            holds = {}
            for folder in sizes:
                holds[folder] = Hold(folder)
                held.callback(holds[folder].release)
                holds[folder].reserve(before[folder])  # what a study left that was killed is nobody's
            if not make_room(root, needed, say):
                return None
            for folder, hold in holds.items():
                hold.reserve(max(before[folder], sizes[folder]))
            held.pop_all()
            return list(holds.values())


def cached_sets(root: Path) -> list[CachedSet]:
    """The sets under ``root``, the one that was used longest ago first."""
    folders = [held.parent for kind in KINDS for held in (root / kind).glob(f"[!.]*/{HELD}")]
    return sorted(map(_measured, folders), key=lambda found: (found.used, found.name))


def room(root: Path) -> int:
    """Bytes that the cache may still take: of its budget, or of the disk less a tenth that stays free. What
    was reserved is taken.

    Raises:
        DataError: if ``ACTREC_CACHE_BUDGET`` is no amount.
    """
    disk = shutil.disk_usage(_existing(root))
    given = os.environ.get(BUDGET)
    sets = cached_sets(root)
    promised = sum(found.promised for found in sets)
    if not given:
        return max(0, int(disk.free - FREE * disk.total) - promised)
    used = sum(found.size for found in sets)
    return max(0, min(disk.free, parse_size(given, BUDGET) - used) - promised)


def room_after_eviction(root: Path, keep: frozenset[Path] = frozenset()) -> int:
    """What :func:`make_room` could come to. ``keep``: folders that it may not touch."""
    return room(root) + sum(
        found.size for found in cached_sets(root) if found.folder not in keep and not in_use(found.folder)
    )


def make_room(root: Path, needed: int, say: Callable[[str], object] = lambda note: None) -> bool:
    """Evicts the sets that were used longest ago until ``needed`` bytes fit; tells whether they do.

    Sets that are held stay. If the rest would not do, nothing goes.
    """
    if needed <= (there := room(root)):
        return True
    if needed > room_after_eviction(root):
        return False
    evicted = []
    for found in cached_sets(root):
        if there >= needed:
            break
        if evict(found.folder):
            evicted.append(found)
            there = room(root)
    if evicted:
        freed = size_text(sum(found.size for found in evicted))
        say(
            f"made room in the cache {root}: {len(evicted)} set(s) of {freed} that were used longest ago went"
        )
    return there >= needed


def prune(root: Path, budget: int) -> list[CachedSet]:
    """Evicts the sets that were used longest ago until all take at most ``budget`` bytes; returns them."""
    sets, gone = cached_sets(root), []
    total = sum(found.size for found in sets)
    for found in sets:
        if total <= budget:
            break
        if evict(found.folder):
            gone.append(found)
            total -= found.size
    return gone


def evict(folder: Path) -> bool:
    """Removes a set, unless it is held or never was; tells whether it did."""
    aside = folder.parent / f"{ASIDE}{folder.name}-{os.getpid()}"
    with _locked(folder) as ours:
        if ours:
            with suppress(OSError):
                folder.rename(aside)  # gone at once for those who look for it
    if ours:
        discard(aside)
    discard_stale(folder.parent, f"{ASIDE}*")
    return ours and not folder.exists()


def parse_size(text: str, what: str) -> int:
    """``"200GB"`` → bytes; K, M, G, T and decimals are understood.

    Raises:
        DataError: if it is no amount; names ``what`` was given.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?\s*", text, re.IGNORECASE)
    if not found:
        raise DataError(f"{what}={text!r}: must be an amount such as 200GB, 1.5TB or 500MB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def size_text(size: float) -> str:
    """Bytes as a person reads them: ``3.2 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _shared(folder: Path) -> int | None:
    """A shared lock on a set; None if it was evicted before the lock was got."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = os.open(folder / HELD, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:
        return None
    _flock(lock, fcntl.LOCK_SH)
    try:
        if os.path.samestat((folder / HELD).stat(), os.fstat(lock)):
            return lock
    except FileNotFoundError:
        pass
    os.close(lock)
    return None


def _measured(folder: Path) -> CachedSet:
    size, used = 0, 0.0
    with suppress(OSError):
        used = folder.stat().st_mtime
        for entry in os.scandir(folder):
            if entry.name == HELD:
                used = entry.stat().st_mtime
            else:
                size += entry.stat().st_size
    return CachedSet(folder, size, max(0, _reserved(folder) - size), used)


def _reserved(folder: Path) -> int:
    """Bytes that a set will take, as far as those who hold it have noted."""
    with suppress(OSError, ValueError):
        noted = int((folder / HELD).read_text() or 0)
        return noted if noted and in_use(folder) else 0
    return 0


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Takes a set's lock exclusively if nobody holds it; not where there is none to take.

    One process at a time, on a lock that is never held for long: else two that look at once would each take
    the other for a user of the set.
    """
    with ExitStack() as opened:
        try:
            turn = _lock_file(folder.parent / _TURN)
            opened.callback(os.close, turn)
            _flock(turn, fcntl.LOCK_EX)
            lock = os.open(folder / HELD, os.O_RDWR)
            opened.callback(os.close, lock)
        except OSError:
            yield False
            return
        yield _flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock_file(path: Path) -> int:
    """Opens a lock file that all users of a cache share, whoever made it: a lock needs no right to write,
    but on network storage."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY)


def _flock(lock: int, how: int) -> bool:
    """Whether the lock was got; not where another has it, or where the file system knows no locks."""
    try:
        fcntl.flock(lock, how)
    except OSError:
        return False
    return True


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())

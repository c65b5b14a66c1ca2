"""Who may write into a study's folder: one driver at a time, and a dead one's place is free.

::

    <folder>/owner.json     who owns the folder; who released it leaves the file, without an owner in it
             heartbeat      a count that the owner raises every few seconds

Whether an owner lives is told without clocks, which may be set back or differ between machines. On its own
machine its process is looked for: by its id, and by when it started, counted from the machine's start. From
elsewhere its count is watched for some beats, measured on the watcher's side.

Taking the folder is not atomic: of two that find it free in the same moment the later one owns it, and the
other learns so by :meth:`Lock.is_mine`, which whoever writes asks again right before each change.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from actrec.errors import LedgerError
from actrec.results.files import write_json

BEAT_S = 5.0  # between two beats
MISSED = 6  # beats without which an owner on another machine counts as dead

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Owner:
    """What ``owner.json`` holds.

    Attributes:
        token: of this ownership; no two have the same.
        host, claimed: where, and since when (ISO 8601). To be read by people alone.
        machine, pid, started: the process; see :func:`this_machine` and :func:`start_of`.
        beat_s: seconds between two beats.
    """

    token: str
    host: str
    claimed: str
    machine: str
    pid: int
    started: str
    beat_s: float

    def lives(self) -> bool | None:
        """Whether its process runs; None where that cannot be seen from here."""
        if self.machine != this_machine():
            return None
        try:
            return start_of(self.pid) == self.started
        except ProcessLookupError:
            return False
        except (OSError, psutil.Error):
            return None

    def is_this_process(self) -> bool:
        return self.pid == os.getpid() and self.lives() is True


class Lock:
    """The right to write into one folder.

    Args:
        folder: where; made when it is taken.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._token: str | None = None
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None

    def take(self, say: Say, beat_s: float = BEAT_S) -> str:
        """Owns the folder from here on, and keeps a heart beating until :meth:`release`.

        A process may take again what it owns already: the later :class:`Lock` is the owner then.

        Args:
            say: is told what is waited for.

        Returns:
            The token of the ownership.

        Raises:
            LedgerError: while another process owns the folder, or if it cannot be written to.
        """
        self._wait_for_room(say)
        self._still()
        token = uuid.uuid4().hex
        claimed = datetime.now(UTC).isoformat(timespec="seconds")
        pid = os.getpid()
        me = Owner(token, socket.gethostname(), claimed, this_machine(), pid, start_of(pid), beat_s)
        write_json(self._folder / "owner.json", dataclasses.asdict(me))
        _beat(self._folder, token, 0)
        self._token = token
        self._stop = threading.Event()
        self._beating = threading.Thread(
            target=_keep_beating,
            args=(self._folder, token, beat_s, self._stop),
            name="heartbeat",
            daemon=True,
        )
        self._beating.start()
        weakref.finalize(self, self._stop.set)  # a lock that nobody holds any more must not leave its thread
        return token

    def owner(self) -> str | None:
        """The token of whoever may write now; None where the folder is free."""
        return _token(self._folder)

    def is_mine(self) -> bool:
        return self._token is not None and self.owner() == self._token

    @property
    def taken(self) -> bool:
        """Whether this lock was ever taken, and not released since."""
        return self._token is not None

    def release(self) -> None:
        """Frees the folder, if it is still this lock's. Never raises: a dead owner's folder is free too."""
        self._still()
        if self.is_mine():
            with contextlib.suppress(LedgerError, OSError):
                write_json(self._folder / "owner.json", {"released": datetime.now(UTC).isoformat()})
                (self._folder / "heartbeat").unlink(missing_ok=True)
        self._token = None

    def _still(self) -> None:
        self._stop.set()
        if self._beating is not None:
            self._beating.join()

    def _wait_for_room(self, say: Say) -> None:
        """Returns when nobody who lives owns the folder. Raises LedgerError if somebody does."""
        while (found := read_owner(self._folder)) is not None and not found.is_this_process():
            alive = found.lives()
            if alive is None:
                wait = MISSED * found.beat_s
                say(
                    f"{self._folder} belongs to process {found.pid} on {found.host}: "
                    f"watching for up to {wait:.0f} s whether it is alive"
                )
                alive = _moves(self._folder, found)
            if not alive:
                return
            if _token(self._folder) == found.token:  # else it has ended, or another came, meanwhile
                raise LedgerError(
                    f"{self._folder} is in use: process {found.pid} on {found.host} has been writing there "
                    f"since {found.claimed}; wait for it, stop it, or give another folder with --out"
                )


def read_owner(folder: Path) -> Owner | None:
    """Who owns a folder; None where it is free, or the file is no record of an owner."""
    try:
        return Owner(**json.loads((folder / "owner.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _token(folder: Path) -> str | None:
    found = read_owner(folder)
    return None if found is None else found.token


def _keep_beating(folder: Path, token: str, beat_s: float, stop: threading.Event) -> None:
    """Raises the count until told to stop, or until the folder is another's."""
    for count in itertools.count(1):
        # None: it cannot be read, which may pass.
        if stop.wait(beat_s) or _token(folder) not in (token, None):
            return
        _beat(folder, token, count)


def _beat(folder: Path, token: str, count: int) -> None:
    """Writes a count. One that cannot be written is left out: that may pass."""
    with contextlib.suppress(OSError):
        # In place, at one length: never torn, and from close to open network file systems keep files fresh.
        descriptor = os.open(folder / "heartbeat", os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, f"{token} {count:012}\n".encode())
        finally:
            os.close(descriptor)


def _moves(folder: Path, owner: Owner) -> bool:
    """Whether the count, or the owner, changes within as many beats as a living one would not miss."""
    first = heartbeat(folder)
    end = time.monotonic() + MISSED * owner.beat_s
    while time.monotonic() < end:
        time.sleep(owner.beat_s / 4)
        if heartbeat(folder) != first or _token(folder) != owner.token:
            return True
    return False


def heartbeat(folder: Path) -> bytes:
    """What the owner's heart has beaten last: another content is a sign of life."""
    try:
        return (folder / "heartbeat").read_bytes()
    except OSError:
        return b""


@functools.cache
def this_machine() -> str:
    """What two processes have in common if process ids mean the same to them, until the machine restarts.

    Host names repeat, and containers on one machine count their processes apart.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"


def start_of(pid: int) -> str:
    """What tells a running process from an earlier one of the same id.

    On Linux the clock ticks from the machine's start (proc(5), field 22 of stat). psutil adds the time of day
    at which the machine started, and that moves when the clock is set.

    Raises:
        ProcessLookupError: if it does not run.
        OSError, psutil.Error: if that cannot be seen: some systems hide the processes of other users.
    """
    with contextlib.suppress(PermissionError):  # another user's: there is one
        os.kill(pid, 0)
    if not psutil.LINUX:
        return repr(psutil.Process(pid).create_time())
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    state, *rest = stat.rpartition(")")[2].split()  # the name before may hold anything
    if state in "ZX":  # ended; its parent has not asked yet
        raise ProcessLookupError(pid)
    return rest[18]

"""A copy of a set on this node's own disk, where the cache lies on storage of the network.

The first process of a node that opens a set copies it, and the others wait; a copy that is there is checked,
shard by shard, by the first that comes while nobody uses it. So each node reads a set over the network once,
and every byte that is trained on has been checked since its user began. Where copying fails the set is read
where it lies, and the next process tries again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import psutil

from actrec.data import shards
from actrec.data.sets import Hold, filling, in_use, make_room
from actrec.errors import DataError
from actrec.files import replacing

LOCAL, OFF = "ACTREC_LOCAL_CACHE", "off"
_REMOTE = ("nfs", "cifs", "smb", "lustre", "fuse.", "ceph", "beegfs", "gpfs", "9p", "efs", "afs", "gluster")
_NO_DISK = ("tmpfs", "ramfs")
_THREADS = 8


def is_remote(fstype: str) -> bool:
    """Whether a type of file system, as mounts are listed with, is one of the network."""
    return fstype.lower().startswith(_REMOTE) and "overlay" not in fstype


def local_root(folder: Path) -> Path | None:
    """Where this node keeps its copies of sets such as ``folder``; None where they are not wanted.

    ``ACTREC_LOCAL_CACHE`` names a folder, and forces copying; ``off`` turns it off. Without it a set on the
    network is copied to a folder for temporary files, if that is on a disk.
    """
    given = os.environ.get(LOCAL)
    if given:
        return None if given == OFF else Path(given).absolute()
    temporary = Path(tempfile.gettempdir())
    if not is_remote(_fstype(folder)) or is_remote(_fstype(temporary)) or _fstype(temporary) in _NO_DISK:
        return None
    root = temporary / f"actrec-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    return root if root.lstat().st_uid == os.getuid() else None  # another user may have made it first


@cache
def nearest(folder: Path) -> Path:
    """Where to read a complete set from: its copy on this node's disk, which this process then holds until
    it ends, or the set itself where no copy is wanted, it does not fit, or it cannot be made."""
    with suppress(OSError, DataError):
        if (root := local_root(folder)) is not None:
            copy = root / folder.parent.name / folder.name
            with filling(copy):
                bring = partial(_bring, root=root) if not in_use(copy) else _lists_all  # its users checked it
                hold = Hold(copy)
                whole = False
                try:
                    whole = bring(folder, copy)
                finally:
                    if not whole:  # else it would be in use, unchecked, until this process ends
                        hold.release()
                if whole:
                    return copy
    return folder


def _lists_all(folder: Path, copy: Path) -> bool:
    """Whether a copy has every file of a set, by their names: files come there under theirs when whole."""
    there, here = ({path.name for path in root.glob("[!.]*")} for root in (folder, copy))
    return there <= here


def _bring(folder: Path, copy: Path, root: Path) -> bool:
    """Copies what a copy lacks or has damaged; tells whether all of it is there now, every byte checked."""
    numbers = shards.numbers(folder)
    stale = [number for number in numbers if not _same_entries(folder, copy, number)]
    missing = sorted({*stale, *shards.damaged(copy, numbers)})
    if not make_room(root, sum(shards.array_path(folder, number).stat().st_size for number in missing)):
        return False

    def bring(path: Path) -> None:
        with replacing(copy / path.name) as aside:
            shutil.copyfile(path, aside)

    def bring_shard(number: int) -> bool:
        bring(shards.array_path(folder, number))
        bring(shards.entries_path(folder, number))
        return shards.is_whole(copy, number)

    for path in folder.glob("[!.]*"):
        if not path.match("shard-*"):
            bring(path)
    with ThreadPoolExecutor(_THREADS) as pool:
        return all(list(pool.map(bring_shard, missing)))


def _same_entries(folder: Path, copy: Path, number: int) -> bool:
    """Whether a shard of a copy is of what the set holds now, by its entries and its checksum."""
    paths = [shards.entries_path(root, number) for root in (folder, copy)]
    return paths[1].exists() and paths[0].read_bytes() == paths[1].read_bytes()


def _fstype(path: Path) -> str:
    """The type of the file system that a path lies on."""
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    path = path.resolve()
    return next((mounts[str(at)] for at in (path, *path.parents) if str(at) in mounts), "")

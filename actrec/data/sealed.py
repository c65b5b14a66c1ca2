"""Small JSON files with a checksum of their own: no wrong bit in them is read as something else."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

_SEAL = "crc32"


def seal(note: Mapping[str, Any]) -> bytes:
    """A note as JSON, with a CRC-32 of it under ``crc32``, a key that it must not have."""
    return json.dumps({**note, _SEAL: _crc32(note)}).encode()


def unseal(content: bytes) -> dict[str, Any]:
    """The note that was sealed; tuples in it are lists now.

    Raises:
        ValueError: if it is not what was sealed.
    """
    note = json.loads(content)
    if not isinstance(note, dict) or note.pop(_SEAL, None) != _crc32(note):
        raise ValueError("is not what was written: its checksum is another")
    return note


def _crc32(note: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(note).encode())  # what JSON keeps is written alike once it was read

"""Ray's processes, seen from outside."""

from __future__ import annotations

from pathlib import Path


def processes(title: str, mark: str) -> list[int]:
    """Processes whose title begins so and whose environment has ``mark`` in it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_text().startswith(title) and mark in (
                folder / "environ"
            ).read_text():
                found.append(int(folder.name))
        except (OSError, UnicodeDecodeError):
            continue
    return found

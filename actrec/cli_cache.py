"""``actrec cache``: what is kept on disk, whether it is whole, and making room."""

from __future__ import annotations

import argparse
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from actrec.data import clipset
from actrec.data.sets import (
    BUDGET,
    CachedSet,
    cached_sets,
    filling,
    in_use,
    parse_size,
    prune,
    room,
    size_text,
)
from actrec.data.storage import cache_root
from actrec.training import featureset

LIST = f"""\
Lists the sets of the cache, the one that was used longest ago first: decoded clips, and the features that
studies share. They are made when a study needs them, and go when another needs the room, oldest use first;
what a running study uses stays.

environment:
  ACTREC_CACHE          where the cache is; on a cluster every node must see it
  {BUDGET}   what it may take, such as 200GB; without it a tenth of the disk is left free
  ACTREC_LOCAL_CACHE    where nodes copy sets to, or `off`; without it sets on a network file system are
                        copied to the folder for temporary files

examples:
  actrec cache
  actrec cache check
  actrec cache prune --budget 50GB
"""

CHECK = """\
Reads every byte of every set and compares checksums. What is damaged, or gone from a complete set of clips,
is made again when a study next uses the set; nothing needs to be deleted.

exit status:
  0  all is whole
  1  something is damaged
"""

PRUNE = """\
Deletes the sets that were used longest ago until all take at most the budget. What a running study uses
stays. Deleted clips are decoded again when a study needs them.

example:
  actrec cache prune --budget 50GB     (0GB: all that is not in use)
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command ``cache``; its ``run`` takes the parsed arguments and gives the exit status."""
    raw = argparse.RawDescriptionHelpFormatter
    cache = subparsers.add_parser(
        "cache", help="list, check or prune kept clips", description=LIST, formatter_class=raw
    )
    cache.set_defaults(run=run_list)
    commands = cache.add_subparsers(title="commands", metavar="{check,prune}")
    check = commands.add_parser("check", help="verify every byte", description=CHECK, formatter_class=raw)
    check.set_defaults(run=run_check)
    smaller = commands.add_parser(
        "prune", help="delete what was used longest ago", description=PRUNE, formatter_class=raw
    )
    smaller.add_argument("--budget", required=True, metavar="SIZE", help="what may stay, such as 50GB")
    smaller.set_defaults(run=run_prune)


def run_list(arguments: argparse.Namespace) -> int:
    """Show what is there."""
    root = cache_root()
    sets = cached_sets(root)
    table = Table("set", "what", "size", "last used", box=None, pad_edge=False)
    for found in sets:
        when = datetime.fromtimestamp(found.used, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(
            found.name, _what(found), size_text(found.size), "in use" if in_use(found.folder) else when
        )
    console = Console()
    if sets:
        console.print(table)
    total = size_text(sum(found.size for found in sets))
    limit = os.environ.get(BUDGET) or "a tenth of the disk stays free"
    console.print(f"{root}: {len(sets)} sets, {total}; room for {size_text(room(root))} more ({limit})")
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """Verify every byte."""
    status = 0
    for found in cached_sets(cache_root()):
        kind = clipset if found.folder.parent.name == "clips" else featureset
        note = _note(found.folder)
        state = "whole"
        with filling(found.folder):
            if "crc32" not in note and note.get("format", kind.FORMAT) != kind.FORMAT:
                state = "of an earlier version, not used any more"
            elif names := ", ".join(kind.damaged(found.folder)):
                state, status = f"DAMAGED: {names}", 1
            elif not kind.is_complete(found.folder):
                state = "not complete: its study was interrupted, or goes on"
        print(f"{found.name}: {size_text(found.size)}: {state}")
    return status


def run_prune(arguments: argparse.Namespace) -> int:
    """Delete what was used longest ago."""
    root, budget = cache_root(), parse_size(arguments.budget, "--budget")
    for found in prune(root, budget):
        print(f"deleted {found.name}, {size_text(found.size)}")
    left = sum(found.size for found in cached_sets(root))
    stay = "; what a running study uses stays" if left > budget else ""
    print(f"{root}: {size_text(left)} kept{stay}")
    return 0


def _what(found: CachedSet) -> str:
    """What a set holds, as far as its note says."""
    note = _note(found.folder)
    clip = note.get("clip")
    if isinstance(clip, dict):
        names = ("sampling", "num_frames", "height", "width")
        sampling, frames, height, width = (clip.get(name, "?") for name in names)
        return f"{frames} × {height} × {width}, {sampling}, manifest {str(note.get('manifest', '?'))[:8]}"
    return f"{note.get('model', '?')} on clips/{note.get('clips', '?')}" if note else "not complete"


def _note(folder: Path) -> dict[str, Any]:
    try:
        note = json.loads((folder / "meta.json").read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}

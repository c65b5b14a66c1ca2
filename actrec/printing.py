"""What ``actrec data`` prints: a manifest, lists that may be long, names that may hold anything."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from actrec.data.checks import SPLITS, strings
from actrec.data.counts import Counts
from actrec.data.manifest import Manifest

SHOWN = 20  # videos or groups listed in full; of more, the number is said


def show_manifest(manifest: Manifest, counts: Counts) -> None:
    """Print what a manifest holds: classes × splits, then all that a user should know before trusting it."""
    table = Table("class", *(Column(split, justify="right") for split in SPLITS), show_footer=True)
    table.columns[0].footer = f"{len(manifest.class_names)} classes"
    for column, split in zip(table.columns[1:], SPLITS, strict=True):
        column.footer = str(sum(counts.videos[split].values()))
    for name in manifest.class_names:
        table.add_row(Text(printable(name)), *(str(counts.videos[split][name]) for split in SPLITS))
    Console().print(table)
    print(f"root {printable(str(manifest.root))}, layout {manifest.layout}")
    made = " and ".join(manifest.cut) or "none"
    blocks = len(set(strings(manifest.table, "block")))
    within = f" in {blocks} blocks" if blocks > 1 else ""
    print(f"splits: {manifest.split_source}; cut here: {made}; groups: {counts.groups}{within}")
    list_lines("videos do not decode", [f"{one.path}: {one.reason}" for one in counts.undecodable])
    official = [group for group in counts.straddling if group not in counts.leaks]
    list_lines(
        f"of {counts.groups} groups straddle splits, as the official lists have them",
        [f"{group} ({', '.join(counts.straddling[group])})" for group in official],
    )
    for split, names in counts.absent.items():
        list_lines(f"classes have no readable {split} video", names)


def list_lines(what: str, lines: Sequence[str]) -> None:
    """Print how many there are and the first of them; nothing where there are none."""
    if lines:
        print(f"{len(lines)} {what}:")
        for line in lines[:SHOWN]:
            print(f"  {printable(line)}")
        if len(lines) > SHOWN:
            print(f"  … and {len(lines) - SHOWN} more")


def printable(text: str) -> str:
    """The text with its control characters escaped: names of files must not steer a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)

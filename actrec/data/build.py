"""From a folder of videos to a manifest: list names, probe files, cut splits."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pyarrow as pa

from actrec.data.checks import SCHEMA, strings
from actrec.data.layouts import LAYOUTS
from actrec.data.layouts.base import Listing, Split
from actrec.data.manifest import Manifest
from actrec.data.probe import Probe
from actrec.data.splits import ValCut, complete_splits, random_val
from actrec.errors import LayoutError
from actrec.fields import unknown
from actrec.files import reason
from actrec.seeding import numpy_rng

NOTHING = Probe(num_frames=0, fps=0.0, width=0, height=0, seconds=0.0)


def list_videos(
    root: Path,
    layout: str,
    *,
    splits: Path | None = None,
    split: int | None = None,
    group_regex: str | None = None,
) -> Listing:
    """All videos of a data set by name; opens none.

    Raises:
        LayoutError: on an unknown layout, or a folder or list that is not as the layout has it.
    """
    if layout not in LAYOUTS:
        raise LayoutError(unknown("layout", layout, LAYOUTS))
    if split is not None and splits is None:
        raise LayoutError(f"split {split} needs the folder of split lists")
    return LAYOUTS[layout](root, splits=splits, split=split, group_regex=group_regex)


def paths_to_probe(listing: Listing) -> list[str]:
    """The paths, within the root, of the videos that are there."""
    return [entry.path for entry in listing.entries if entry.present]


def build_manifest(
    root: Path,
    layout: str,
    listing: Listing,
    probes: Sequence[Probe | str],
    *,
    seed: int = 0,
    val: ValCut = "group",
    blocks: Mapping[str, str] | None = None,
) -> Manifest:
    """The manifest of a listing.

    Args:
        root: the folder that was listed.
        layout: the layout's name, for the record.
        listing: from :func:`list_videos`.
        probes: what is in each file of :func:`paths_to_probe`, or the reason why it does not decode.
        seed: of the cut of those splits that no list gives.
        val: how validation is cut from train; ``random`` parts groups.
        blocks: group → block, as :func:`read_blocks` gives it; None: all are in one.

    Raises:
        ManifestError: if a class has no readable training video, or a file lies outside the root.
    """
    splits, cut = complete_splits(listing, seed, val=val)
    label = {name: index for index, name in enumerate(listing.classes)}
    remaining = iter(probes)
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    for entry, split in zip(listing.entries, splits, strict=True):
        found = next(remaining) if entry.present else "missing file"
        contents = NOTHING if isinstance(found, str) else found
        row = {
            "video_id": entry.video_id,
            "path": entry.path,
            "label": label[entry.class_name],
            "class_name": entry.class_name,
            "group": entry.group,
            "block": "" if blocks is None else blocks[entry.group],
            "split": split,
            "num_frames": contents.num_frames,
            "fps": contents.fps,
            "width": contents.width,
            "height": contents.height,
            "seconds": contents.seconds,
            "status": "unreadable" if isinstance(found, str) else "ok",
            "reason": found if isinstance(found, str) else "",
        }
        for name, value in row.items():
            columns[name].append(value)
    return Manifest.from_columns(root, columns, layout=layout, cut=cut)


def with_random_val(manifest: Manifest, seed: int = 0) -> Manifest:
    """The manifest with train and val cut anew by :func:`~actrec.data.splits.random_val`, which leaks."""
    given = cast(list[Split], strings(manifest.table, "split"))
    splits = random_val(manifest.table["label"].to_numpy(), given, numpy_rng(seed, "splits"))
    index = manifest.table.schema.get_field_index("split")
    table = manifest.table.set_column(index, "split", pa.array(splits, pa.string()))
    return Manifest(manifest.root, table, manifest.layout, manifest.cut or ("val",))


def read_blocks(path: Path, listing: Listing) -> dict[str, str]:
    """Group → block, from a CSV file with the columns ``group`` and ``block``.

    Raises:
        LayoutError: if it cannot be read, lacks a column, names a group twice or lacks one of the listing's.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(f"{path}: {reason(error)}") from None
    blocks: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        group, block = row.get("group"), row.get("block")
        if not group or not block:
            raise LayoutError(f"{path}: row {number} must have a group and a block (columns: group, block)")
        if group in blocks:
            raise LayoutError(f"{path}: row {number} names the group {group!r} again")
        blocks[group] = block
    for entry in listing.entries:
        if entry.group not in blocks:
            raise LayoutError(f"{path}: {unknown('group', entry.group, blocks)}")
    return blocks

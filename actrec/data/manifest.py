"""The manifest: one row a video, in Parquet, with the root folder in its metadata."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from actrec.data.checks import SCHEMA, check, strings
from actrec.data.counts import Counts, count, not_official
from actrec.data.folds import splits_of, tested_in
from actrec.data.layouts import OFFICIAL
from actrec.errors import ManifestError, SpecError
from actrec.fields import unknown
from actrec.files import reason, replacing
from actrec.spec import DataSpec

VERSION = 1
_KEY = b"actrec"
_IDENTITY = ("video_id", "path", "label", "class_name", "group", "split", "num_frames", "status")


@dataclass(frozen=True, eq=False)
class Manifest:
    """The videos of a data set; one that exists is valid.

    Attributes:
        root: absolute folder that every path is within.
        table: one row a video, columns as in :data:`actrec.data.checks.SCHEMA`. ``split`` is train, val, test
            or unused; ``block`` is empty where there is but one; ``status`` is ok or unreadable, and then
            ``reason`` says why and the numbers are 0.
        layout: where it came from, e.g. ``ucf101``.
        cut: the splits that were cut here by group; the others are as lists have them.

    Raises:
        ManifestError: if the rows are not a valid manifest; names the column, the row and what is valid.
    """

    root: Path
    table: pa.Table
    layout: str
    cut: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(os.path.abspath(self.root)))
        object.__setattr__(self, "table", check(self.table, self.root))

    @classmethod
    def from_columns(
        cls, root: Path, columns: Mapping[str, Sequence[Any]], *, layout: str, cut: tuple[str, ...]
    ) -> Manifest:
        """A manifest of plain columns, named as in the schema; ``block`` may be left out."""
        schema = pa.schema([field for field in SCHEMA if field.name in columns])
        return cls(root, pa.table(dict(columns), schema=schema), layout, cut)

    @classmethod
    def read(cls, path: str | Path) -> Manifest:
        """Read and check a manifest.

        Raises:
            ManifestError: if the file is missing or not a valid manifest; names the file.
        """
        path = Path(path)
        try:
            with pq.ParquetFile(path) as file:
                table = file.read()
        except FileNotFoundError:
            raise ManifestError(f"{path}: no such file; `actrec data build` makes a manifest") from None
        except (pa.ArrowException, OSError) as error:
            raise ManifestError(f"{path}: not a Parquet file that can be read: {reason(error)}") from None
        try:
            about = _about(table)
            return cls(path.parent.absolute() / about["root"], table, about["layout"], tuple(about["cut"]))
        except ManifestError as error:
            raise ManifestError(f"{path}: {error}") from None

    def write(self, path: str | Path) -> None:
        """Write the manifest aside, then rename it to ``path``.

        The root is kept relative to the file where one lies within the other, so that both can move together.

        Raises:
            ManifestError: if the file cannot be written.
        """
        path = Path(path).absolute()
        near = self.root.is_relative_to(path.parent) or path.is_relative_to(self.root)
        root = Path(os.path.relpath(self.root, path.parent)).as_posix() if near else str(self.root)
        about = {"version": VERSION, "root": root, "layout": self.layout, "cut": list(self.cut)}
        try:
            with replacing(path) as aside:
                pq.write_table(self.table.replace_schema_metadata({_KEY: json.dumps(about)}), aside)
        except OSError as error:
            raise ManifestError(f"{path}: cannot be written: {reason(error)}") from None

    @property
    def split_source(self) -> Literal["official", "listed", "cut"]:
        """Whether train and test are as a data set's official lists or somebody's own give them, or were cut
        here."""
        if "test" in self.cut:
            return "cut"
        return "official" if self.layout in OFFICIAL else "listed"

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Class names in the order of their labels."""
        pairs = zip(self.table["label"].to_pylist(), strings(self.table, "class_name"), strict=True)
        return tuple(name for _, name in sorted(set(pairs)))

    @cached_property
    def digest(self) -> str:
        """A hash of the videos, 16 hexadecimal digits; neither their place nor the rows' order changes it."""
        rows = self.table.select([*_IDENTITY, "block"]).sort_by("video_id").to_pylist()
        content = hashlib.sha256()
        for row in rows:
            block = [row["block"]] if row["block"] else []
            content.update(json.dumps([row[name] for name in _IDENTITY] + block).encode())
        return content.hexdigest()[:16]

    def column(self, name: str, split: str) -> NDArray[Any]:
        """One column of the readable videos of a split, in row order; strings as an object array."""
        rows = self.table.filter((pc.field("split") == split) & (pc.field("status") == "ok"))
        return rows[name].to_numpy()

    def counts(self) -> Counts:
        """What is in it, in numbers."""
        return count(self.table, self.class_names, not_official(self.layout, self.cut))

    def folds(self, cv: str) -> int:
        """How many folds a cross-validation has; 1 where ``cv`` is empty.

        Raises:
            SpecError, ManifestError: as :func:`actrec.data.folds.tested_in`.
        """
        return 1 + max(self._tested_in(cv).values()) if cv else 1

    def select(self, spec: DataSpec) -> Manifest:
        """The part that a trial asks for: some classes, and at most ``per_class`` videos of each and split.

        Labels are renumbered in the manifest's own class order. Which videos stay depends on their ids alone,
        and a smaller cap keeps a subset of what a larger one keeps. Unreadable videos stay, to be counted.
        The folds of a cross-validation are those of the whole manifest; the splits are then the fold's.

        Raises:
            SpecError: on an unknown class, naming the valid ones; on a cross-validation or a fold that the
                manifest does not have.
            ManifestError: if ``spec.digest`` is that of another content, or the fold cannot be trained.
        """
        if spec.digest and spec.digest != self.digest:
            raise ManifestError(
                f"the manifest's content has digest {self.digest}, the specification asks for {spec.digest}"
            )
        for name in spec.classes:
            if name not in self.class_names:
                raise SpecError(f"data.classes: {unknown('class', name, self.class_names)}")
        table = self.table
        if spec.classes:
            kept = [name for name in self.class_names if name in spec.classes]
            table = table.filter(pc.field("class_name").isin(kept))
            labels = pa.array([kept.index(name) for name in strings(table, "class_name")], pa.int64())
            table = table.set_column(table.schema.get_field_index("label"), "label", labels)
        if spec.per_class:
            table = table.filter(pa.array(_capped(table, spec.per_class)))
        if not spec.cv:
            if spec.fold:
                raise SpecError(f"data.fold={spec.fold}: without data.cv there is fold 0 alone")
            return Manifest(self.root, table, self.layout, self.cut)
        splits = splits_of(table, self._tested_in(spec.cv), spec.cv, spec.fold)
        table = table.set_column(
            table.schema.get_field_index("split"), "split", pa.array(splits, pa.string())
        )
        return Manifest(self.root, table, self.layout, ("val", "test"))

    def _tested_in(self, cv: str) -> dict[str, int]:
        if cv not in self._folds:
            self._folds[cv] = tested_in(self.table, cv)
        return self._folds[cv]

    @cached_property
    def _folds(self) -> dict[str, dict[str, int]]:
        return {}


def _capped(table: pa.Table, cap: int) -> NDArray[np.bool_]:
    """A mask of the unreadable rows and of ``cap`` readable ones of each class and split."""
    ids = strings(table, "video_id")
    cells = list(zip(strings(table, "class_name"), strings(table, "split"), strict=True))
    keep = np.array([status != "ok" for status in strings(table, "status")])
    taken: Counter[tuple[str, str]] = Counter()
    for row in sorted(range(len(ids)), key=lambda row: hashlib.sha256(ids[row].encode()).digest()):
        if not keep[row] and taken[cells[row]] < cap:
            taken[cells[row]] += 1
            keep[row] = True
    return keep


def _about(table: pa.Table) -> dict[str, Any]:
    """The metadata of a manifest file."""
    try:
        about = json.loads((table.schema.metadata or {})[_KEY])
    except (KeyError, ValueError):
        raise ManifestError("was not written by `actrec data build`: its metadata names no root") from None
    if not isinstance(about, dict) or about.get("version") != VERSION:
        raise ManifestError(f"is not of version {VERSION}, which this program reads; build it again")
    if (
        not isinstance(about.get("root"), str)
        or not isinstance(about.get("layout"), str)
        or about.get("cut") not in ([], ["val"], ["val", "test"])
    ):
        raise ManifestError("its metadata is damaged (root, layout or cut); build it again")
    return about

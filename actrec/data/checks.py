"""What makes a table of videos a valid manifest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from actrec.errors import ManifestError
from actrec.fields import unknown

SPLITS = ("train", "val", "test", "unused")
STATUSES = ("ok", "unreadable")
_TYPES: dict[str, pa.DataType] = {
    "video_id": pa.string(),
    "path": pa.string(),  # POSIX, within the root
    "label": pa.int64(),  # 0 to K−1
    "class_name": pa.string(),
    "group": pa.string(),
    "block": pa.string(),  # folds of a cross-validation are made within it; empty: there is one block
    "split": pa.string(),
    "num_frames": pa.int64(),
    "fps": pa.float64(),
    "width": pa.int64(),  # pixels
    "height": pa.int64(),
    "seconds": pa.float64(),
    "status": pa.string(),
    "reason": pa.string(),
}
SCHEMA = pa.schema(_TYPES)
_ACCEPTED: dict[pa.DataType, tuple[str, Callable[[pa.DataType], bool]]] = {
    pa.string(): ("strings", lambda kind: pt.is_string(kind) or pt.is_large_string(kind)),
    pa.int64(): ("integers", pt.is_integer),
    pa.float64(): ("numbers", lambda kind: pt.is_floating(kind) or pt.is_integer(kind)),
}
OPTIONAL = {"block": ""}  # columns that a manifest may lack, and what is then in every row

MOST = 10**9  # of frames, pixels, seconds: more is a mistake, and overflows where frames are counted


def check(table: pa.Table, root: Path) -> pa.Table:
    """The table with exactly the manifest's columns and types; others are dropped, optional ones filled in.

    Raises:
        ManifestError: at the first thing wrong; names the column or row, and what is valid.
    """
    table = _columns(table)
    if not len(table):
        raise ManifestError("holds no videos")
    _unique(table, "video_id")
    _unique(table, "path")  # one file as two videos may lie on both sides of a split
    _one_of(table, "split", SPLITS)
    _one_of(table, "status", STATUSES)
    _labels(table)
    _numbers(table)
    check_paths(strings(table, "path"), root)
    _trainable(table)
    return table


def strings(table: pa.Table, name: str) -> list[str]:
    """A column of strings, none of which is null."""
    return cast(list[str], table[name].to_pylist())


def _columns(table: pa.Table) -> pa.Table:
    columns = []
    for name in OPTIONAL.keys() - set(table.schema.names):
        table = table.append_column(name, pa.array([OPTIONAL[name]] * len(table), SCHEMA.field(name).type))
    for field in SCHEMA:
        if (times := table.schema.names.count(field.name)) != 1:
            has = f"{times} columns" if times else "no column"
            raise ManifestError(f"has {has} {field.name!r} (it must have: {', '.join(SCHEMA.names)})")
        column = table[field.name]
        words, accepts = _ACCEPTED[field.type]
        if not accepts(column.type):
            raise ManifestError(f"column {field.name!r} holds {column.type}; it must hold {words}")
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise ManifestError(f"column {field.name!r}, row {row}: has no value")
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowInvalid as error:
            raise ManifestError(f"column {field.name!r}: {error}") from None
    return pa.table(columns, schema=SCHEMA)


def _unique(table: pa.Table, column: str) -> None:
    values = strings(table, column)
    twice = [value for value, number in Counter(values).items() if number > 1]
    if twice:
        rows = [row for row, value in enumerate(values) if value == twice[0]]
        raise ManifestError(f"{column} {twice[0]!r} is in rows {rows}; {len(twice)} of them are not unique")


def _one_of(table: pa.Table, name: str, valid: Sequence[str]) -> None:
    for row, value in enumerate(strings(table, name)):
        if value not in valid:
            raise ManifestError(f"row {row}: {unknown(name, value, valid)}")


def _labels(table: pa.Table) -> None:
    pairs = sorted(set(zip(table["label"].to_pylist(), strings(table, "class_name"), strict=True)))
    labels = [label for label, _ in pairs]
    names = [name for _, name in pairs]
    for values, others, what in ((labels, names, "label"), (names, labels, "class_name")):
        for value, number in Counter(values).items():
            if number > 1:
                both = [other for other, one in zip(others, values, strict=True) if one == value]
                raise ManifestError(f"{what} {value!r} belongs to {both}; a class has one label and one name")
    if labels != list(range(len(labels))):
        wrong = next(label for index, label in enumerate(labels) if label != index)
        raise ManifestError(f"label {wrong}: {len(labels)} classes must be numbered 0 to {len(labels) - 1}")


def _numbers(table: pa.Table) -> None:
    ok = table["status"].to_numpy() == "ok"
    for name in ("num_frames", "fps", "width", "height", "seconds"):
        values = table[name].to_numpy()
        low = 1 if name in ("num_frames", "width", "height") else 0
        wrong = ~np.isfinite(values) | (values < np.where(ok, low, 0)) | (values > MOST)
        if wrong.any():
            row = int(wrong.argmax())
            raise ManifestError(
                f"column {name!r}, row {row}: is {values[row]}; a readable video has {low} to {MOST:,}"
            )


def check_paths(paths: Sequence[str], root: Path) -> None:
    """That every path is one of a file within ``root``; none is opened.

    Raises:
        ManifestError: if one is absolute, goes up, or leaves the root by a link.
    """
    base = os.path.realpath(root)
    folders: dict[str, str] = {}  # resolved once each: there are far fewer folders than files
    for row, path in enumerate(paths):
        posix, windows = PurePosixPath(path), PureWindowsPath(path)
        if posix.is_absolute() or windows.anchor or "\0" in path:
            raise ManifestError(f"row {row}: path {path!r} must be relative to the root {root}")
        if ".." in windows.parts or posix.name in ("", "."):  # Windows parts are cut at both kinds of slash
            raise ManifestError(f"row {row}: path {path!r} must be that of a file within the root {root}")
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(os.path.join(base, folder))
        file = os.path.join(folders[folder], name)
        real = os.path.realpath(file) if os.path.islink(file) else file
        if os.path.commonpath((base, real)) != base:
            raise ManifestError(f"row {row}: path {path!r} leaves the root {root} by a link to {real}")


def _trainable(table: pa.Table) -> None:
    names, splits = strings(table, "class_name"), strings(table, "split")
    rows = zip(names, splits, strings(table, "status"), strict=True)
    able = {name for name, split, status in rows if (split, status) == ("train", "ok")}
    without = sorted(set(names) - able)
    if without:
        more = f" and {len(without) - 8} more" if len(without) > 8 else ""
        raise ManifestError(f"classes without a readable training video: {', '.join(without[:8])}{more}")

"""Cross-validation: which fold tests each video, and what the splits of a fold are.

Every readable video that the manifest's splits use is tested in exactly one fold, and no fold has a group on
two sides. ``leave-one-group-out`` has a fold for each group; ``k`` has k folds of whole groups that are alike
in classes and size. Folds are made within each block of the manifest by itself: what lies outside the test
videos' block is unused in that fold. UT-Interaction's protocol, for one, leaves one sequence out within each
of its two sets.

The rest of the block is cut by group into train and val, 9:1, where val is one group at least. Names decide
all this: neither the rows' order nor a trial's seed does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from actrec.data.checks import strings
from actrec.data.layouts.base import Split
from actrec.data.splits import count_groups, cut, share_out
from actrec.errors import ManifestError, SpecError
from actrec.seeding import numpy_rng

LEAVE_ONE_GROUP_OUT = "leave-one-group-out"
SHARES: Mapping[Split, float] = {"train": 0.9, "val": 0.1}


def check_cv(cv: str) -> int | None:
    """The number of folds of each block that ``cv`` asks for; None where it is the number of groups.

    Raises:
        SpecError: if it is neither ``leave-one-group-out`` nor a number from 2 up.
    """
    if cv == LEAVE_ONE_GROUP_OUT:
        return None
    if not (cv.isascii() and cv.isdecimal() and int(cv) >= 2):
        raise SpecError(f"data.cv={cv!r}: must be {LEAVE_ONE_GROUP_OUT!r} or a number of folds from 2 up")
    return int(cv)


def tested_in(table: pa.Table, cv: str) -> dict[str, int]:
    """Video id → the fold that tests it, from 0, for the readable videos in train, val and test.

    Args:
        table: of a manifest.
        cv: see :func:`check_cv`.

    Raises:
        SpecError: if ``cv`` is not valid, or a block has fewer groups than folds.
        ManifestError: if a group lies in two blocks.
    """
    wanted = check_cv(cv)
    rows = [row for row in table.to_pylist() if row["status"] == "ok" and row["split"] != "unused"]
    block_of = {row["group"]: row["block"] for row in rows}
    folds: dict[str, int] = {}
    first = 0
    for block in sorted(set(block_of.values())):
        ours = [row for row in rows if row["block"] == block]
        for row in ours:
            if block_of[row["group"]] != block:
                raise ManifestError(
                    f"group {row['group']!r} lies in the blocks {block_of[row['group']]!r} and {block!r}; "
                    "a group must lie in one"
                )
        counts, group_of = count_groups(np.array([row["label"] for row in ours]), [r["group"] for r in ours])
        number = len(counts) if wanted is None else wanted
        if len(counts) < max(3, number):  # one to test, one to validate, one to train
            where = f" of block {block!r}" if block else ""
            raise SpecError(
                f"data.cv={cv!r}: the {len(counts)} groups{where} are too few; it needs {max(3, number)}"
            )
        fold = np.arange(number) if wanted is None else _alike(counts, number)
        for row, group in zip(ours, group_of, strict=True):
            folds[row["video_id"]] = first + int(fold[group])
        first += number
    return folds


def _alike(counts: np.ndarray, number: int) -> np.ndarray:
    """The fold of each group, (G,). The size of a fold counts as one further class, so that none is empty: a
    group always falls to an empty fold, while there is one."""
    sized = np.column_stack([counts, counts.sum(axis=1)])
    return share_out(sized, [1 / number] * number, numpy_rng(0, "folds"))


def splits_of(table: pa.Table, tested: Mapping[str, int], cv: str, fold: int) -> list[Split]:
    """The split of each row of ``table`` in one fold.

    Args:
        table: of a manifest, or some of its rows, with their own labels.
        tested: from :func:`tested_in`, of the whole manifest; rows that are not in it are unused.
        cv: what ``tested`` was made by.
        fold: which one.

    Raises:
        SpecError: if there is no such fold.
        ManifestError: if the fold would test nothing, or leave a class without a training video.
    """
    number = 1 + max(tested.values())
    if fold >= number:
        raise SpecError(f"data.fold={fold}: data.cv={cv!r} makes the folds 0 to {number - 1}")
    ids, groups, blocks = (strings(table, name) for name in ("video_id", "group", "block"))
    splits: list[Split] = ["unused"] * len(table)
    test = [row for row, video_id in enumerate(ids) if tested.get(video_id) == fold]
    block = {blocks[row] for row in test}
    rest = [row for row, video_id in enumerate(ids) if video_id in tested and blocks[row] in block]
    rest = sorted(set(rest) - set(test))
    where = f"fold {fold} of data.cv={cv!r}"
    if not test:
        raise ManifestError(f"{where} tests none of the videos that the trial takes")
    where += f", which tests {_some(sorted({groups[row] for row in test}))},"
    labels = table["label"].to_numpy()
    for row in test:
        splits[row] = "test"
    for row, part in zip(rest, _train_val(labels[rest], [groups[row] for row in rest], fold), strict=True):
        splits[row] = part
    if "val" not in splits:
        raise ManifestError(f"{where} can spare no group for validation")
    names = strings(table, "class_name")
    trained = {name for name, part in zip(names, splits, strict=True) if part == "train"}
    if missing := sorted(set(names) - trained):
        raise ManifestError(f"{where} has no training video of: {_some(missing)}")
    return splits


def _train_val(labels: np.ndarray, groups: Sequence[str], fold: int) -> list[Split]:
    parts = cut(labels, groups, SHARES, numpy_rng(0, "folds", fold))
    if "val" in parts:
        return parts
    counts, group_of = count_groups(labels, groups)
    spared = np.flatnonzero(((counts < counts.sum(axis=0)) | (counts == 0)).all(axis=1))
    if len(spared):
        chosen = spared[np.argmin(counts[spared].sum(axis=1))]
        parts = ["val" if group == chosen else "train" for group in group_of]
    return parts


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more

"""Cuts of a data set into splits that never part a group, and one that does, on request.

Not scikit-learn's ``StratifiedGroupKFold``: it makes equal folds only, refuses classes of fewer videos than
folds, may leave a class without training video, and could cut differently in another version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from actrec.data.layouts.base import Listing, Split
from actrec.seeding import numpy_rng

ValCut = Literal["group", "random"]

# Ties go to the earlier one, so a class too small for all three has a test video before a validation video.
THREE_WAYS: Mapping[Split, float] = {"train": 0.6, "test": 0.2, "val": 0.2}
TRAIN_VAL: Mapping[Split, float] = {"train": 0.8, "val": 0.2}


def complete_splits(
    listing: Listing, seed: int, *, val: ValCut = "group"
) -> tuple[list[Split], tuple[Split, ...]]:
    """The split of each entry, with what the lists left open cut here, and the splits that were cut.

    Without lists everything is cut 60/20/20. With lists but no validation, validation is cut from train, 4:1.
    The cut depends on names and ``seed`` alone, not on which files are there or decode. With ``val`` random,
    validation is cut by :func:`random_val` in any case.
    """
    given = [entry.split for entry in listing.entries]
    label = {name: index for index, name in enumerate(listing.classes)}
    labels = np.array([label[entry.class_name] for entry in listing.entries], dtype=np.int64)
    groups = [entry.group for entry in listing.entries]
    rng = numpy_rng(seed, "splits")
    if all(split is None for split in given):
        splits = cut(labels, groups, THREE_WAYS, rng)
        return random_val(labels, splits, rng) if val == "random" else splits, ("val", "test")
    assert None not in given  # a layout gives a split to every video or to none
    splits = cast(list[Split], given)
    if val == "random":
        return random_val(labels, splits, rng), ("val",)
    if "val" in splits:
        return splits, ()
    train = [row for row, split in enumerate(splits) if split == "train"]
    parts = cut(labels[train], [groups[row] for row in train], TRAIN_VAL, rng)
    for row, part in zip(train, parts, strict=True):
        splits[row] = part
    return splits, ("val",)


def random_val(labels: NDArray[np.int64], splits: Sequence[Split], rng: np.random.Generator) -> list[Split]:
    """The splits with train and val thrown together and cut anew, 4:1 at random in each class.

    Groups fall on both sides, so validation tells of videos that resemble those trained on, and promises more
    than the test keeps. Many have done it; it is here for studies of what it does.
    """
    found = list(splits)
    for label in np.unique(labels):
        rows = [row for row in np.flatnonzero(labels == label).tolist() if splits[row] in ("train", "val")]
        held = set(rng.permutation(rows)[: round(TRAIN_VAL["val"] * len(rows))].tolist())
        for row in rows:
            found[row] = "val" if row in held else "train"
    return found


def cut(
    labels: NDArray[np.int64], groups: Sequence[str], shares: Mapping[Split, float], rng: np.random.Generator
) -> list[Split]:
    """Assign every video a split of ``shares``, near to its share in every class; a group stays whole.

    See :func:`share_out`. A class always keeps a training video; one with a single group is in train alone.

    Args:
        labels: the class of each video, (N,).
        groups: the group of each video.
        shares: split → fraction of each class; they sum to 1 and hold "train".
        rng: decides among equal groups.
    """
    counts, group_of = count_groups(labels, groups)
    parts = list(shares)
    chosen = share_out(counts, list(shares.values()), rng)
    train = parts.index("train")
    for label in np.flatnonzero(counts.any(axis=0)):
        holders = np.flatnonzero(counts[:, label])
        if train not in chosen[holders]:
            chosen[holders[np.argmin(counts[holders].sum(axis=1))]] = train
    return [parts[chosen[group]] for group in group_of]


def count_groups(
    labels: NDArray[np.int64], groups: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Videos of each group and class (G, K), groups in the order of their names; each video's group (N,)."""
    names, group_of = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    counts = np.zeros((len(names), int(labels.max(initial=-1)) + 1), np.int64)
    np.add.at(counts, (group_of, labels), 1)
    return counts, group_of


def share_out(
    counts: NDArray[np.int64], shares: Sequence[float], rng: np.random.Generator
) -> NDArray[np.int64]:
    """The part that each group goes to, (G,): each near to its share of every column of ``counts`` (G, K).

    Each group, largest first and in random order among equals, goes to the part that falls furthest short in
    the group's columns.
    """
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    fractions = counts / np.maximum(counts.sum(axis=0), 1)
    short = np.tile(np.array(shares)[:, None], counts.shape[1])  # part × column, in fractions
    chosen = np.empty(len(counts), dtype=np.int64)
    for group in order:
        # Of all parts, this one brings the squared distance to the shares down most: the distance changes
        # by Σ g(g − 2·short) over the group's columns, and only `short` depends on the part.
        chosen[group] = np.argmax((short @ fractions[group]).round(9))
        short[chosen[group]] -= fractions[group]
    return chosen

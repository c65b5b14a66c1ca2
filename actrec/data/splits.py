"""Cuts of a data set into splits that never part a group.

Not scikit-learn's ``StratifiedGroupKFold``: it makes equal folds only, refuses classes of fewer videos than
folds, may leave a class without training video, and could cut differently in another version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from actrec.data.layouts.base import Listing, Split
from actrec.seeding import numpy_rng

# Ties go to the earlier one, so a class too small for all three has a test video before a validation video.
THREE_WAYS: Mapping[Split, float] = {"train": 0.6, "test": 0.2, "val": 0.2}
TRAIN_VAL: Mapping[Split, float] = {"train": 0.8, "val": 0.2}


def complete_splits(listing: Listing, seed: int) -> tuple[list[Split], tuple[Split, ...]]:
    """The split of each entry, with what the lists left open cut here, and the splits that were cut.

    Without lists everything is cut 60/20/20. With lists but no validation, validation is cut from train, 4:1.
    The cut depends on names and ``seed`` alone, not on which files are there or decode.
    """
    given = [entry.split for entry in listing.entries]
    label = {name: index for index, name in enumerate(listing.classes)}
    labels = np.array([label[entry.class_name] for entry in listing.entries], dtype=np.int64)
    groups = [entry.group for entry in listing.entries]
    rng = numpy_rng(seed, "splits")
    if all(split is None for split in given):
        return cut(labels, groups, THREE_WAYS, rng), ("val", "test")
    assert None not in given  # a layout gives a split to every video or to none
    splits = cast(list[Split], given)
    if "val" in splits:
        return splits, ()
    train = [row for row, split in enumerate(splits) if split == "train"]
    parts = cut(labels[train], [groups[row] for row in train], TRAIN_VAL, rng)
    for row, part in zip(train, parts, strict=True):
        splits[row] = part
    return splits, ("val",)


def cut(
    labels: NDArray[np.int64], groups: Sequence[str], shares: Mapping[Split, float], rng: np.random.Generator
) -> list[Split]:
    """Assign every video a split of ``shares``, near to its share in every class; a group stays whole.

    Each group, largest first and in random order among equals, goes to the split that falls furthest short
    in the group's classes. A class always keeps a training video; one with a single group is in train alone.

    Args:
        labels: the class of each video, (N,).
        groups: the group of each video.
        shares: split → fraction of each class; they sum to 1 and hold "train".
        rng: decides among equal groups.
    """
    names, group_of = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    counts = np.zeros((len(names), int(labels.max(initial=-1)) + 1))  # group × class
    np.add.at(counts, (group_of, labels), 1)
    parts = list(shares)
    order = rng.permutation(len(names))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    fractions = counts / np.maximum(counts.sum(axis=0), 1)
    short = np.tile(np.array(list(shares.values()))[:, None], counts.shape[1])  # split × class, in fractions
    chosen = np.empty(len(names), dtype=np.int64)
    for group in order:
        # Of all splits, this one brings the squared distance to the shares down most: the distance changes
        # by Σ g(g − 2·short) over the group's classes, and only `short` depends on the split.
        chosen[group] = np.argmax((short @ fractions[group]).round(9))
        short[chosen[group]] -= fractions[group]
    train = parts.index("train")
    for label in np.flatnonzero(counts.any(axis=0)):
        holders = np.flatnonzero(counts[:, label])
        if train not in chosen[holders]:
            chosen[holders[np.argmin(counts[holders].sum(axis=1))]] = train
    return [parts[chosen[group]] for group in group_of]

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from actrec.data.layouts.base import Entry, Listing, Split
from actrec.data.splits import THREE_WAYS, TRAIN_VAL, complete_splits, cut, random_val
from actrec.seeding import numpy_rng


def long_tailed(seed: int) -> tuple[NDArray[np.int64], list[str]]:
    """600 videos of 12 long-tailed classes in about 150 groups of 1 to 30, most with several classes."""
    rng = numpy_rng(seed, "test")
    labels = np.minimum(rng.geometric(0.25, size=600) - 1, 11).astype(np.int64)
    groups = [f"g{int(group)}" for group in np.minimum(rng.geometric(0.02, size=600), 200)]
    return labels, groups


def spread(labels: NDArray[np.int64], splits: list[Split], share: float, split: Split) -> float:
    """Mean distance, over classes, of the split's part of the class to its share."""
    part = np.array([one == split for one in splits])
    return float(np.mean([abs(part[labels == label].mean() - share) for label in np.unique(labels)]))


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_whole(seed: int) -> None:
    labels, groups = long_tailed(seed)
    splits_of = defaultdict(set)
    for group, split in zip(groups, cut(labels, groups, THREE_WAYS, numpy_rng(seed)), strict=True):
        splits_of[group].add(split)
    assert all(len(splits) == 1 for splits in splits_of.values())


@pytest.mark.parametrize("seed", range(5))
def test_as_well_stratified_as_scikit_learn(seed: int) -> None:
    labels, groups = long_tailed(seed)
    # It warns of classes smaller than its folds, so the comparison is without them.
    common = np.isin(labels, np.flatnonzero(np.bincount(labels) >= 5))
    labels, groups = labels[common], [group for group, kept in zip(groups, common, strict=True) if kept]
    folds = StratifiedGroupKFold(n_splits=5, shuffle=True, random_state=seed)
    _, fold = next(folds.split(labels, labels, groups))
    theirs: list[Split] = ["train"] * len(labels)
    for row in fold:
        theirs[row] = "val"
    ours = cut(labels, groups, TRAIN_VAL, numpy_rng(seed))
    assert spread(labels, ours, 0.2, "val") <= spread(labels, theirs, 0.2, "val")


def test_exact_where_it_can_be() -> None:
    # Two classes of 20 groups of one video each: 60/20/20 is 12, 4 and 4 in each class.
    labels = np.repeat(np.arange(2), 20)
    splits = cut(labels, [str(row) for row in range(40)], THREE_WAYS, numpy_rng(0))
    assert Counter(zip(labels.tolist(), splits, strict=True)) == {
        (label, split): number
        for label in range(2)
        for split, number in (("train", 12), ("val", 4), ("test", 4))
    }


def test_groups_shared_by_all_classes() -> None:
    # UT-Interaction's shape: 20 sequences, each with one video of each of 6 classes.
    labels, groups = np.tile(np.arange(6), 20), [str(row // 6) for row in range(120)]
    splits = cut(labels, groups, THREE_WAYS, numpy_rng(3))
    assert Counter(splits) == {"train": 72, "val": 24, "test": 24}


@pytest.mark.parametrize(
    ("videos", "expected"),
    # Of 3, (1.8, 0.6, 0.6) is nearest in whole videos to (2, 1, 0) and (2, 0, 1): test comes first. Of 2,
    # (1.2, 0.4, 0.4) is nearer to (1, 1, 0), at 0.56, than to (2, 0, 0), at 0.96 (squared).
    [
        (1, {"train": 1}),
        (2, {"train": 1, "test": 1}),
        (3, {"train": 2, "test": 1}),
        (5, {"train": 3, "val": 1, "test": 1}),
    ],
)
def test_tiny_classes(videos: int, expected: dict[str, int]) -> None:
    labels = np.zeros(videos, dtype=np.int64)
    assert Counter(cut(labels, [str(row) for row in range(videos)], THREE_WAYS, numpy_rng(1))) == expected


@pytest.mark.parametrize("seed", range(10))
def test_every_class_keeps_a_training_video(seed: int) -> None:
    # Class 1 is in one group only, which is large in class 0: for class 0's sake it need not go to train.
    labels = np.array([0] * 10 + [0] * 4 + [1])
    groups = ["big"] * 10 + ["small"] * 5
    splits = cut(labels, groups, {"train": 0.6, "test": 0.4}, numpy_rng(seed))
    assert splits[-1] == "train"
    labels, groups = long_tailed(seed)
    trained = {
        label
        for label, split in zip(labels, cut(labels, groups, THREE_WAYS, numpy_rng(seed)), strict=True)
        if split == "train"
    }
    assert trained == set(labels)


def test_random_validation_parts_groups_on_purpose() -> None:
    """As papers do it: 4:1 in each class, whatever the groups; what is not train or val stays as it is."""
    labels = np.repeat(np.arange(3), (50, 20, 10))
    splits: list[Split] = ["train"] * 80
    splits[0:5] = ["test"] * 5
    splits[5:15] = ["val"] * 10
    splits[15] = "unused"
    found = random_val(labels, splits, numpy_rng(0))
    assert found[:5] == ["test"] * 5
    assert found[15] == "unused"
    # A fifth of 44, 20 and 10, to the nearest.
    held = Counter(label for label, split in zip(labels.tolist(), found, strict=True) if split == "val")
    assert held == {0: 9, 1: 4, 2: 2}
    assert found == random_val(labels, splits, numpy_rng(0)) != random_val(labels, splits, numpy_rng(1))


def test_lists_may_have_their_validation_cut_anew_at_random() -> None:
    given: list[Split] = ["train"] * 20
    given += ["val", "val", "test"]
    splits, made = complete_splits(listing(given), 0, val="random")
    assert (Counter(splits), made) == ({"train": 18, "val": 4, "test": 1}, ("val",))
    splits, made = complete_splits(listing([None] * 20), 0, val="random")
    assert (Counter(splits), made) == ({"train": 13, "val": 3, "test": 4}, ("val", "test"))
    groups = {split: {row // 2 for row, one in enumerate(splits) if one == split} for split in set(splits)}
    assert groups["train"] & groups["val"]
    assert not groups["test"] & (groups["train"] | groups["val"])


def test_seed_decides_and_repeats() -> None:
    labels, groups = long_tailed(0)
    again = [cut(labels, groups, THREE_WAYS, numpy_rng(seed)) for seed in (0, 0, 1)]
    assert again[0] == again[1] != again[2]


def listing(splits: Sequence[Split | None]) -> Listing:
    entries = tuple(
        Entry(f"a/{row}", f"a/{row}", "a", str(row // 2), split) for row, split in enumerate(splits)
    )
    return Listing(("a",), entries)


def test_validation_is_cut_from_train_alone() -> None:
    given: list[Split] = ["train"] * 20
    given += ["test", "test", "unused", "unused"]
    splits, made = complete_splits(listing(given), 0)
    assert made == ("val",)
    assert Counter(splits) == {"train": 16, "val": 4, "test": 2, "unused": 2}
    assert splits[20:] == ["test", "test", "unused", "unused"]


def test_no_lists_no_videos_to_cut_from() -> None:
    splits, made = complete_splits(listing([None] * 20), 0)
    assert made == ("val", "test")
    assert Counter(splits) == {"train": 12, "val": 4, "test": 4}
    assert complete_splits(listing(["test", "test"]), 0) == (["test", "test"], ("val",))

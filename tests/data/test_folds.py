"""Cross-validation on the manifest: what every fold must keep."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from actrec.data.checks import strings
from actrec.data.folds import LEAVE_ONE_GROUP_OUT, check_cv
from actrec.data.manifest import Manifest
from actrec.errors import ManifestError, SpecError
from actrec.seeding import numpy_rng
from actrec.spec import DataSpec


def manifest(
    root: Path, labels: Sequence[int], groups: Sequence[str], blocks: Sequence[str] | None = None
) -> Manifest:
    """Videos that are all in train, but for what ``status`` and ``split`` columns are set to afterwards."""
    count = len(labels)
    columns: dict[str, list[Any]] = {
        "video_id": [f"v{row:04d}" for row in range(count)],
        "path": [f"{row}.avi" for row in range(count)],
        "label": list(labels),
        "class_name": [f"class {label}" for label in labels],
        "group": list(groups),
        "split": ["train"] * count,
        "num_frames": [10] * count,
        "fps": [5.0] * count,
        "width": [4] * count,
        "height": [3] * count,
        "seconds": [2.0] * count,
        "status": ["ok"] * count,
        "reason": [""] * count,
    }
    if blocks is not None:
        columns["block"] = list(blocks)
    return Manifest.from_columns(root, columns, layout="folder", cut=("val", "test"))


def interaction(root: Path, sets: int = 2) -> Manifest:
    """UT-Interaction's shape: sequences of one video of each of 6 classes, ten to a set."""
    sequences = np.repeat(np.arange(10 * sets), 6)
    return manifest(
        root,
        np.tile(np.arange(6), 10 * sets).tolist(),
        [f"s{one + 1}" for one in sequences],
        [f"set {one // 10 + 1}" for one in sequences],
    )


def long_tailed(root: Path, seed: int = 0) -> Manifest:
    """600 videos of 12 long-tailed classes in about 150 groups of 1 to 30, most with several classes."""
    rng = numpy_rng(seed, "test")
    labels = np.minimum(rng.geometric(0.25, size=600) - 1, 11)
    groups = [f"g{int(group)}" for group in np.minimum(rng.geometric(0.02, size=600), 200)]
    return manifest(root, labels.tolist(), groups)


def folds(whole: Manifest, cv: str) -> list[Manifest]:
    return [whole.select(DataSpec(cv=cv, fold=fold)) for fold in range(whole.folds(cv))]


def changed(whole: Manifest, name: str, rows: Sequence[int], value: str) -> Manifest:
    values = whole.table[name].to_pylist()
    for row in rows:
        values[row] = value
    index = whole.table.schema.get_field_index(name)
    return Manifest(
        whole.root, whole.table.set_column(index, name, pa.array(values)), whole.layout, whole.cut
    )


@pytest.mark.parametrize("cv", ["2", "5", "10", LEAVE_ONE_GROUP_OUT])
def test_each_video_is_tested_once_and_groups_stay_whole(tmp_path: Path, cv: str) -> None:
    for whole in (interaction(tmp_path), long_tailed(tmp_path)):
        tested: Counter[str] = Counter()
        for part in folds(whole, cv):
            counts = part.counts()
            assert counts.straddling == {}
            assert counts.absent["train"] == ()
            assert len(part.table) == len(whole.table), "what is not used stays, to be counted"
            assert len(part.column("video_id", "val")) > 0
            tested.update(part.column("video_id", "test"))
        assert tested == Counter(whole.table["video_id"].to_pylist())


def test_one_sequence_is_left_out_within_its_set(tmp_path: Path) -> None:
    whole = interaction(tmp_path)
    parts = folds(whole, LEAVE_ONE_GROUP_OUT)
    assert len(parts) == 20
    for part in parts:
        (left,) = set(part.column("group", "test"))
        blocks = {split: set(part.column("block", split)) for split in ("train", "val", "test", "unused")}
        (ours,) = blocks["test"]
        assert blocks["train"] == blocks["val"] == {ours}
        assert blocks["unused"] == {"set 1", "set 2"} - {ours}
        assert left not in part.column("group", "train")
        # Of the nine other sequences one is for validation: 9:1 is nearest to 8 and 1.
        assert {split: len(part.column("label", split)) for split in ("train", "val", "test", "unused")} == {
            "train": 48,
            "val": 6,
            "test": 6,
            "unused": 60,
        }
    assert [len(folds(interaction(tmp_path, sets=1), cv)) for cv in ("5", LEAVE_ONE_GROUP_OUT)] == [5, 10]
    assert len(folds(whole, "5")) == 10, "five in each block"


@pytest.mark.parametrize("seed", range(3))
def test_as_well_stratified_as_scikit_learn(tmp_path: Path, seed: int) -> None:
    whole = long_tailed(tmp_path, seed)
    labels, groups = whole.table["label"].to_numpy(), whole.table["group"].to_pylist()
    common = np.flatnonzero(np.bincount(labels) >= 5)  # it warns of smaller classes

    def spread(parts: list[np.ndarray]) -> float:
        """Mean distance, over folds and classes, of the fold's part of the class to a fifth."""
        sizes = np.array([np.bincount(part, minlength=12) for part in parts])[:, common]
        return float(np.abs(sizes / sizes.sum(axis=0) - 0.2).mean())

    kept = np.isin(labels, common)
    chosen = [group for group, one in zip(groups, kept, strict=True) if one]
    theirs = StratifiedGroupKFold(n_splits=5, shuffle=True, random_state=0).split(
        kept[kept], labels[kept], chosen
    )
    ours = [part.column("label", "test") for part in folds(whole, "5")]
    assert spread(ours) <= 1.1 * spread([labels[kept][rows] for _, rows in theirs])
    assert max(map(len, ours)) - min(map(len, ours)) <= 12, "alike in size too"


def test_no_fold_is_empty_where_there_are_groups_enough(tmp_path: Path) -> None:
    """Classes of one group each would all go to the first fold, were it not for its size."""
    whole = manifest(tmp_path, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3], list("abcdefghijkl"))
    assert [len(part.column("label", "test")) for part in folds(whole, "12")] == [1] * 12
    assert [len(part.column("label", "test")) for part in folds(whole, "4")] == [3] * 4


def test_rows_in_another_order_make_the_same_folds(tmp_path: Path) -> None:
    whole = long_tailed(tmp_path)
    order = numpy_rng(0, "order").permutation(len(whole.table))
    shuffled = Manifest(tmp_path, whole.table.take(order), whole.layout, whole.cut)
    assert [part.digest for part in folds(shuffled, "5")] == [part.digest for part in folds(whole, "5")]


def test_what_does_not_open_or_is_unused_is_in_no_fold(tmp_path: Path) -> None:
    whole = changed(interaction(tmp_path), "status", [0, 7], "unreadable")
    whole = changed(whole, "split", [1, 8], "unused")
    tested = np.concatenate([part.column("video_id", "test") for part in folds(whole, "5")])
    assert sorted(tested) == [f"v{row:04d}" for row in range(120) if row not in (0, 1, 7, 8)]
    for part in folds(whole, "5"):
        splits = part.table["split"].to_pylist()
        assert [splits[row] for row in (0, 1, 7, 8)] == ["unused"] * 4


def test_the_original_splits_do_not_matter(tmp_path: Path) -> None:
    whole = interaction(tmp_path)
    other = changed(whole, "split", range(60), "test")
    ids = [part.column("video_id", "test").tolist() for part in folds(whole, "5")]
    assert [part.column("video_id", "test").tolist() for part in folds(other, "5")] == ids


def test_folds_are_those_of_the_whole_manifest(tmp_path: Path) -> None:
    """So that arms with fewer videos are tested on the same ones, as far as they have them."""
    whole = interaction(tmp_path)
    for fold in range(whole.folds("5")):
        tested = set(whole.select(DataSpec(cv="5", fold=fold)).column("video_id", "test"))
        some = whole.select(DataSpec(cv="5", fold=fold, classes=("class 1", "class 4")))
        assert set(some.column("video_id", "test")) < tested
        assert set(some.column("label", "train")) == {0, 1}


@pytest.mark.parametrize("cv", ["1", "0", "-3", "2.5", "leave_one_out", "٣"])
def test_what_is_no_cross_validation(tmp_path: Path, cv: str) -> None:
    with pytest.raises(SpecError, match=r"must be 'leave-one-group-out' or a number of folds from 2 up"):
        check_cv(cv)
    with pytest.raises(SpecError, match=r"data\.cv="):
        interaction(tmp_path).select(DataSpec(cv=cv))


def test_folds_that_cannot_be(tmp_path: Path) -> None:
    whole = interaction(tmp_path)
    with pytest.raises(SpecError, match=r"the 10 groups of block 'set 1' are too few; it needs 11"):
        whole.folds("11")
    with pytest.raises(SpecError, match=r"data\.fold=10: data\.cv='5' makes the folds 0 to 9"):
        whole.select(DataSpec(cv="5", fold=10))
    with pytest.raises(SpecError, match=r"data\.fold=1: without data\.cv there is fold 0 alone"):
        whole.select(DataSpec(fold=1))
    with pytest.raises(ManifestError, match=r"group 's1' lies in the blocks 'set 1' and 'set 2'"):
        changed(whole, "block", [0], "set 2").folds("5")
    assert whole.folds("") == 1


def test_a_class_that_a_fold_cannot_train_is_named(tmp_path: Path) -> None:
    alone = manifest(tmp_path, [0, 0, 0, 0, 1], list("abcde"))
    with pytest.raises(ManifestError, match=r"fold 4 .* tests e, has no training video of: class 1"):
        folds(alone, LEAVE_ONE_GROUP_OUT)
    elsewhere = manifest(tmp_path, [0, 0, 0, 1, 1, 1], list("abcdef"), ["x"] * 3 + ["y"] * 3)
    with pytest.raises(ManifestError, match=r"fold 0 .* has no training video of: class 1"):
        folds(elsewhere, LEAVE_ONE_GROUP_OUT)
    only = manifest(tmp_path, [0, 1, 0, 1], ["a", "a", "b", "c"])
    with pytest.raises(ManifestError, match=r"fold 0 .* tests a, can spare no group for validation"):
        folds(only, LEAVE_ONE_GROUP_OUT)


def test_blocks_are_content_and_may_be_absent(tmp_path: Path) -> None:
    whole = interaction(tmp_path)
    whole.write(tmp_path / "m.parquet")
    assert Manifest.read(tmp_path / "m.parquet").table.equals(whole.table)
    digests = defaultdict(list)
    for table in (whole.table, whole.table.drop_columns("block")):
        made = Manifest(tmp_path, table, "folder", ("val", "test"))
        digests[made.digest].append(sorted(set(strings(made.table, "block"))))
    assert list(digests.values()) == [[["set 1", "set 2"]], [[""]]]

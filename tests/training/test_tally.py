"""Exact evaluation: whatever the cut and the order, the same metrics bit for bit, and scikit-learn's."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, top_k_accuracy_score

from actrec.errors import DataError
from actrec.training.tally import Tally, merge

CLASSES = 7


def clips(
    videos: int = 40, each: int = 3, seed: int = 0
) -> tuple[list[str], list[int], np.ndarray, np.ndarray]:
    """Softmax scores of ``each`` clips of every video; the last two classes never occur."""
    rng = np.random.default_rng(seed)
    video_ids = [f"v{number:03d}" for number in range(videos) for _ in range(each)]
    labels = [number % (CLASSES - 2) for number in range(videos) for _ in range(each)]
    scores = rng.dirichlet(np.ones(CLASSES), len(video_ids)).astype(np.float32)
    return video_ids, labels, scores, -np.log(scores[np.arange(len(labels)), labels])


def tally_of(rows: np.ndarray, seed: int = 0) -> Tally:
    video_ids, labels, scores, losses = clips(seed=seed)
    return Tally.of([video_ids[row] for row in rows], np.array(labels)[rows], scores[rows], losses[rows])


def assert_same(one: Tally, other: Tally) -> None:
    assert one.video_ids == other.video_ids
    for name in ("labels", "scores", "losses", "clips"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_any_cut_in_any_order_gives_the_same_tally_bit_for_bit(parts: int) -> None:
    whole = tally_of(np.arange(120))
    shuffled = np.random.default_rng(parts).permutation(120)
    ends = np.linspace(0, 120, parts + 1).astype(int)
    cut = merge([tally_of(shuffled[start:end]) for start, end in pairwise(ends)])
    assert_same(cut, whole)
    assert cut.metrics() == whole.metrics()


def test_metrics_are_scikit_learns_with_classes_that_never_occur() -> None:
    tally = tally_of(np.arange(120))
    scores = clips()[2].astype(np.float64).reshape(40, 3, CLASSES).mean(axis=1)
    labels, predicted = np.arange(40) % (CLASSES - 2), scores.argmax(axis=1)
    measured = tally.metrics()
    assert measured["top1"] == accuracy_score(labels, predicted)
    assert measured["top5"] == top_k_accuracy_score(labels, scores, k=5, labels=range(CLASSES))
    assert measured["macro_f1"] == pytest.approx(
        f1_score(labels, predicted, average="macro", zero_division=0.0), abs=1e-15
    )
    assert measured["loss"] == pytest.approx(np.mean(clips()[3], dtype=np.float64), rel=1e-9)
    np.testing.assert_allclose(tally.mean_scores(), scores, atol=1e-12)


def test_top5_with_fewer_classes_and_ties_goes_to_the_lower_class() -> None:
    tally = Tally.of(["a", "b"], [0, 1], [[0.5, 0.5], [0.5, 0.5]], [1.0, 1.0])
    assert tally.predicted().tolist() == [0, 0]
    assert tally.metrics()["top1"] == 0.5
    assert tally.metrics()["top5"] == 1.0


def test_rows_are_means_over_the_clips_in_order_of_id() -> None:
    tally = Tally.of(["b", "a", "b"], [1, 0, 1], [[1.0, 0.0], [0.25, 0.75], [0.5, 0.5]], [1, 2, 3])
    assert list(tally.rows()) == [("a", 0, [0.25, 0.75]), ("b", 1, [0.75, 0.25])]
    assert tally.loss() == 2.0  # a: 2; b: (1 + 3) / 2


def test_a_clip_that_came_twice_or_not_at_all_is_found() -> None:
    rows = np.arange(120)
    tally_of(rows).check_clips(3)
    with pytest.raises(DataError, match="'v000' was evaluated on 4 clips, not 3"):
        merge([tally_of(rows), tally_of(rows[:1])]).check_clips(3)
    with pytest.raises(DataError, match="'v039' was evaluated on 2 clips, not 3"):
        tally_of(rows[:-1]).check_clips(3)


def test_a_video_with_two_labels_is_an_error() -> None:
    one, other = (Tally.of(["a"], [label], [[1, 0]], [0]) for label in (0, 1))
    with pytest.raises(DataError, match="video 'a' has two labels"):
        merge([one, other])


def test_an_empty_part_changes_nothing() -> None:
    empty = Tally.of([], [], np.empty((0, CLASSES)), [])
    assert np.isnan(empty.loss())
    assert_same(merge([empty, tally_of(np.arange(120))]), tally_of(np.arange(120)))


def test_a_loss_that_is_not_a_number_shows() -> None:
    tally = Tally.of(["a", "b"], [0, 1], [[1.0, 0.0], [np.nan, np.nan]], [0, np.nan])
    assert np.isnan(tally.loss())


def test_a_tally_is_small_on_its_way_between_processes() -> None:
    tally = tally_of(np.arange(120))
    assert len(pickle.dumps(tally)) < tally.scores.nbytes + 40 * 64 + 1024
    assert_same(pickle.loads(pickle.dumps(tally)), tally)  # noqa: S301

"""From the table of predictions to what came of each video; no Ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actrec.engine.outcomes import read_outcomes
from actrec.errors import LedgerError
from actrec.results.ledger import Ledger


def append(ledger: Ledger, name: str, videos: Sequence[int], classes: int = 4) -> None:
    trial = {"trial_id": name, "arm": "a", "factor": "", "level": "", "seed": 0, "status": "ok"}
    rows: list[dict[str, Any]] = []
    for video in videos:
        scores = np.full(classes, 0.1)
        scores[(video + 1) % classes] = 0.6
        rows.append(
            {
                "video_id": f"v{video}",
                "group": f"g{video // 2}",
                "fold": 0,
                "label": video % 4,
                "scores": scores,
            }
        )
    ledger.append(trial, [], rows)


def test_folds_of_a_trial_make_one_row_and_order_does_not_matter(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.claim()
    append(ledger, "a0", [0, 1, 2])
    append(ledger, "a1", [4, 3])
    ledger.compact()
    append(ledger, "b0", [3, 1, 0, 2, 4])
    append(ledger, "other", [0])
    found = read_outcomes(ledger, {"a0": ("a", 0), "a1": ("a", 0), "b0": ("b", 0)})
    assert found is not None
    assert set(found.cells) == {("a", 0), ("b", 0)}
    ours, theirs = (found.predicted[found.cells[arm, 0]] for arm in "ab")
    assert (ours == theirs).all()
    assert (ours == (found.labels + 1) % 4).all()
    assert found.groups.tolist() == [f"g{video // 2}" for video in range(5)]
    # The label of video 3, class 3, has the score of classes 1 and 2 and comes after them; class 0 has 0.6.
    assert found.rank[0].tolist() == [1, 2, 3, 3, 1]
    assert found.loss[0] == pytest.approx(-np.log(0.1))


def test_a_video_that_a_trial_lacks_is_missing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.claim()
    append(ledger, "a0", [0, 1])
    append(ledger, "b0", [1])
    found = read_outcomes(ledger, {"a0": ("a", 0), "b0": ("b", 0)})
    assert found is not None
    assert found.predicted[found.cells["b", 0]].tolist() == [-1, 2]
    assert np.isnan(found.loss[found.cells["b", 0]]).tolist() == [True, False]


def test_no_predictions(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.claim()
    append(ledger, "a0", [])
    assert read_outcomes(ledger, {"a0": ("a", 0)}) is None


def test_scores_of_unequal_length_are_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.claim()
    append(ledger, "a0", [0])
    append(ledger, "b0", [0], classes=5)
    with pytest.raises(LedgerError, match=r"number of classes: \[4, 5\]"):
        read_outcomes(ledger, {"a0": ("a", 0), "b0": ("b", 0)})

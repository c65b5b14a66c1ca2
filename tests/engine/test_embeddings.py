from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from actrec.engine import embeddings
from actrec.spec import TrialSpec, override
from actrec.study.plan import Trial
from actrec.training.tally import Tally


def trial(key: str, arm: str, seed: int, fold: int = 0) -> Trial:
    return Trial(key, arm, "", "", seed, override(TrialSpec(), {"data.cv": "2", "data.fold": fold}))


def test_the_first_seed_and_fold_of_each_arm_is_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [
        trial("b00", "baseline", 0),
        trial("b01", "baseline", 0, fold=1),
        trial("a00", "a=x", 0),
        trial("b10", "baseline", 1),
        trial("c10", "c=y", 1),  # of an arm that began with a later seed
    ]
    assert embeddings.first_seeds(trials) == {"b00", "a00", "c10"}
    monkeypatch.setattr(embeddings, "MOST_ARMS", 2)
    assert embeddings.first_seeds(trials) == {"b00", "a00"}


def test_a_row_is_the_mean_of_a_videos_clips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    vectors = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 8.0]])
    tally = Tally.of(["v", "v", "w"], [0, 0, 1], vectors, [0.0] * 3)
    rows = embeddings.rows_of(tally)
    embeddings.write(tmp_path, "abc", rows, print)
    found = pq.read_table(tmp_path / "embeddings" / "abc.parquet").to_pylist()
    assert found == [
        {"trial_id": "abc", "video_id": "v", "vector": [2.0, 3.0]},
        {"trial_id": "abc", "video_id": "w", "vector": [0.0, 8.0]},
    ]
    monkeypatch.setattr(embeddings, "MOST_VIDEOS", 1)
    assert len(embeddings.rows_of(tally)) == 1


def test_what_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "embeddings").write_text("in the way")
    said: list[str] = []
    embeddings.write(tmp_path, "abc", [{"video_id": "v", "vector": [1.0]}], said.append)
    assert len(said) == 1
    assert said[0].startswith("note: the report cannot map trial abc: ")

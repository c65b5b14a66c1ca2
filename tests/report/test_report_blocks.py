from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from actrec.report.blocks import by_block
from actrec.report.page import build_report
from actrec.report.tables import load
from actrec.report.values import Arm, Trial
from actrec.report.videos import BlockScore
from actrec.results.schema import table
from tests.report import tiny


def write_videos(folder: Path, **block_of: str) -> Path:
    """The tiny study whose test videos lie in these blocks."""
    row = {"class_name": "zero", "group": "g", "split": "test", "status": "ok"}
    rows = [row | {"video_id": video, "block": block} for video, block in block_of.items()]
    pq.write_table(table("videos", rows), tiny.write_tiny(folder) / "videos.parquet")
    return folder


def test_top1_is_told_by_block_for_the_baseline_and_the_best_change(tmp_path: Path) -> None:
    # Of v0, v1 and v2 the baseline's seeds have 3 and 2 right, of v3 1 and 0; the one finished seed of the
    # change has 3 and 0. √((1 − 5/6)² + (2/3 − 5/6)²) = 0.236 and √(2 · 0.5²) = 0.707 are the deviations.
    folder = write_videos(tmp_path, v0="set1", v1="set1", v2="set1", v3="set2")
    assert load(folder).blocks == (
        BlockScore("baseline", "set1", 3, (1.0, 2 / 3)),
        BlockScore("baseline", "set2", 1, (1.0, 0.0)),
        BlockScore("a=x", "set1", 3, (1.0,)),
        BlockScore("a=x", "set2", 1, (0.0,)),
    )
    text = build_report(folder).read_text(encoding="utf-8")
    assert "Top-1 in each block" in text
    for mean, deviation in (("83.3", "23.6"), ("50.0", "70.7")):
        assert f'<strong>{mean}</strong><span class="muted"> ± {deviation}</span>' in text


def test_one_block_is_not_worth_a_table(tmp_path: Path) -> None:
    folder = write_videos(tmp_path, v0="", v1="", v2="", v3="")
    assert load(folder).blocks == ()
    assert "Top-1 in each block" not in build_report(folder).read_text(encoding="utf-8")


def test_a_seed_of_a_cross_validation_is_all_of_its_folds() -> None:
    # Fold 0 has 1 of 1 right, fold 1 1 of 2: together 2 of 3, not the 3/4 that a mean over folds would be.
    # Of seed 1 a fold is missing, so it does not count.
    tested = {"t0": (0, 0, {"v0": 1}), "t1": (0, 1, {"v1": 1, "v2": 0}), "t2": (1, 0, {"v0": 0})}
    trials = [
        Trial(name, "baseline", "", "", seed, "ok", fold=fold) for name, (seed, fold, _) in tested.items()
    ]
    waits = Trial("t3", "baseline", "", "", 1, "waiting", fold=1)
    rows = [
        {"trial_id": name, "video_id": video, "group": "g", "fold": fold, "label": 0}
        | {"scores": [0.2 + hit, 0.8]}
        for name, (_, fold, right) in tested.items()
        for video, hit in right.items()
    ]
    arm, predictions = Arm("baseline", "", "", (*trials, waits)), table("predictions", rows)
    blocks = {"v0": "set1", "v1": "set1", "v2": "set1", "other": "set2"}
    assert by_block(arm, predictions, blocks) == (BlockScore("baseline", "set1", 3, (2 / 3,)),)
    assert by_block(arm, predictions, {"other": "set2"}) == ()

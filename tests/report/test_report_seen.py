from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from actrec.report.page import build_report
from actrec.report.tables import load
from actrec.report.videos import Seen
from actrec.results.ledger import Ledger
from actrec.results.schema import table
from tests.report import tiny


def write(folder: Path, trained: str, cv: str = "") -> Path:
    """Two seeds, test videos of the groups g and h: on g 2 and 1 of 2 right, on h 0 and 1 of 1."""
    ledger = Ledger(folder)
    ledger.claim()
    plan = []
    for seed, right in ((0, (1, 1, 0)), (1, (1, 0, 1))):
        entry = {"trial_id": f"b{seed}", "arm": "baseline", "factor": "", "level": "", "seed": seed}
        plan.append(entry)
        rows = [
            {"video_id": f"v{i}", "group": group, "fold": 0, "label": 0, "scores": [0.2 + hit, 0.8]}
            for i, (group, hit) in enumerate(zip("ggh", right, strict=True))
        ]
        ledger.append(entry | {"status": "ok", "test_top1": sum(right) / 3, "epochs": 1}, [], rows)
    tiny.write_study(folder, plan=plan, study={"metric": "top1", "base": {"data": {"cv": cv}}})
    row = {"class_name": "zero", "block": "", "status": "ok", "video_id": "t", "group": trained}
    pq.write_table(table("videos", [row | {"split": "train"}]), folder / "videos.parquet")
    return folder


def test_videos_of_seen_groups_are_told_from_new_ones(tmp_path: Path) -> None:
    folder = write(tmp_path, trained="g")
    assert load(folder).seen == (Seen("baseline", 2, 1, 3 / 4, 1 / 2),)
    text = build_report(folder).read_text(encoding="utf-8")
    assert "what the split gives away" in text
    assert "+25.0" in text


def test_without_a_straddling_group_there_is_nothing_to_tell(tmp_path: Path) -> None:
    folder = write(tmp_path, trained="other")
    assert load(folder).seen == ()
    assert "what the split gives away" not in build_report(folder).read_text(encoding="utf-8")


def test_folds_are_not_the_manifests_splits(tmp_path: Path) -> None:
    assert load(write(tmp_path, trained="g", cv="2")).seen == ()

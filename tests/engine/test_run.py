"""Studies on a real local Ray, from videos to tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actrec.data.manifest import Manifest
from actrec.data.sets import BUDGET
from actrec.engine import sample
from actrec.engine.progress import Display
from actrec.engine.run import RunOptions, run_study, with_data
from actrec.errors import DataError, LedgerError, PlacementError, StudyError
from actrec.results.ledger import Ledger
from actrec.study.factors import Factor, Study
from actrec.study.plan import plan

pytestmark = pytest.mark.usefixtures("ray_session")
WEIGHTS = Factor("loss.class_weights", levels=("balanced",), baseline="none")
IDLE = Factor("optim.momentum", levels=(0.5,), baseline=0.9)  # of SGD: with AdamW the knob turns nothing
BROKEN = Factor("optim.lr", levels=(1e35,), baseline=1e-3)  # its loss is NaN within an epoch


def rows(folder: Path, table: str = "trials") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Ledger(folder).read(table).to_pylist()
    return found


def test_a_study_is_recorded_whole_and_a_second_launch_does_nothing(
    small_study: Callable[..., Study], launch: Callable[..., Any], manifest: Manifest
) -> None:
    study = small_study(WEIGHTS, IDLE, BROKEN, seeds=(0, 1), placebo=True)
    first = launch(study)

    # Every planned trial has exactly one row; the two that diverge are failed rows, and cost no other trial.
    trials = {row["trial_id"]: row for row in rows(first.out)}
    assert set(trials) == {trial.trial_id for trial in plan(study)}
    failed = [row for row in trials.values() if row["status"] == "failed"]
    assert [row["arm"] for row in failed] == ["optim.lr=1e+35"] * 2
    assert all("diverged" in row["error"] for row in failed)
    assert (first.outcome.planned, first.outcome.ok, first.outcome.failed) == (10, 8, 2)

    # Every test video once a trial, with as many scores as classes, which sum to 1.
    test_ids = sorted(manifest.column("video_id", "test"))
    for trial_id, row in trials.items():
        if row["status"] == "ok":
            own = [p for p in rows(first.out, "predictions") if p["trial_id"] == trial_id]
            assert sorted(p["video_id"] for p in own) == test_ids
            assert all(len(p["scores"]) == 10 and abs(sum(p["scores"]) - 1) < 1e-5 for p in own)
            hits = sum(max(range(10), key=p["scores"].__getitem__) == p["label"] for p in own)
            assert row["test_top1"] == pytest.approx(hits / len(own))
            assert row["n_test"] == len(test_ids)
            assert row["epochs"] == 2
            assert row["clips_trained"] == 2 * len(manifest.column("video_id", "train"))
    epochs = {(e["epoch"], e["split"], e["metric"]) for e in rows(first.out, "epochs")}
    assert {(1, "train", "loss"), (2, "val", "top1"), (2, "val", "macro_f1")} <= epochs

    # Decodes are videos × clip keys, whatever the trials and epochs.
    used = sum(len(manifest.column("video_id", split)) for split in ("train", "val", "test"))
    record = json.loads((first.out / "study.json").read_text())
    assert record["decodes"] == {"videos": used, "clip_keys": 1, "decoded": used, "reused": 0}
    assert record["manifest"]["digest"] == manifest.digest

    # The report has pictures of the test videos, and what it maps, of the first seed of each arm.
    pictures = json.loads((first.out / "frames" / "index.json").read_text())["frames"]
    assert set(test_ids) <= set(pictures)
    assert all((first.out / "frames" / one["file"]).stat().st_size > 0 for one in pictures.values())
    mapped = {path.stem for path in (first.out / "embeddings").iterdir()}
    assert mapped == {key for key, row in trials.items() if row["status"] == "ok" and row["seed"] == 0}
    assert pq.read_table(first.out / "embeddings")["video_id"].to_pylist() == test_ids * len(mapped)

    # The placebo consumed what the baseline did; the knobs did not.
    prints = {(row["arm"], row["seed"]): row["fingerprint"] for row in trials.values()}
    assert prints["placebo", 0] == prints["baseline", 0] != prints["loss.class_weights=balanced", 0]
    effects = pq.read_table(first.out / "effects.parquet").to_pylist()
    verdicts = {row["arm"]: row["verdict"] for row in effects if row["metric"] == "top1"}
    assert set(verdicts) == {"loss.class_weights=balanced", "optim.momentum=0.5", "optim.lr=1e+35", "placebo"}
    assert verdicts["optim.momentum=0.5"] == "took no effect"
    assert "'optim.momentum=0.5' does exactly what 'baseline' does" in first.text

    before = rows(first.out)
    second = launch(study)
    assert "nothing to train" in second.text
    assert rows(first.out) == before

    # Trials that are compared are trained alike.
    more = small_study(WEIGHTS, IDLE, BROKEN, seeds=(0, 1, 2), placebo=True)
    with pytest.raises(StudyError, match=r"trained with 1 worker.*from the cache, now .* 2 worker.* --fresh"):
        launch(more, workers=2, extend=True)
    assert rows(first.out) == before

    # Nothing is deleted by --fresh; nothing is decoded again; and the values are the same to the last bit.
    fresh = launch(small_study(WEIGHTS, seeds=(0,)), fresh=True)
    assert fresh.outcome.filled.decoded == 0
    assert fresh.outcome.filled.reused == used
    (old,) = fresh.out.glob("old-*")
    assert (old / "trials.parquet").exists()
    values = {row["trial_id"]: (row["test_loss"], row["test_top1"], row["fingerprint"]) for row in before}
    for row in rows(fresh.out):
        assert (row["test_loss"], row["test_top1"], row["fingerprint"]) == values[row["trial_id"]]

    # One trial alone, elsewhere: the row again, to the last bit.
    chosen = before[-1]["trial_id"]
    alone = launch(study, out=first.out.parent / "alone", only=(chosen,))
    (row,) = rows(alone.out)
    assert (row["trial_id"], alone.outcome.missing) == (chosen, 9)
    assert (row["test_loss"], row["test_top1"], row["fingerprint"]) == values[chosen]
    with pytest.raises(StudyError, match="no trial 'x' in this plan: the report lists the 10 there are"):
        launch(study, only=("x",))

    # Another design shares these trials: nothing is trained, and each is the arm that this plan says.
    turned = dataclasses.replace(small_study(WEIGHTS, seeds=(0,)), design="leave_one_out")
    with pytest.raises(StudyError, match="design: one_at_a_time → leave_one_out"):
        launch(turned)
    other = launch(turned, extend=True)
    assert "nothing to train" in other.text
    (effect,) = [
        row for row in pq.read_table(other.out / "effects.parquet").to_pylist() if row["metric"] == "top1"
    ]
    assert (effect["level"], effect["baseline"], effect["n_seeds"]) == ("none", "balanced", 1)
    record = json.loads((other.out / "study.json").read_text())
    assert record["study"]["design"] == "leave_one_out"
    assert len(record["plan"]) == 2


def test_two_workers_evaluate_each_video_once_and_train_alike(
    small_study: Callable[..., Study], launch: Callable[..., Any], manifest: Manifest, tmp_path: Path
) -> None:
    # Without dropout the sums of two workers are those of one, but for the order in which floats are added.
    study = small_study(model__dropout=0.0)
    one = launch(study, out=tmp_path / "one")
    two = launch(study, out=tmp_path / "two", workers=2)
    (row_one,), (row_two,) = rows(one.out), rows(two.out)
    assert row_two["status"] == "ok"
    for out in (one.out, two.out):
        ids = [p["video_id"] for p in rows(out, "predictions")]
        assert sorted(ids) == sorted(manifest.column("video_id", "test"))
    assert row_two["clips_trained"] == row_one["clips_trained"]
    assert row_two["test_loss"] == pytest.approx(row_one["test_loss"], rel=1e-2)


def test_streaming_feeds_the_same_loop(
    small_study: Callable[..., Study], launch: Callable[..., Any], manifest: Manifest, tmp_path: Path
) -> None:
    done = launch(small_study(), stream=True)
    (row,) = rows(done.out)
    assert row["status"] == "ok", row["error"]
    sizes = {split: len(manifest.column("video_id", split)) for split in ("train", "val", "test")}
    assert row["n_test"] == sizes["test"]
    assert row["clips_trained"] == 2 * sizes["train"]
    drawn = json.loads((done.out / "frames/index.json").read_text())["frames"]
    trained = 2 * (sizes["train"] + sizes["val"]) + sizes["test"]
    assert done.outcome.filled.decoded == trained + len(drawn)  # those twice
    assert not (tmp_path / "cache" / "clips").exists()
    # It is shown as a study that keeps its clips is.
    tested = set(manifest.column("video_id", "test"))
    assert {video for video, frame in drawn.items() if frame["split"] == "test"} == tested
    assert {frame["class"] for frame in drawn.values()} == set(manifest.class_names)
    assert {row["video_id"] for row in pq.read_table(done.out / "embeddings").to_pylist()} == tested
    assert not (done.out / sample.FOLDER).exists()


def test_a_study_whose_clips_do_not_fit_is_streamed_and_says_why(
    small_study: Callable[..., Study],
    launch: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv(BUDGET, "10kB")  # 48 videos × 4 × 16 × 16 × 3 bytes are 147 kB
    done = launch(small_study(seeds=(0, 1)))
    assert [(row["status"], row["feed"]) for row in rows(done.out)] == [("ok", "stream")] * 2
    said = " ".join(done.text.split())
    assert "note: the decoded clips take 147 kB, and 10 kB can be had on the disk: they are streamed" in said
    assert f"({BUDGET} sets the budget)" in said
    assert not (tmp_path / "cache" / "clips").exists()


@pytest.mark.faults  # half a minute of Ray
def test_a_stream_keeps_no_sample_for_trials_that_embed_nothing(
    small_study: Callable[..., Study], launch: Callable[..., Any], manifest: Manifest
) -> None:
    study = small_study(seeds=(0, 1))
    first = launch(study, stream=True, only=(plan(study)[0].trial_id,))
    drawn = (first.out / "frames/index.json").read_bytes()
    second = launch(study, stream=True)
    assert second.outcome.ok == 2
    sizes = {split: len(manifest.column("video_id", split)) for split in ("train", "val", "test")}
    assert second.outcome.filled.decoded == 2 * (sizes["train"] + sizes["val"]) + sizes["test"]
    assert (first.out / "frames/index.json").read_bytes() == drawn


def test_a_set_without_test_videos_is_refused_before_anything_is_spent(
    small_study: Callable[..., Study], manifest: Manifest, tmp_path: Path
) -> None:
    splits = ["unused" if split == "test" else split for split in manifest.table["split"].to_pylist()]
    place = manifest.table.schema.get_field_index("split")
    table = manifest.table.set_column(place, "split", pa.array(splits))
    less = Manifest(manifest.root, table, manifest.layout, manifest.cut)
    study = with_data(small_study(), "less", less)
    with pytest.raises(DataError, match=r"no readable video in split 'test'"):
        run_study(study, less, RunOptions(out=tmp_path / "out"), Display())
    assert not (tmp_path / "out").exists()


def test_a_plan_without_room_is_refused(
    small_study: Callable[..., Study], launch: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(PlacementError, match=r"asks for 1 worker\(s\) with 1 GPU each"):
        launch(small_study(), gpus_per_worker=1.0)
    assert not rows(tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_refused_at_once(
    small_study: Callable[..., Study], launch: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LedgerError, match=r"cannot write results to .*file"):
        launch(small_study(), out=tmp_path / "file" / "out")

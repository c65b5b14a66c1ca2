"""Cross-validated studies: decoded once over all folds, every video tested once a seed."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actrec.data.clips import clip_indices
from actrec.data.clipset import ClipSet
from actrec.data.manifest import Manifest
from actrec.data.video_clips import frames_of
from actrec.engine.cache import clip_keys, fill, videos_of
from actrec.engine.run import with_data
from actrec.errors import StudyError
from actrec.results.ledger import Ledger
from actrec.spec import TrialSpec, override
from actrec.study.factors import Factor, Study
from actrec.study.plan import cost, plan
from actrec.training.feed import CachedFeed

CV = "3"


@pytest.fixture
def study(small_study: Callable[..., Study], manifest: Manifest, manifest_path: Path) -> Study:
    """Two arms and a placebo, in three folds."""
    weights = Factor("loss.class_weights", levels=("balanced",), baseline="none")
    made = dataclasses.replace(small_study(weights, placebo=True), cv=CV)
    return with_data(made, str(manifest_path), manifest)


def fold(spec: TrialSpec, number: int) -> TrialSpec:
    return override(spec, {"data.cv": CV, "data.fold": number})


def test_a_trial_for_each_arm_seed_and_fold(study: Study) -> None:
    trials = plan(dataclasses.replace(study, seeds=(0, 1)))
    assert [(trial.seed, trial.fold, trial.arm) for trial in trials] == [
        (seed, number, arm.name) for seed in (0, 1) for number in range(3) for arm in study.arms
    ]
    assert len({trial.trial_id for trial in trials}) == len(trials) == 18
    assert [trial.trial_id for trial in plan(study)] == [trial.trial_id for trial in trials[:9]]
    assert cost(trials, {"train": 28, "val": 10, "test": 10}).decodes == 48


def test_a_cross_validation_needs_its_data(small_study: Callable[..., Study]) -> None:
    with pytest.raises(StudyError, match="its folds are not known"):
        plan(dataclasses.replace(small_study(), cv=CV))
    with pytest.raises(StudyError, match=r"folds=3: without a cross-validation there is 1"):
        dataclasses.replace(small_study(), folds=3)
    for path in ("data.cv", "data.fold"):
        with pytest.raises(StudyError, match="use the study's cv"):
            Factor(path, levels=(5,), baseline=0)


@pytest.mark.parametrize("sampling", ["uniform", "random"])
def test_all_folds_share_their_clips(manifest: Manifest, study: Study, sampling: str) -> None:
    base = override(study.base, {"clip.sampling": sampling, "clip.draws": 2})
    keys = clip_keys(manifest, [fold(base, number) for number in range(3)], Path("/cache"))
    alone = clip_keys(manifest, [base], Path("/cache"))[0]
    assert len({key.folder for key in keys}) == 1
    assert (keys[0].folder == alone.folder) == (sampling == "uniform"), "also with a study without folds"
    tested = Counter(name for key in keys for name, split in key.splits.items() if split == "test")
    assert tested == Counter(video.video_id for video in keys[0].videos)
    assert alone.splits == {}


@pytest.mark.usefixtures("ray_session")
def test_a_video_is_drawn_from_in_training_and_centred_in_evaluation(
    manifest: Manifest, study: Study, tmp_path: Path
) -> None:
    base = override(study.base, {"clip.sampling": "random", "clip.draws": 2})
    keys = clip_keys(manifest, [fold(base, number) for number in range(3)], tmp_path)
    filled = fill({key.folder: key for key in keys}.values())
    assert filled.decoded == len(keys[0].videos) == len(videos_of(manifest))
    stored = ClipSet.open(keys[0].folder)
    assert set(stored.count.tolist()) == {3}
    video, clip = keys[0].videos[0], keys[0].clip
    still = clip_indices(video.num_frames, clip, fps=video.fps)
    assert np.array_equal(frames_of(video, clip)[2:], still)
    drawn = frames_of(dataclasses.replace(video, split="train"), clip)
    assert np.array_equal(frames_of(video, clip)[:2], drawn), "the same draws as without folds"

    for key in keys:
        clips = stored.with_splits(key.splits)
        place = dict(zip(clips.video_ids, clips.first.tolist(), strict=True))
        feed = CachedFeed(clips)
        for split in ("val", "test"):
            seen = list(feed.evaluate(split, 7))
            names = [name for batch in seen for name in batch.video_ids]
            assert sorted(names) == sorted(name for name, one in key.splits.items() if one == split)
            rows = np.array([place[name] + 2 for name in names])
            assert np.array_equal(np.concatenate([batch.clips for batch in seen]), clips.gather(rows))
        for epoch in range(3):
            (batch,) = feed.train(0, epoch, 1000)
            assert sorted(batch.video_ids) == sorted(n for n, one in key.splits.items() if one == "train")
            rows = np.array([place[name] + epoch % 2 for name in batch.video_ids])
            assert np.array_equal(batch.clips, clips.gather(rows))


@pytest.mark.usefixtures("ray_session")
def test_a_study_tests_each_video_once_a_seed_and_decodes_it_once(
    study: Study, launch: Callable[..., Any], manifest: Manifest
) -> None:
    done = launch(study)
    assert (done.outcome.ok, done.outcome.planned) == (9, 9)
    assert done.outcome.filled.decoded == len(videos_of(manifest))
    trials = {row["trial_id"]: row for row in Ledger(done.out).read("trials").to_pylist()}
    assert Counter(row["fold"] for row in trials.values()) == {0: 3, 1: 3, 2: 3}
    predictions = Ledger(done.out).read("predictions").to_pylist()
    for arm in study.arms:
        ours = [row for row in predictions if trials[row["trial_id"]]["arm"] == arm.name]
        assert sorted(row["video_id"] for row in ours) == [video.video_id for video in videos_of(manifest)]
        assert all(row["fold"] == trials[row["trial_id"]]["fold"] for row in ours)
    record = json.loads((done.out / "study.json").read_text())
    assert (record["study"]["cv"], record["study"]["folds"]) == (CV, 3)
    again = launch(study)
    assert "nothing to decode, nothing to train" in again.text
    with pytest.raises(StudyError, match="leave out --stream"):
        launch(study, stream=True)

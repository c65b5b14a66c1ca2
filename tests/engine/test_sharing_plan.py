"""Which trials of a plan share a frozen prefix, and whether it pays; without Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actrec.data import clipset
from actrec.data.manifest import Manifest
from actrec.data.sets import Hold
from actrec.engine import sharing
from actrec.engine.cache import ClipKey, clip_keys
from actrec.spec import FreezeSpec
from actrec.study.factors import Factor, Study
from actrec.study.plan import Trial, plan

HEAD_ONLY = FreezeSpec(strategy="head_only")
Planned = tuple[list[Trial], dict[str, ClipKey]]


@pytest.fixture
def planned(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[Study], Planned]:
    """A plan, and its clips, decoded into a cache of the test's own."""
    monkeypatch.setenv("ACTREC_CACHE", str(tmp_path))

    def make(study: Study) -> Planned:
        trials = plan(study)
        keys = clip_keys(manifest, [trial.spec for trial in trials], tmp_path)
        for key in {key.folder: key for key in keys}.values():
            parts = clipset.cut_into_shards(key.videos, key.clip)
            clipset.begin(key.folder, key.clip, {})
            for number, part in enumerate(parts):
                clipset.write_shard(key.folder, number, part, key.clip)
            clipset.finish(key.folder, parts)
        return trials, {trial.trial_id: key for trial, key in zip(trials, keys, strict=True)}

    return make


def counts(manifest: Manifest) -> tuple[int, int, int]:
    train, val, test = (len(manifest.column("video_id", split)) for split in ("train", "val", "test"))
    return train, val, test


def test_trials_with_the_same_prefix_on_the_same_clips_share(
    small_study: Callable[..., Study], planned: Callable[[Study], Planned]
) -> None:
    study = small_study(
        Factor("optim.lr", levels=(1e-2,), baseline=1e-3),
        Factor("augment.hflip", levels=(0.5,), baseline=0.0),  # other pixels every time
        Factor("clip.num_frames", levels=(3,), baseline=4),  # other clips
        Factor("freeze", levels=(FreezeSpec(strategy="first_k", k=4),), baseline=HEAD_ONLY),
        seeds=(0, 1),  # other weights
        freeze=HEAD_ONLY,
    )
    trials, keys = planned(study)
    found = sharing.find(trials, keys, "cpu")
    groups = {frozenset((trial.arm, trial.seed) for trial in one.trials) for one in found}
    first_k = next(trial.arm for trial in trials if trial.arm.startswith("freeze"))
    assert groups == {
        group
        for seed in (0, 1)
        for group in (
            frozenset({("baseline", seed), ("optim.lr=0.01", seed), (first_k, seed)}),
            frozenset({("clip.num_frames=3", seed)}),
        )
    }
    # A GPU rounds otherwise: its features are others.
    assert sharing.find(trials, keys, "cuda")[0].folder != found[0].folder


def test_what_one_epoch_would_compute_anyway_is_not_shared(
    small_study: Callable[..., Study], planned: Callable[[Study], Planned], manifest: Manifest
) -> None:
    trials, keys = planned(small_study(freeze__strategy="head_only", optim__epochs=1))
    chosen, lines = sharing.decide(sharing.find(trials, keys, "cpu"), keys)
    assert chosen == []
    every = sum(counts(manifest))
    name = "the first 4 stages of frame_transformer"
    assert lines == [f"{name} are not shared: {every} clips would pass instead of {every}"]


def test_the_line_says_what_sharing_saves_and_the_cache_has_the_last_word(
    small_study: Callable[..., Study],
    planned: Callable[[Study], Planned],
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trials, keys = planned(small_study(seeds=(0, 1), freeze__strategy="backbone"))  # of 2 epochs
    found = sharing.find(trials, keys, "cpu")
    chosen, lines = sharing.decide(found, keys)
    train, val, test = counts(manifest)
    assert chosen == found
    assert lines == [
        "2 trials share the first 3 stages of frame_transformer: "
        f"{2 * (train + val + test)} clips computed once instead of {2 * (2 * (train + val) + test)} times"
    ]
    monkeypatch.setenv("ACTREC_CACHE_BUDGET", "1")
    clips = Hold(found[0].clips)  # which a launch does too, so that they do not make room
    chosen, lines = sharing.decide(found, keys)
    clips.release()
    assert chosen == []
    assert all("are not shared: the features take" in line for line in lines)

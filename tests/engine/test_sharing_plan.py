"""Which trials of a plan share a frozen prefix, and whether it pays; without Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actrec.data.manifest import Manifest
from actrec.data.sets import Hold
from actrec.engine import sharing
from actrec.errors import ModelError
from actrec.spec import FreezeSpec, ModelSpec
from actrec.study.factors import Factor, Study
from actrec.study.plan import rehearse
from actrec.training import featureset
from tests.engine.conftest import Planned

HEAD_ONLY = FreezeSpec(strategy="head_only")


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
    found = sharing.Finder().find(trials, keys, "cpu")
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
    assert sharing.Finder().find(trials, keys, "cuda")[0].folder != found[0].folder


@pytest.mark.parametrize("name", ["cnn_lstm_1", "cnn_lstm_2", "cnn_lstm_3"])
def test_a_trial_that_cannot_be_built_has_no_prefix(
    small_study: Callable[..., Study], planned: Callable[[Study], Planned], name: str
) -> None:
    tiny = {"clip__num_frames": 2, "clip__height": 4, "clip__width": 4}
    trials, keys = planned(small_study(model=ModelSpec(name=name), freeze=HEAD_ONLY, **tiny))
    with pytest.raises(ModelError, match=f"{name} cannot take clips of 2×4×4"):
        rehearse(trials[0].spec)
    assert sharing.Finder().find(trials, keys, "cpu") == []


def test_trials_of_another_precision_have_features_of_their_own(
    small_study: Callable[..., Study], planned: Callable[[Study], Planned]
) -> None:
    precision = Factor("optim.amp", levels=("auto",), baseline="off")
    trials, keys = planned(small_study(precision, freeze=HEAD_ONLY))
    full, half = sharing.Finder().find(trials, keys, "cuda")
    assert full.folder != half.folder
    # The features are computed as this specification says.
    assert [one.prefix.spec.optim.amp for one in (full, half)] == ["off", "auto"]
    assert len(sharing.Finder().find(trials, keys, "cpu")) == 1  # where the knob turns nothing


def test_what_one_epoch_would_compute_anyway_is_not_shared(
    small_study: Callable[..., Study], planned: Callable[[Study], Planned], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "START_FLOP", 0.0)
    trials, keys = planned(small_study(freeze__strategy="head_only", optim__epochs=1))
    chosen, lines = sharing.decide(sharing.Finder().find(trials, keys, "cpu"), keys, {})
    assert chosen == []
    name = "the first 4 stages of frame_transformer"
    assert lines == [f"not shared: {name}, which would save at most 0 TFLOP; to start is worth 0"]


def test_clips_are_counted_where_they_lie(
    small_study: Callable[..., Study],
    planned: Callable[[Study], Planned],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("ACTREC_LOCAL_CACHE", str(tmp_path / "local"))  # as if the cache were on the network
    trials, keys = planned(small_study(freeze__strategy="head_only"))
    sharing.decide(sharing.Finder().find(trials, keys, "cpu"), keys, {})
    assert not (tmp_path / "local").exists()


def test_what_saves_less_than_it_takes_to_start_is_not_shared(
    small_study: Callable[..., Study],
    planned: Callable[[Study], Planned],
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trials, keys = planned(small_study(seeds=(0, 1), freeze__strategy="backbone"))  # of 2 epochs
    found = sharing.Finder().find(trials, keys, "cpu")
    chosen, lines = sharing.decide(found, keys, {})
    assert chosen == []
    assert len(lines) == 1, "one for both seeds"
    assert lines[0].startswith("not shared: the first 3 stages of frame_transformer, which would save")
    # A trial passes train and val once more than sharing does; each seed has a prefix of its own.
    train, val, _ = counts(manifest)
    saved = (train + val) * found[0].prefix.flop
    assert saved > 0
    monkeypatch.setattr(sharing, "START_FLOP", saved)
    assert sharing.decide(found, keys, {})[0] == []
    monkeypatch.setattr(sharing, "START_FLOP", saved - 1)
    assert sharing.decide(found, keys, {})[0] == found


def test_what_was_decided_stands_when_the_plan_has_grown(
    small_study: Callable[..., Study],
    planned: Callable[[Study], Planned],
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rate = Factor("optim.lr", levels=(1e-2,), baseline=1e-3)
    few, keys = planned(small_study(freeze__strategy="backbone"))
    first = sharing.Finder().find(few, keys, "cpu")
    trials, keys = planned(small_study(rate, seeds=(0, 1), freeze__strategy="backbone"))
    found = sharing.Finder().find(trials, keys, "cpu")
    assert found[0].folder == first[0].folder
    train, val, _ = counts(manifest)
    monkeypatch.setattr(sharing, "START_FLOP", (train + val) * first[0].prefix.flop)  # of 2 epochs, one
    assert sharing.decide(first, keys, {})[0] == [], "one trial does not pay"
    assert sharing.decide(found, keys, {})[0] == found, "two with each prefix do"

    chosen, lines = sharing.decide(found, keys, {first[0].folder.name: False})
    assert chosen == found[1:], "the further seed, which has a prefix of its own, is decided on now"
    name = "the first 3 stages of frame_transformer"
    assert lines[0] == f"not shared: {name}, as decided when trials first had it"
    assert lines[1].startswith(f"2 trials share {name}")
    monkeypatch.setattr(sharing, "START_FLOP", 1e30)
    before = {one.folder.name: True for one in found}
    assert sharing.decide(first, keys, before)[0] == first


def test_the_line_says_what_sharing_saves_and_the_cache_has_the_last_word(
    small_study: Callable[..., Study],
    planned: Callable[[Study], Planned],
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sharing, "START_FLOP", 0.0)
    trials, keys = planned(small_study(seeds=(0, 1), freeze__strategy="backbone"))  # of 2 epochs
    found = sharing.Finder().find(trials, keys, "cpu")
    chosen, lines = sharing.decide(found, keys, {})
    train, val, test = counts(manifest)
    assert chosen == found
    assert lines == [
        "2 trials share the first 3 stages of frame_transformer: "
        f"{2 * (train + val + test)} clips computed once instead of {2 * (2 * (train + val) + test)} times"
    ]
    monkeypatch.setenv("ACTREC_CACHE_BUDGET", "1")
    holds = [Hold(found[0].clips)]  # which a launch does too, so that they do not make room
    chosen, lines = sharing.decide(found, keys, {})
    assert chosen == []
    assert len(lines) == 2
    assert all("whose features take" in line for line in lines)
    # What was shared before is shared, or the study ends for want of room: no trial changes quietly.
    assert sharing.decide(found, keys, {one.folder.name: True for one in found})[0] == found
    # What is there already needs no room, even if another study holds it.
    for one in found:
        featureset.write(
            one.folder, 0, np.zeros((one.rows, *one.prefix.row_shape), np.float32), np.zeros(one.rows, int)
        )
        holds.append(Hold(one.folder))
    assert sharing.decide(found, keys, {})[0] == found
    for hold in holds:
        hold.release()

"""Frozen-prefix sharing on a real local Ray: the same results, each clip through the frozen stages once."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actrec.data.manifest import Manifest
from actrec.engine import features, sharing
from actrec.engine.cache import clip_keys, fill
from actrec.engine.placement import Allocation
from actrec.engine.run import RunOptions
from actrec.errors import PlacementError
from actrec.results.ledger import Ledger
from actrec.study.factors import Factor, Study
from actrec.study.plan import plan
from actrec.training.learner import Modes

pytestmark = pytest.mark.usefixtures("ray_session")
WEIGHTS = Factor("loss.class_weights", levels=("balanced",), baseline="none")
IDLE = Factor("optim.momentum", levels=(0.5,), baseline=0.9)  # of SGD: with AdamW the knob turns nothing
FLIP = Factor("augment.hflip", levels=(0.5,), baseline=0.0)


@pytest.fixture(autouse=True)
def readily(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of a test are too small to be worth the start."""
    monkeypatch.setattr(sharing, "START_FLOP", 0.0)


def trials(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    found = Ledger(folder).read("trials").to_pylist()
    return {(row["arm"], row["seed"]): row for row in found}


def scores(folder: Path) -> dict[tuple[str, str], list[float]]:
    found = Ledger(folder).read("predictions").to_pylist()
    return {(row["trial_id"], row["video_id"]): row["scores"] for row in found}


def losses(folder: Path) -> dict[tuple[Any, ...], float]:
    found = Ledger(folder).read("epochs").to_pylist()
    return {
        tuple(row[key] for key in ("trial_id", "epoch", "split", "metric")): row["value"] for row in found
    }


def clips(manifest: Manifest) -> int:
    return sum(len(manifest.column("video_id", split)) for split in ("train", "val", "test"))


def test_trials_on_shared_features_come_to_the_same(
    small_study: Callable[..., Study], launch: Callable[..., Any], tmp_path: Path
) -> None:
    study = small_study(WEIGHTS, IDLE, seeds=(0,), freeze__strategy="head_only")
    shared = launch(study)
    plain = launch(study, share=False, out=tmp_path / "plain")

    ours, theirs = trials(shared.out), trials(plain.out)
    assert {row["shared_stages"] for row in ours.values()} == {4}
    assert {row["shared_stages"] for row in theirs.values()} == {0}
    assert len({row["prefix"] for row in ours.values()}) == 1
    assert losses(shared.out) == pytest.approx(losses(plain.out), rel=1e-4, abs=1e-5)
    expected = scores(plain.out)
    for key, row in scores(shared.out).items():
        assert row == pytest.approx(expected[key], abs=1e-5)
    # What trained on the same still has the same fingerprint, and what did not another.
    assert ours["baseline", 0]["fingerprint"] == ours["optim.momentum=0.5", 0]["fingerprint"]
    assert ours["baseline", 0]["fingerprint"] != ours["loss.class_weights=balanced", 0]["fingerprint"]


def test_each_clip_passes_once_and_what_is_whole_is_reused(
    small_study: Callable[..., Study], launch: Callable[..., Any], manifest: Manifest, tmp_path: Path
) -> None:
    study = small_study(WEIGHTS, FLIP, seeds=(0, 1), freeze__strategy="backbone")
    first = launch(study)
    # Of the three arms the flipped one sees other pixels every time; random weights differ between seeds.
    once = 2 * clips(manifest)
    assert first.outcome.prefix_forwards == once
    rows = trials(first.out)
    assert {arm: row["shared_stages"] for (arm, seed), row in rows.items() if seed == 0} == {
        "baseline": 3,
        "loss.class_weights=balanced": 3,
        "augment.hflip=0.5": 0,
    }
    assert rows["baseline", 0]["prefix"] != rows["baseline", 1]["prefix"]
    # Four trials: two epochs of train and val, then test.
    count = {split: len(manifest.column("video_id", split)) for split in ("train", "val", "test")}
    unshared = 4 * (2 * (count["train"] + count["val"]) + count["test"])
    line = f"4 trials share the first 3 stages of frame_transformer: {once} clips computed once instead of"
    assert f"{line} {unshared} times" in first.text
    record = json.loads((first.out / "study.json").read_text())
    assert record["sharing"]["prefix_forwards"] == once

    # A damaged shard is computed again, a third seed needs its own features, and nothing else is computed.
    shard = min((tmp_path / "cache" / "features" / rows["baseline", 0]["prefix"]).glob("*.npy"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    again = launch(dataclasses.replace(study, seeds=(0, 1, 2)), fresh=True)
    assert again.outcome.prefix_forwards == min(32, clips(manifest)) + clips(manifest)
    fresh = trials(again.out)
    assert {key: fresh[key]["fingerprint"] for key in rows} == {
        key: row["fingerprint"] for key, row in rows.items()
    }


@pytest.mark.parametrize("share", [True, pytest.param(False, marks=pytest.mark.faults)])
def test_a_plan_that_grows_changes_no_trial(
    small_study: Callable[..., Study],
    launch: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    share: bool,
) -> None:
    fresh = {"seeds": (0,), "freeze__strategy": "head_only"}
    if share:  # as if it did not pay for one trial, and did for two
        monkeypatch.setattr(sharing, "START_FLOP", 1e30)
    first = launch(small_study(**fresh), share=share)  # where it would pay, --no-share decides
    assert {row["shared_stages"] for row in trials(first.out).values()} == {0}
    monkeypatch.setattr(sharing, "START_FLOP", 0.0)
    grown = launch(small_study(WEIGHTS, **fresh), extend=True)
    assert grown.outcome.prefix_forwards == 0
    rows = trials(grown.out)
    assert {key: row["shared_stages"] for key, row in rows.items()} == {
        ("baseline", 0): 0,
        ("loss.class_weights=balanced", 0): 0,
    }
    assert "not shared: the first 4 stages of frame_transformer, as decided when" in grown.text
    # Bit for bit what it is where nothing is ever shared.
    plain = launch(small_study(WEIGHTS, **fresh), share=False, out=tmp_path / "plain")
    assert losses(grown.out) == losses(plain.out)
    assert scores(grown.out) == scores(plain.out)


@pytest.fixture
def found(
    small_study: Callable[..., Study], manifest: Manifest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> list[sharing.Sharing]:
    """One prefix on 48 clips, which are decoded: work for two shards."""
    monkeypatch.setenv("ACTREC_CACHE", str(tmp_path))
    trials = plan(small_study(seeds=(0,), freeze__strategy="head_only"))
    keys = clip_keys(manifest, [trial.spec for trial in trials], tmp_path)
    fill(keys[:1])
    return sharing.Finder().find(trials, {trials[0].trial_id: keys[0]}, "cpu")


def on_cpus(most_workers: int) -> Allocation:
    return Allocation(
        workers=1,
        gpus_per_worker=0.0,
        cpus_per_worker=0.4,
        concurrent=2,
        most_workers=most_workers,
        threads=1,
    )


def test_features_take_no_more_actors_than_trials_may_take_workers(
    found: list[sharing.Sharing], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Counted(features._Actor):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            (tmp_path / f"actor-{os.getpid()}").touch()

    monkeypatch.setattr(features, "_Actor", Counted)
    for most in (1, 2):  # there is room for two, and work
        assert sum(now for now, _ in features.compute(found, on_cpus(most))) == 48
        actors = list(tmp_path.glob("actor-*"))
        assert len(actors) == most
        shutil.rmtree(found[0].folder)
        for actor in actors:
            actor.unlink()


@pytest.mark.faults
def test_an_actor_that_is_killed_costs_no_features(
    found: list[sharing.Sharing], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Mortal(features._Actor):
        def compute(self, task: features._Task) -> tuple[features._Task, str]:
            if task.number == 1 and not (tmp_path / "killed").exists():
                (tmp_path / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().compute(task)

    monkeypatch.setattr(features, "_Actor", Mortal)
    assert sorted(now for now, _ in features.compute(found, on_cpus(1))) == [16, 32]
    assert (tmp_path / "killed").exists()
    assert len(features.open_features(found[0].folder).sums) == 48


def test_synchronised_batchnorm_is_refused_without_gpus(
    small_study: Callable[..., Study], launch: Callable[..., Any]
) -> None:
    with pytest.raises(PlacementError, match="--sync-batchnorm with 2 worker"):
        launch(small_study(), workers=2, modes=Modes(sync_batchnorm=True))


def test_sharing_is_on_by_default() -> None:
    assert RunOptions(out=Path()).share

"""What a worker does with a trial that goes on from another's end, without Ray."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from actrec.data.clipset import ClipSet
from actrec.data.manifest import Manifest
from actrec.engine.messages import EpochDone, Failure, RunEpoch, TrialResult
from actrec.engine.station import Source, Station
from actrec.engine.worker import Worker
from actrec.results.ledger import Ledger
from actrec.spec import TrialSpec, override, trial_id
from actrec.study.factors import Study
from actrec.study.plan import plan
from actrec.training.feed import CachedFeed, task_of
from tests.engine.one_trial import clip_set, essence

Commands = tuple[RunEpoch, RunEpoch, RunEpoch]


@pytest.fixture
def clips(manifest: Manifest, small_study: Callable[..., Study], tmp_path: Path) -> ClipSet:
    return clip_set(manifest, small_study().base, tmp_path)


@pytest.fixture
def commands(manifest: Manifest, small_study: Callable[..., Study], clips: ClipSet) -> Commands:
    """A trial of four epochs; its first two alone; and the rest of them."""
    whole = plan(small_study(optim__epochs=4, model__dropout=0.3))[0].spec
    first = override(whole, {"optim.epochs": 2, "optim.horizon": 4})
    second = override(first, {"optim.epochs": 4, "start": trial_id(first)})

    def command(spec: TrialSpec, *, keep: bool = False) -> RunEpoch:
        return RunEpoch(trial_id(spec), spec.to_dict(), clips.folder, manifest.class_names, keep=keep)

    return command(whole), command(first, keep=True), command(second)


@pytest.fixture
def fresh(clips: ClipSet, tmp_path: Path) -> Callable[[], Worker]:
    """Makes a worker anew; all of them are of one study."""
    station = Station(tmp_path / "study", Ledger(tmp_path / "study").claim(), checkpoint_s=0.0)

    def open_source(given: RunEpoch) -> Source:
        groups = dict(zip(clips.video_ids, clips.groups, strict=True))
        return Source(CachedFeed(clips), task_of(clips, given.class_names), groups)

    return lambda: Worker(station, open_source)


def train(handler: Worker, given: RunEpoch) -> TrialResult:
    for _ in range(10):
        answer = handler(given)
        assert isinstance(answer, EpochDone), answer
        if answer.result is not None:
            return answer.result
    raise AssertionError("it never ends")


def test_two_parts_are_the_whole(commands: Commands, fresh: Callable[[], Worker], tmp_path: Path) -> None:
    whole, first, second = commands
    one = train(fresh(), whole)
    begun = train(fresh(), first)
    assert (tmp_path / "study" / "kept" / first.trial_id).is_dir()
    rest = train(fresh(), second)
    assert not (tmp_path / "study" / "kept" / second.trial_id).exists(), "nobody asked for it"
    same = ("val_top1", "test_top1", "test_loss", "epochs", "trainable_params", "best_epoch")
    assert [rest.trial[name] for name in same] == [one.trial[name] for name in same]
    assert json.dumps(rest.predictions) == json.dumps(one.predictions)
    assert rest.epochs == one.epochs, "its history is that of its weights"
    # Work is counted once.
    assert begun.trial["clips_trained"] == rest.trial["clips_trained"] == one.trial["clips_trained"] / 2


def test_a_part_that_is_killed_goes_on_from_its_own_checkpoint(
    commands: Commands, fresh: Callable[[], Worker], tmp_path: Path
) -> None:
    _, first, second = commands
    train(fresh(), first)
    whole = train(fresh(), second)
    checkpoint = tmp_path / "study" / "checkpoints" / second.trial_id
    checkpoint.rename(tmp_path / "aside")  # of the whole; as the driver does away with it
    answer = fresh()(second)
    assert isinstance(answer, EpochDone)
    assert (answer.epoch, answer.result) == (3, None)
    again = train(fresh(), second)
    assert essence(again) == essence(whole)
    assert again.trial["clips_trained"] == whole.trial["clips_trained"]


def test_without_what_it_goes_on_from_it_fails_in_words(
    commands: Commands, fresh: Callable[[], Worker]
) -> None:
    _, first, second = commands
    answer = fresh()(second)
    assert isinstance(answer, Failure)
    assert f"trial {first.trial_id}, from which this one goes on, is not in" in answer.error

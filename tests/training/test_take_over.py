"""A trial that goes on from another's end: as if both were one, but for what it is told to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from actrec.errors import TrialError
from actrec.spec import trial_id
from actrec.training.trial import TrialRun
from tests.training.miniature import TASK, differences, outcome, spec, step, trained
from tests.training.test_trial import VARIANTS


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def segment(changes: dict[str, Any], start: Path | None, epochs: int, horizon: int) -> TrialRun:
    """A part of a training, up to its ``epochs``; ``start`` is named by the trial that it goes on from."""
    own = {**changes, "optim.epochs": epochs, "optim.horizon": horizon, "start": start.name if start else ""}
    run = TrialRun(spec(own), TASK)
    if start:
        run.take_over(start)
    return run


def ended(run: TrialRun, root: Path) -> Path:
    """Trains to the end, and keeps it."""
    while not run.finished:
        step(run)
    place = root / trial_id(run.spec)
    run.save(place)
    return place


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_a_chain_of_segments_is_one_uninterrupted_trial_bit_for_bit(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    whole = trained({**changes, "optim.epochs": 4})
    place = None
    for epochs in (1, 3, 4):
        torch.manual_seed(0)  # another process: nothing but the folder is left
        run = segment(changes, place, epochs, horizon=4)
        place = ended(run, tmp_path)
    assert run.inherited == 3
    assert differences(outcome(run), outcome(whole)) == []
    assert run.best_epoch == whole.best_epoch
    for each in (run, whole):
        each.restore_best()
    assert differences(outcome(run), outcome(whole)) == []


def test_a_segment_that_was_interrupted_goes_on_from_its_own_checkpoint(tmp_path: Path) -> None:
    changes = VARIANTS["dropout and augmentation"]
    first = ended(segment(changes, None, 1, 4), tmp_path)
    whole = segment(changes, first, 4, 4)
    ended(whole, tmp_path)
    broken = segment(changes, first, 4, 4)
    step(broken)
    broken.save(tmp_path / "checkpoint")
    again = TrialRun(broken.spec, TASK)
    again.load(tmp_path / "checkpoint")
    assert (again.epoch, again.inherited) == (2, 1)
    ended(again, tmp_path)
    assert differences(outcome(again), outcome(whole)) == []
    assert again.fingerprint() == whole.fingerprint()


def test_hyper_parameters_are_the_new_ones(tmp_path: Path) -> None:
    """The same first step of the segment, at another rate, decay and dropout."""
    first = ended(segment({}, None, 1, 4), tmp_path)
    plain = segment({}, first, 2, 4)
    ended(plain, tmp_path)
    for changes in ({"optim.lr": 1e-3}, {"optim.weight_decay": 0.5}, {"model.dropout": 0.5}):
        run = segment(changes, first, 2, 4)
        before = {name: value.clone() for name, value in run.model.state_dict().items()}
        assert differences(before, segment({}, first, 2, 4).model.state_dict()) == []
        ended(run, tmp_path)
        assert differences(outcome(run), outcome(plain)), changes
        assert run.fingerprint() != plain.fingerprint(), changes
        assert run.history[0] == plain.history[0], "what it took over is part of its history"
    assert segment({"optim.weight_decay": 0.5}, first, 2, 4)._learner.optimizer.param_groups[0][
        "weight_decay"
    ] == pytest.approx(0.5)


def test_without_a_state_to_go_on_from_it_fails_in_words(tmp_path: Path) -> None:
    run = TrialRun(spec({"start": "0123456789ab"}), TASK)
    with pytest.raises(TrialError, match=r"trial 0123456789ab, from which this one goes on, is not in"):
        run.take_over(tmp_path / "0123456789ab")
    place = ended(segment({}, None, 1, 2), tmp_path)
    (tensors,) = place.glob("*/tensors.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-1])
    with pytest.raises(TrialError, match=r"epoch-00001: its content does not match its checksum"):
        run.take_over(place)

"""A trial: repeats bit for bit, goes on exactly, stops early, and fails in words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actrec.errors import DataError, DivergedError, SpecError, TrialError
from actrec.spec import AugmentSpec
from actrec.training.batch import Batch
from actrec.training.learner import check_finite
from actrec.training.task import EpochStats
from actrec.training.trial import TrialRun
from tests.training.miniature import BATCH, CLIPS, TASK, batches, differences, outcome, spec, step, trained

# Everything that draws numbers or carries state from one epoch to the next.
VARIANTS: dict[str, dict[str, Any]] = {
    "dropout and augmentation": {
        "model.dropout": 0.5,
        "augment": AugmentSpec(crop="random_resized", hflip=0.5, jitter=0.4, rotation=10.0, erasing=0.5),
    },
    "weights, clipping, warm-up": {
        "loss.class_weights": "balanced",
        "loss.label_smoothing": 0.1,
        "optim.clip_norm": 0.5,
        "optim.warmup_epochs": 1.5,
        "optim.schedule": "cosine",
    },
    "focal, SGD, early stopping": {
        "loss.kind": "focal",
        "optim.name": "sgd",
        "optim.lr": 0.1,
        "optim.schedule": "exponential",
        "optim.patience": 3,
    },
    "frozen statistics, Adam": {"freeze.strategy": "first_k", "freeze.k": 2, "optim.name": "adam"},
    "LSTM, running statistics": {
        "model.name": "cnn_lstm_3",
        "model.width": None,
        "optim.schedule": "constant",
        "placebo": 1,
    },
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_it_learns() -> None:
    run = trained({"optim.epochs": 6})
    assert run.history[-1].train.loss < run.history[0].train.loss
    assert run.history[-1].val["top1"] > 0.8  # the largest class is 12 of 21 clips


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_a_resumed_trial_is_the_uninterrupted_one_bit_for_bit(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    changes = {**changes, "optim.epochs": 4}
    whole = trained(changes)
    trained(changes, epochs=2).save(tmp_path)
    torch.manual_seed(0)  # another process: nothing but the folder is left
    resumed = TrialRun(spec(changes), TASK)
    assert resumed.load(tmp_path) == ()
    assert resumed.epoch == 2
    while not resumed.finished:
        step(resumed)
    assert differences(outcome(resumed), outcome(whole)) == []
    assert resumed.fingerprint() == whole.fingerprint()
    assert resumed.best_epoch == whole.best_epoch
    for run in (resumed, whole):
        run.restore_best()
    assert differences(outcome(resumed), outcome(whole)) == []


FRESH = """
import sys, numpy, torch
torch.set_num_threads(1)
from tests.training.miniature import outcome, trained
from tests.training.test_trial import VARIANTS
for name, changes in VARIANTS.items():
    numpy.savez(f"{sys.argv[1]}/{name}.npz", **{k: v.numpy() for k, v in outcome(trained(changes)).items()})
"""


def test_a_trial_does_not_depend_on_what_ran_before_it_in_its_process(tmp_path: Path) -> None:
    """Ten trials run here, the five variants forwards then backwards; five in a fresh process."""
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", FRESH, str(tmp_path)], cwd=root, check=True)
    for name, changes in [*VARIANTS.items(), *reversed(VARIANTS.items())]:
        torch.rand(3)  # whatever state the process is in
        with np.load(tmp_path / f"{name}.npz") as saved:
            fresh = {key: torch.from_numpy(saved[key]) for key in saved}
        assert differences(outcome(trained(changes)), fresh) == [], name


def test_the_seed_matters() -> None:
    assert differences(outcome(trained()), outcome(trained({"seed": 1})))


def test_the_placebo_moves_every_trained_weight_a_little_and_nothing_else_at_the_start() -> None:
    changes = {"freeze.strategy": "backbone", "optim.lr": 1e-30, "optim.weight_decay": 0.0}
    before = dict(TrialRun(spec(changes), TASK).model.named_parameters())
    first, second = (trained({**changes, "placebo": n}, epochs=1).model for n in (1, 2))
    for name, parameter in first.named_parameters():
        start = before[name]
        if not parameter.requires_grad:
            assert torch.equal(parameter, start)
            continue
        moved = start != 0
        relative = (parameter[moved] / start[moved] - 1).abs()
        assert torch.all((relative > 5e-7) & (relative < 1.5e-6)), name
        assert torch.equal(parameter[~moved].abs() < 1e-20, torch.ones_like(parameter[~moved]) > 0)
    assert not torch.equal(first.get_parameter("fc.weight"), second.get_parameter("fc.weight"))


def test_early_stopping_selects_on_validation() -> None:
    run = TrialRun(spec({"optim.epochs": 20, "optim.patience": 2, "optim.schedule": "constant"}), TASK)
    states = []
    while not run.finished:
        # Validation labels that training contradicts: the loss is lowest early, then rises.
        training, validation = batches(run.epoch), batches(seed=1)
        run.train_epoch(training, steps=len(training))
        wrong = [Batch(b.clips, (b.labels + 1) % 3, b.video_ids, b.valid) for b in validation]
        run.finish_epoch(run.evaluate(wrong))
        states.append({name: value.clone() for name, value in run.model.state_dict().items()})
    losses = [stats.val["loss"] for stats in run.history]
    assert run.best_epoch == int(np.argmin(losses)) + 1
    assert run.epoch == run.best_epoch + 2 < 20
    run.restore_best()
    assert differences(run.model.state_dict(), states[run.best_epoch - 1]) == []


def test_without_patience_the_last_weights_are_the_result() -> None:
    run = trained({"optim.epochs": 3})
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.restore_best()
    assert differences(run.model.state_dict(), before) == []


def spoil(run: TrialRun) -> None:
    with torch.no_grad():
        run.model.get_parameter("fc.weight").fill_(float("nan"))


def test_a_training_loss_that_is_not_finite_fails_by_step_and_epoch() -> None:
    run = trained(epochs=1)
    spoil(run)
    with pytest.raises(DivergedError, match="training loss is nan at step 1 of epoch 2"):
        step(run)


def test_a_validation_loss_that_is_not_finite_fails_by_epoch() -> None:
    run = TrialRun(spec(), TASK)
    run.train_epoch(batches(), steps=3)
    spoil(run)
    with pytest.raises(DivergedError, match="validation loss is nan after epoch 1"):
        run.finish_epoch(run.evaluate(batches()))


def test_of_a_whole_epoch_the_first_step_that_diverged_is_named() -> None:
    rows = [torch.tensor([loss, 1.0, 0.0, 1.0]) for loss in (0.5, 0.4, float("inf"), float("nan"))]
    check_finite(rows[:2], epoch=4)
    with pytest.raises(DivergedError, match="inf at step 3 of epoch 4"):
        check_finite(rows, epoch=4)


def test_padding_counts_for_nothing_not_even_in_running_statistics() -> None:
    plain, padded = TrialRun(spec(), TASK), TrialRun(spec(), TASK)
    noisy = []
    for batch in batches():
        junk = torch.full((3, *batch.clips.shape[1:]), 255, dtype=torch.uint8)
        noisy.append(
            Batch(
                torch.cat([junk, batch.clips]),
                torch.cat([torch.zeros(3, dtype=torch.int64), batch.labels]),
                ["pad"] * 3 + list(batch.video_ids),
                torch.cat([torch.zeros(3, dtype=torch.bool), batch.valid]),
            )
        )
    for run, fed in ((plain, batches()), (padded, noisy)):
        stats = run.train_epoch(fed, steps=3)
        assert stats.clips == CLIPS
        tally = run.evaluate(fed)
        assert len(tally) == CLIPS
        run.finish_epoch(tally)
    assert differences(outcome(padded), outcome(plain)) == []


def test_a_video_that_comes_twice_is_an_error() -> None:
    run = TrialRun(spec(), TASK)
    with pytest.raises(DataError, match="evaluated on 2 clips, not 1"):
        run.evaluate(batches() + batches())


def test_every_clip_of_a_video_is_expected_and_averaged() -> None:
    run = TrialRun(spec({"clip.sampling": "clips", "clip.clips": 2}), TASK)
    tally = run.evaluate(batches(seed=1) + batches(seed=2))
    one, two = (TrialRun(spec(), TASK).evaluate(batches(seed=seed)) for seed in (1, 2))
    np.testing.assert_array_equal(tally.scores, one.scores + two.scores)


def test_a_single_middle_frame_is_a_clip_of_one() -> None:
    run = TrialRun(spec({"clip.sampling": "middle"}), TASK)
    first = batches()[0]
    frame = Batch(first.clips[:, 2:3], first.labels, first.video_ids, first.valid)
    assert run.train_epoch([frame], steps=1).clips == BATCH


def test_what_an_epoch_says_is_json() -> None:
    (stats, *_) = trained().history
    assert EpochStats.from_dict(json.loads(json.dumps(stats.to_dict()))) == stats
    assert set(stats.val) == {"loss", "top1", "top5", "macro_f1"}
    assert stats.train.clips == CLIPS


def test_batches_that_are_missing_are_named() -> None:
    with pytest.raises(TrialError, match="epoch 1 has no training batch"):
        TrialRun(spec(), TASK).train_epoch([], steps=0)
    run = TrialRun(spec(), TASK)
    run.train_epoch(batches(), steps=3)
    with pytest.raises(TrialError, match="no validation video"):
        run.finish_epoch(run.evaluate([]))


def test_a_checkpoint_of_another_trial_is_refused(tmp_path: Path) -> None:
    trained().save(tmp_path)
    with pytest.raises(TrialError, match="is of trial"):
        TrialRun(spec({"seed": 1}), TASK).load(tmp_path)


def test_several_workers_need_their_process_group() -> None:
    with pytest.raises(TrialError, match="2 workers needs a process group"):
        TrialRun(spec(), TASK, world_size=2)


def test_an_unknown_model_is_named_with_the_valid_ones() -> None:
    with pytest.raises(SpecError, match="frame_transformer"):
        TrialRun(spec({"model.name": "frame_transfomer"}), TASK)

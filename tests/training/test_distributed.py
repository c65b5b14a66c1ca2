"""Two workers give what one gives: the same weights within rounding, the same videos, the same errors."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actrec.training.trial import TrialRun
from tests.training.miniature import CLIPS, TASK, outcome, spec, trained, work

# Dropout draws differ between workers, and so do the statistics of BatchNorm: neither is in the first two.
# SGD, since Adam makes full steps of gradients that are zero but for rounding (the bias of attention keys).
EXACT: list[dict[str, Any]] = [
    {"model.name": "cnn_lstm_1", "model.width": None, "optim.name": "sgd", "optim.lr": 0.05},
    {
        "model.dropout": 0.0,
        "optim.name": "sgd",
        "optim.lr": 0.05,
        "freeze.strategy": "first_k",  # the frozen stages hold every BatchNorm
        "freeze.k": 2,
        "loss.class_weights": "balanced",
        "loss.label_smoothing": 0.1,
        "optim.clip_norm": 0.5,
        "optim.patience": 1,
    },
]
NORMALISED: dict[str, Any] = {"placebo": 1}
DIVERGING: dict[str, Any] = {"optim.lr": 1e30, "optim.schedule": "constant"}
TRIALS = [*EXACT, NORMALISED, DIVERGING]
WORKERS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two workers left of each trial, run one after the other in the same processes."""
    folder = tmp_path_factory.mktemp("workers")
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=work, args=(rank, WORKERS, str(folder), TRIALS)) for rank in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * WORKERS
    torch.set_num_threads(1)
    return folder


def left(folder: Path, number: int, rank: int) -> dict[str, Any]:
    with np.load(folder / f"{number}-{rank}.npz") as saved:
        return dict(saved)


@pytest.mark.parametrize("number", range(len(EXACT)))
def test_two_workers_give_the_weights_of_one(folder: Path, number: int) -> None:
    alone = outcome(trained(EXACT[number]))
    together = left(folder, number, 0)
    for name, value in alone.items():
        np.testing.assert_allclose(together[name], value.numpy(), rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("number", range(len(TRIALS) - 1))
def test_all_workers_hold_the_same_weights_history_and_scores(folder: Path, number: int) -> None:
    first, second = (left(folder, number, rank) for rank in range(WORKERS))
    for name in set(first) - {"fingerprint"}:  # of each worker's own first batch
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert len(first["scores"]) == CLIPS


@pytest.mark.parametrize("number", range(len(TRIALS) - 1))
@pytest.mark.parametrize("rank", range(WORKERS))
def test_workers_resume_together_though_one_alone_sees_the_checkpoint(
    folder: Path, number: int, rank: int
) -> None:
    assert [(folder / f"first-{number}-{other}").exists() for other in range(WORKERS)] == [True, False]
    whole = left(folder, number, rank)
    with np.load(folder / f"{number}-{rank}.resumed.npz") as resumed:
        for name in set(whole) - ({"fingerprint"} if rank else set()):  # that of rank 0 is the trial's
            np.testing.assert_array_equal(resumed[name], whole[name], err_msg=name)


@pytest.mark.parametrize("number", range(len(TRIALS) - 1))
@pytest.mark.parametrize("rank", range(WORKERS))
def test_workers_take_over_another_trial_together(folder: Path, number: int, rank: int) -> None:
    """Rank 0 alone has it; with the same hyper-parameters, it is as if the trial had gone on."""
    whole = left(folder, number, rank)
    with np.load(folder / f"{number}-{rank}.taken.npz") as taken:
        for name in set(whole) - {"fingerprint"}:  # which tells that there were two
            np.testing.assert_array_equal(taken[name], whole[name], err_msg=name)
        assert str(taken["fingerprint"]) != str(whole["fingerprint"])


def test_divergence_is_the_same_error_everywhere(folder: Path) -> None:
    number = len(TRIALS) - 1
    first, second = ((folder / f"{number}-{rank}.error").read_text() for rank in range(WORKERS))
    assert first == second
    assert first.startswith("DivergedError: ")


def test_a_checkpoint_of_two_workers_is_one_workers(folder: Path) -> None:
    run = TrialRun(spec(NORMALISED), TASK)
    run.load(folder / "checkpoint-2")
    saved = left(folder, 2, 0)
    assert run.fingerprint() == str(saved["fingerprint"])
    for name, value in run.model.state_dict().items():
        np.testing.assert_array_equal(saved[name], value.numpy())

"""Arithmetic by choice: compiled, and BatchNorm over all workers."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, nn

from actrec.models.layers import Staged
from actrec.training.learner import Modes
from actrec.training.trial import TrialRun
from tests.training.miniature import TASK, batches, outcome, spec, step


def test_synchronised_batchnorm_is_the_same_model() -> None:
    """Torch can train it on GPUs alone, see below; what it holds and how it evaluates shows anywhere."""
    torch.set_num_threads(1)
    plain, run = TrialRun(spec(), TASK), TrialRun(spec(), TASK, modes=Modes(sync_batchnorm=True))
    assert run.model.state_dict().keys() == plain.model.state_dict().keys()
    assert isinstance(run.model, Staged)
    layers = [layer for stage in run.model.stages() for part in stage.modules for layer in part.modules()]
    assert sum(isinstance(layer, nn.SyncBatchNorm) for layer in layers) == 2
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)
    found, expected = (one.evaluate(batches(seed=1)).mean_scores() for one in (run, plain))
    assert torch.equal(torch.from_numpy(found), torch.from_numpy(expected))


def test_torch_trains_no_synchronised_batchnorm_on_cpus(tmp_path: Path) -> None:
    """Why it is refused without GPUs. Should torch learn it, this fails, and that may go."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match="SyncBatchNorm expected input tensor to be on GPU"):
            nn.SyncBatchNorm(3)(torch.zeros(2, 3, 4, 4))
    finally:
        distributed.destroy_process_group()


# Without what differs between workers. SGD, since Adam makes full steps of gradients that are zero but for
# rounding; no bfloat16, and no TF32, whose rounding is coarser than what is looked for.
EXACT = {"model.dropout": 0.0, "optim.name": "sgd", "optim.lr": 0.05, "optim.epochs": 1, "optim.amp": "off"}
WORKERS = 2


def normalised(rank: int = 0, world_size: int = 1) -> dict[str, torch.Tensor]:
    """What two steps on a GPU come to, each on ten clips, with BatchNorm over all of them."""
    torch.backends.cudnn.allow_tf32 = False
    modes = Modes(sync_batchnorm=world_size > 1)
    cut: dict[str, Any] = {"rank": rank, "world_size": world_size}
    run = TrialRun(spec(EXACT), TASK, device="cuda:0", modes=modes, **cut)
    run.train_epoch(batches(**cut)[:2], steps=2)
    return {name: value.cpu() for name, value in run.model.state_dict().items()}


def work(rank: int, folder: str) -> None:
    """One of two workers on one GPU, which Gloo allows and NCCL does not."""
    meet = f"file://{folder}/meet"
    distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=WORKERS)
    values = {name: value.numpy() for name, value in normalised(rank, WORKERS).items()}
    np.savez(Path(folder, f"{rank}.npz"), **values)  # type: ignore[arg-type]
    distributed.destroy_process_group()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch has no SyncBatchNorm for CPUs")
def test_workers_that_synchronise_batchnorm_train_as_one(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=work, args=(rank, str(tmp_path))) for rank in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * WORKERS
    expected = normalised()
    for rank in range(WORKERS):
        with np.load(tmp_path / f"{rank}.npz") as saved:
            found = {name: torch.from_numpy(saved[name]) for name in saved}
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.faults  # compiling takes a minute
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on CPUs")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own code
def test_a_compiled_trial_comes_to_the_same_within_rounding() -> None:
    torch.set_num_threads(1)
    # SGD, since Adam makes full steps of gradients that are zero but for rounding.
    few = {"optim.epochs": 1, "model.dropout": 0.0, "optim.name": "sgd", "optim.lr": 0.05}
    plain, run = TrialRun(spec(few), TASK), TrialRun(spec(few), TASK, modes=Modes(compiled=True))
    step(plain)
    step(run)
    found, expected = outcome(run), outcome(plain)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)

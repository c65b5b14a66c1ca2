"""Arithmetic by choice: compiled, and BatchNorm over all workers."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn

from actrec.models.layers import Staged
from actrec.training.learner import Modes
from actrec.training.trial import TrialRun
from tests.training.miniature import TASK, batches, outcome, spec, step


def test_synchronised_batchnorm_is_the_same_model() -> None:
    """Torch can train it on GPUs alone; what it holds and how it evaluates shows anywhere."""
    torch.set_num_threads(1)
    plain, run = TrialRun(spec(), TASK), TrialRun(spec(), TASK, modes=Modes(sync_batchnorm=True))
    assert run.model.state_dict().keys() == plain.model.state_dict().keys()
    assert isinstance(run.model, Staged)
    layers = [layer for stage in run.model.stages() for part in stage.modules for layer in part.modules()]
    assert sum(isinstance(layer, nn.SyncBatchNorm) for layer in layers) == 2
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)
    found, expected = (one.evaluate(batches(seed=1)).mean_scores() for one in (run, plain))
    assert torch.equal(torch.from_numpy(found), torch.from_numpy(expected))


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

"""What a GPU does differently: bfloat16, the layout of memory, pinned batches, features computed there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from actrec.models.zoo import ZOO, find
from actrec.spec import FreezeSpec, override
from actrec.training.learner import Modes, autocasts
from actrec.training.prefix import Prefix
from actrec.training.trial import TrialRun
from tests.contracts.test_prefix_zoo import CASES, TASK, batch, frames, spec, trained
from tests.training import miniature

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
CUDA = "cuda"
FROZEN = [case for case in CASES if "head_only" in str(case.id)]


@pytest.mark.parametrize("name", list(ZOO))
def test_every_model_trains_in_bfloat16(name: str) -> None:
    given = spec(name, FreezeSpec())
    run = TrialRun(given, TASK, device=CUDA)
    assert autocasts(given, run.device)
    found = trained(run, batch(frames(find(name))).pinned())
    assert all(value.isfinite().all() for value in found.values())
    assert all(value.dtype != torch.bfloat16 for value in found.values()), "weights and scores stay float32"
    five = [p for p in run.model.parameters() if p.dim() == 5]
    conv3d = any(isinstance(module, nn.Conv3d) for module in run.model.modules())
    if conv3d:
        assert all(p.is_contiguous(memory_format=torch.channels_last_3d) for p in five)


@pytest.mark.parametrize("name", list(ZOO))
def test_a_model_scores_as_on_the_cpu(name: str) -> None:
    """Untrained, in float32: within what TF32 convolutions round away."""
    given = override(spec(name, FreezeSpec()), {"optim.amp": "off"})
    own = batch(frames(find(name)))
    here, there = (TrialRun(given, TASK, device=device).evaluate([own]) for device in ("cpu", CUDA))
    expected, found = (torch.from_numpy(tally.mean_scores()) for tally in (here, there))
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("amp", ["auto", "off"])
@pytest.mark.parametrize(("name", "freeze"), FROZEN)
def test_a_trial_on_features_is_the_trial_on_clips(name: str, freeze: FreezeSpec, amp: str) -> None:
    # SGD, since Adam makes full steps of gradients that are zero but for rounding.
    given = override(spec(name, freeze), {"optim.amp": amp, "optim.name": "sgd"})
    prefix = Prefix.of(given, len(TASK.class_names))
    assert prefix is not None
    clips = batch(frames(find(name)))
    features, sums = prefix.extractor(torch.device(CUDA))(clips.clips)
    assert features.device.type == "cpu", "they go to disk"
    stored = replace(clips, clips=features, sums=sums).pinned()
    plain = TrialRun(given, TASK, device=CUDA)
    shared = TrialRun(given, TASK, device=CUDA, first=prefix.stages)
    expected, found = trained(plain, clips.pinned()), trained(shared, stored)
    # The same kernels on the same values, but cuDNN may choose others for other batch sizes.
    loose = 2e-2 if amp == "auto" else 2e-3
    for key in ("scores", "losses"):
        torch.testing.assert_close(found[key], expected[key], rtol=loose, atol=loose, msg=key)


def test_two_trials_of_one_seed_come_to_the_same_within_rounding() -> None:
    slow = miniature.spec({"optim.name": "sgd"})
    runs = [TrialRun(slow, miniature.TASK, device=CUDA) for _ in range(2)]
    for run in runs:
        while not run.finished:
            miniature.step(run)
    first, second = map(miniature.outcome, runs)
    torch.testing.assert_close(second["history"], first["history"], rtol=2e-2, atol=2e-2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of torch's own code
def test_a_compiled_trial_comes_to_the_same_within_rounding() -> None:
    few = {"optim.epochs": 1, "model.dropout": 0.0, "optim.name": "sgd", "optim.lr": 0.05, "optim.amp": "off"}
    plain = TrialRun(miniature.spec(few), miniature.TASK, device=CUDA)
    run = TrialRun(miniature.spec(few), miniature.TASK, device=CUDA, modes=Modes(compiled=True))
    for one in (plain, run):
        miniature.step(one)
    found, expected = miniature.outcome(run), miniature.outcome(plain)
    torch.testing.assert_close(found["history"], expected["history"], rtol=2e-2, atol=2e-3)

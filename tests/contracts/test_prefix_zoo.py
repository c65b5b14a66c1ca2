"""Every architecture with every freezing strategy: a trial on stored features is the trial on the clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from actrec.errors import ModelError
from actrec.models.card import ModelCard
from actrec.models.layers import Staged
from actrec.models.zoo import ZOO, find
from actrec.seeding import torch_rng
from actrec.spec import FreezeSpec, ModelSpec, TrialSpec, override
from actrec.training.batch import Batch
from actrec.training.prefix import Prefix
from actrec.training.task import Task
from actrec.training.trial import TrialRun

SIDE, CLIPS = 16, 6
TASK = Task(("a", "b", "c"), (2, 2, 2))
CPU = torch.device("cpu")


def frames(card: ModelCard) -> int:
    return card.num_frames if card.fixed_frames else 2


def strategies(card: ModelCard) -> Iterator[FreezeSpec]:
    """The named strategies, and cuts after the first stage and in the middle."""
    for strategy in ("none", "backbone", "head_only", "norm_only", "frozen_norm"):
        yield FreezeSpec(strategy=strategy)
    before = len(card.stages) - 1
    for k in {1, before // 2}:
        yield FreezeSpec(strategy="first_k", k=k)


CASES = [
    pytest.param(name, freeze, id=f"{name}-{freeze.strategy}-{freeze.k}")
    for name, card in ZOO.items()
    for freeze in strategies(card)
]


def spec(name: str, freeze: FreezeSpec) -> TrialSpec:
    changes = {
        "model": ModelSpec(name=name),
        "freeze": freeze,
        "clip.num_frames": frames(find(name)),
        "clip.height": SIDE,
        "clip.width": SIDE,
        "optim.epochs": 1,
        "optim.batch_size": CLIPS,
    }
    return override(TrialSpec(), changes)


def batch(length: int) -> Batch:
    shape = (CLIPS, length, SIDE, SIDE, 3)
    return Batch(
        clips=torch.randint(0, 256, shape, generator=torch_rng(0, "clips"), dtype=torch.uint8),
        labels=torch.arange(CLIPS) % 3,
        video_ids=list("uvwxyz"),
        valid=torch.ones(CLIPS, dtype=torch.bool),
    )


def expected_stages(name: str, freeze: FreezeSpec) -> int:
    """By the definition of the strategies: the leading stages whose every parameter is frozen."""
    card = find(name)
    match freeze.strategy:
        case "head_only":
            return len(card.stages) - 1
        case "backbone":
            frozen = [stage in card.backbone for stage in card.stages]
            return [*frozen, False].index(False)
        case "first_k":
            return freeze.k
    return 0  # the first stage of every model here has a convolution, which these train, or a norm


def trained(run: TrialRun, own: Batch) -> dict[str, torch.Tensor]:
    while not run.finished:
        run.train_epoch([own, own.rows(torch.tensor([4, 1]))], steps=2)
        run.finish_epoch(run.evaluate([own]))
    scores = torch.from_numpy(run.evaluate([own]).mean_scores())
    losses = torch.tensor([[stats.train.loss, stats.val["loss"]] for stats in run.history])
    return {**run.model.state_dict(), "scores": scores, "losses": losses}


@pytest.mark.parametrize(("name", "freeze"), CASES)
def test_a_trial_on_features_is_the_trial_on_clips(name: str, freeze: FreezeSpec) -> None:
    torch.set_num_threads(1)
    given = spec(name, freeze)
    if name == "cnn_lstm_1" and freeze.strategy in ("norm_only", "frozen_norm"):
        with pytest.raises(ModelError, match="no normalisation layers"):
            Prefix.of(given, len(TASK.class_names))
        return
    prefix = Prefix.of(given, len(TASK.class_names))
    if freeze.strategy == "norm_only":  # as many stages as come before the first with a normalisation layer
        assert prefix is None or prefix.stages < len(find(name).stages) - 1
    else:
        assert (prefix.stages if prefix else 0) == expected_stages(name, freeze)
    if prefix is None:
        return
    clips = batch(frames(find(name)))
    features, sums = prefix.extractor(CPU)(clips.clips)
    assert features.shape == (CLIPS, *prefix.row_shape)
    stored = replace(clips, clips=features, sums=sums)

    plain, shared = TrialRun(given, TASK), TrialRun(given, TASK, first=prefix.stages)
    expected, found = trained(plain, clips), trained(shared, stored)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4, msg=key)


@pytest.mark.parametrize("name", list(ZOO))
def test_a_prefix_has_one_key_whatever_the_number_of_threads(name: str) -> None:
    # Large enough that sums are cut into parts: without care, those of frame_transformer differ here.
    large = {"clip.height": 32, "clip.width": 32, "clip.num_frames": max(8, frames(find(name)))}
    given = override(spec(name, FreezeSpec(strategy="head_only")), large)
    keys = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found = Prefix.of(given, len(TASK.class_names))
            assert found is not None
            keys.append(found.key)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)
    assert keys[0] == keys[1]


@pytest.mark.parametrize("name", list(ZOO))
def test_a_model_is_the_chain_of_its_cards_stages(name: str) -> None:
    """Run in parts, it computes what it computes whole; in a frozen prefix, train mode changes nothing."""
    torch.set_num_threads(1)
    card = find(name)
    run = TrialRun(spec(name, FreezeSpec(strategy="head_only")), TASK)
    model = run.model
    assert isinstance(model, Staged)
    assert [stage.name for stage in model.stages()] == list(card.stages)
    owned = [id(p) for stage in model.stages() for module in stage.modules for p in module.parameters()]
    assert sorted(owned) == sorted(map(id, model.parameters()))
    clips = torch.randn(2, 3, frames(card), SIDE, SIDE, generator=torch_rng(0, "clips"))
    last = len(card.stages) - 1
    with torch.no_grad():
        whole = model.eval()(clips)
        for count in range(last + 1):
            part = model.prefix(clips, count)
            assert len(part) == 2
            torch.testing.assert_close(model(part, first=count), whole)
        still = model.prefix(clips, last)
        run._learner.train_mode()
        assert torch.equal(model.prefix(clips, last), still)

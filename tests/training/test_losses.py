"""Losses and class weights against scikit-learn, PyTorch and hand-derived values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from actrec.errors import DataError
from actrec.spec import LossSpec
from actrec.training.losses import class_weights, make_loss

COUNTS = (50, 3, 0, 12, 1)
KINDS = ("none", "balanced", "sqrt", "effective")


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(16, len(COUNTS), generator=rng)
    labels = torch.tensor([0, 1, 3, 4])[torch.randint(0, 4, (16,), generator=rng)]
    return logits.requires_grad_(), labels


def mean(loss: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return loss.sum() / weight.sum()


def test_balanced_weights_are_those_of_scikit_learn_and_0_for_a_class_without_videos() -> None:
    labels = np.repeat(np.arange(len(COUNTS)), COUNTS)
    present = np.unique(labels)
    weights = class_weights("balanced", COUNTS)
    np.testing.assert_allclose(
        weights[present], compute_class_weight("balanced", classes=present, y=labels), rtol=1e-15
    )
    assert weights[2] == 0
    np.testing.assert_allclose(class_weights("sqrt", COUNTS), np.sqrt(weights), rtol=1e-15)


def test_effective_number_by_hand() -> None:
    # β = 1/2: (1−β)/(1−βⁿ) is 1 for n = 1 and 0.5/0.75 = 2/3 for n = 2; scaled to sum to 2: 6/5 and 4/5.
    np.testing.assert_allclose(class_weights("effective", (1, 2), beta=0.5), [1.2, 0.8], rtol=1e-15)
    # β = 0 counts every class once, however many videos it has.
    np.testing.assert_allclose(class_weights("effective", (1, 9, 0), beta=0.0), [1, 1, 0], rtol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_finite_and_rarer_never_weighs_less(kind: str) -> None:
    weights = class_weights(kind, COUNTS, beta=0.999999)
    assert np.isfinite(weights).all()
    by_count = weights[[4, 1, 3, 0]]  # 1, 3, 12, 50 videos
    assert (np.diff(by_count) <= 0).all()


def test_no_training_video_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="no class has a training video"):
        class_weights("balanced", (0, 0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_pytorch_with_its_mean_reduction(kind: Any, smoothing: float) -> None:
    logits, labels = batch()
    loss, weight = make_loss(LossSpec(class_weights=kind, label_smoothing=smoothing), COUNTS)(logits, labels)
    reference = functional.cross_entropy(
        logits,
        labels,
        weight=torch.tensor(class_weights(kind, COUNTS), dtype=torch.float32),
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(mean(loss, weight), reference)


def test_focal_by_hand() -> None:
    # Two classes with logits (ln 3, 0): p = 3/4 for class 0, 1/4 for class 1.
    # γ = 2: (1 − 3/4)² · −ln(3/4) = 0.0625 · 0.2876821 and (1 − 1/4)² · −ln(1/4) = 0.5625 · 1.3862944.
    logits = torch.tensor([[3.0, 1.0], [3.0, 1.0]]).log()
    loss, weight = make_loss(LossSpec(kind="focal", gamma=2.0), (1, 1))(logits, torch.tensor([0, 1]))
    torch.testing.assert_close(loss, torch.tensor([0.0625 * 0.2876821, 0.5625 * 1.3862944]))
    torch.testing.assert_close(weight, torch.ones(2))


def test_focal_with_gamma_0_is_cross_entropy() -> None:
    logits, labels = batch()
    focal, _ = make_loss(LossSpec(kind="focal", gamma=0.0, class_weights="balanced"), COUNTS)(logits, labels)
    plain, _ = make_loss(LossSpec(class_weights="balanced"), COUNTS)(logits, labels)
    torch.testing.assert_close(focal, plain)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_has_a_finite_gradient_where_the_model_is_certain(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    loss, weight = make_loss(LossSpec(kind="focal", gamma=gamma), (1, 1))(logits, torch.tensor([0, 0]))
    mean(loss, weight).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["cross_entropy", "focal"])
def test_the_loss_of_a_batch_does_not_depend_on_how_it_is_cut(kind: Any) -> None:
    logits, labels = batch()
    loss_of = make_loss(LossSpec(kind=kind, class_weights="balanced", label_smoothing=0.1), COUNTS)
    whole = mean(*loss_of(logits, labels))
    parts = [loss_of(logits[rows], labels[rows]) for rows in (slice(0, 3), slice(3, 16))]
    cut = sum(loss.sum() for loss, _ in parts) / sum(weight.sum() for _, weight in parts)
    torch.testing.assert_close(cut, whole)


def test_half_precision_logits_are_taken_up_to_float32() -> None:
    logits, labels = batch()
    loss, weight = make_loss(LossSpec(), COUNTS)(logits.to(torch.bfloat16), labels)
    assert loss.dtype == weight.dtype == torch.float32

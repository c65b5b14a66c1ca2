"""Training losses: a weighted loss for each clip, and the weights by which its sum is divided.

The reduction is left to the trial, ``sum(loss) / sum(weight)`` over the global batch, so that the cut of
a batch over workers never shows. That is what ``torch.nn.functional.cross_entropy`` does in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from actrec.errors import DataError
from actrec.spec import LossSpec

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""logits float (B, K), labels int64 (B,) → weighted losses float32 (B,), weights float32 (B,)."""


def class_weights(kind: str, counts: Sequence[int], beta: float = 0.999) -> NDArray[np.float64]:
    """One weight a class, (K,), from the number of training videos of each.

    ``balanced`` n / (K·n_c), scikit-learn's ``compute_class_weight("balanced")`` · ``sqrt`` its square
    root · ``effective`` (1−β)/(1−β^n_c), scaled to sum to K (Cui et al., CVPR 2019, eq. 2) · ``none`` ones.
    K is the number of classes that occur, as in scikit-learn; a class of no video weighs 0.

    Raises:
        DataError: if no class has a training video.
    """
    number = np.asarray(counts, dtype=np.float64)
    present = number > 0
    if not present.any():
        raise DataError("no class has a training video")
    weights = np.zeros(len(number))
    number, total = number[present], int(present.sum())
    match kind:
        case "none":
            return np.ones(len(weights))
        case "balanced":
            weights[present] = number.sum() / (total * number)
        case "sqrt":
            weights[present] = np.sqrt(number.sum() / (total * number))
        case "effective":
            effective = (1 - beta) / (1 - beta**number)
            weights[present] = effective * total / effective.sum()
        case _:
            raise AssertionError(kind)
    return weights


def make_loss(spec: LossSpec, train_counts: Sequence[int], device: str | torch.device = "cpu") -> Loss:
    """The loss of a specification, for training labels with ``train_counts`` videos of each class.

    Cross-entropy with class weights and label smoothing is PyTorch's. The focal loss multiplies it, for
    each clip, by (1 − p)^γ, where p is the softmax probability of the label (Lin et al., ICCV 2017, eq. 4,
    with softmax for the sigmoid).
    """
    weights = torch.tensor(
        class_weights(spec.class_weights, train_counts, spec.beta), dtype=torch.float32, device=device
    )

    def cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        loss = functional.cross_entropy(
            logits.float(), labels, weights, reduction="none", label_smoothing=spec.label_smoothing
        )
        return loss, weights[labels]

    def focal(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        loss, weight = cross_entropy(logits, labels)
        surprise = functional.cross_entropy(logits.float(), labels, reduction="none")
        # 1 − p, kept off 0 where the gradient of a power below 1 is infinite.
        distance = -torch.expm1(-surprise)
        return loss * distance.clamp_min(torch.finfo(torch.float32).eps) ** spec.gamma, weight

    return focal if spec.kind == "focal" else cross_entropy

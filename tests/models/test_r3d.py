from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.video import r3d_18

from actrec.errors import ModelError
from actrec.models.layers import Staged
from actrec.models.zoo import build
from actrec.spec import ModelSpec


def make(**options: Any) -> Staged:
    torch.manual_seed(0)
    model = build(ModelSpec(name="r3d_18", **options), num_classes=51, num_frames=16)
    assert isinstance(model, Staged)
    return model


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_without_attention_it_is_that_of_torchvision() -> None:
    ours, theirs = make(attention_heads=0, dropout=0.0).eval(), r3d_18(num_classes=51).eval()
    theirs.load_state_dict(ours.state_dict())  # strict: the names are the same
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(clips), theirs(clips))


def test_attention_adds_one_encoder_layer_whatever_its_heads_and_tokens() -> None:
    with torch.device("meta"):
        sizes = {count(make(attention_heads=h, pool_size=p)) for h, p in [(1, 1), (8, 1), (16, 4)]}
        plain = count(make(attention_heads=0))
    # torchvision counts 33,371,472 with 400 classes, of which 512 · 400 + 400 are the classifier's.
    assert plain == 33_371_472 - 205_200 + 512 * 51 + 51
    # Attention 4 · (512² + 512), MLP 2 · 512 · 2048 + 2048 + 512, two LayerNorms of 2 · 512.
    assert sizes == {plain + 4 * (512**2 + 512) + 2 * 512 * 2048 + 2048 + 512 + 2 * 2 * 512}


@pytest.mark.parametrize(("pool_size", "tokens"), [(1, 2), (3, 18), (7, 98)])
def test_a_token_for_each_place_of_the_pooled_feature_map(pool_size: int, tokens: int) -> None:
    with torch.device("meta"):
        made = make(pool_size=pool_size).eval().prefix(torch.zeros(1, 3, 16, 112, 112), 5)
    assert made.shape == (1, tokens, 512)  # 16×112×112 has a feature map of 2×7×7


def test_tokens_attend_to_each_other() -> None:
    """With attention the logits of two tokens are not those of the mean of two clips of one token each."""
    generator = torch.Generator().manual_seed(0)
    tokens: Tensor = torch.randn(1, 2, 512, generator=generator)
    for heads, meet in ((0, False), (8, True)):
        model = make(attention_heads=heads).eval()
        with torch.no_grad():
            together = model(tokens, first=5)
            apart = model(tokens.transpose(0, 1), first=5).mean(0, keepdim=True)
        assert torch.allclose(together, apart, atol=1e-5) != meet


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ModelError, match=r"attention_heads=3 .*512; valid: \[0, 1, 2, 4, 8, 16, 32"):
        make(attention_heads=3)

from __future__ import annotations

import pytest
import torch
from torch import nn

from actrec.models.zoo import build
from actrec.spec import ModelSpec

# As the report prints them (SYSTEMS.md, row 2); batches seen are counted in buffers, not here.
MODEL_2 = {
    "cnn.0.weight": (32, 3, 3, 3),
    "cnn.0.bias": (32,),
    "cnn.1.weight": (32,),
    "cnn.1.bias": (32,),
    "cnn.4.weight": (64, 32, 3, 3),
    "cnn.4.bias": (64,),
    "cnn.5.weight": (64,),
    "cnn.5.bias": (64,),
    "cnn.8.weight": (128, 64, 3, 3),
    "cnn.8.bias": (128,),
    "cnn.9.weight": (128,),
    "cnn.9.bias": (128,),
    "lstm.weight_ih_l0": (1024, 128),
    "lstm.weight_hh_l0": (1024, 256),
    "lstm.bias_ih_l0": (1024,),
    "lstm.bias_hh_l0": (1024,),
    "fc.weight": (51, 256),
    "fc.bias": (51,),
}


def make(name: str, num_classes: int = 51) -> nn.Module:
    return build(ModelSpec(name=name), num_classes=num_classes, num_frames=16)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_model_2_has_the_names_shapes_and_size_of_the_report() -> None:
    model = make("cnn_lstm_2")
    assert {name: tuple(value.shape) for name, value in model.named_parameters()} == MODEL_2
    assert count(model) == 502_067
    assert isinstance(model.get_submodule("cnn"), nn.Sequential)
    assert isinstance(model.get_submodule("cnn.1"), nn.BatchNorm2d)
    assert isinstance(model.get_submodule("cnn.2"), nn.LeakyReLU)
    assert isinstance(model.get_submodule("cnn.3"), nn.MaxPool2d)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # Model 2 without BatchNorm's scale and shift of 32 + 64 + 128 channels: 502,067 − 448.
        ("cnn_lstm_1", 501_619),
        # Model 2 and a second convolution a block: c·c·9 + c for c = 32, 64, 128 is 9,248 + 36,928 + 147,584,
        # with another 448 of BatchNorm.
        ("cnn_lstm_3", 502_067 + 193_760 + 448),
    ],
)
def test_the_other_two_have_the_size_that_follows(name: str, parameters: int) -> None:
    assert count(make(name)) == parameters


def test_only_model_3_has_dropout_by_default() -> None:
    rates = [make(f"cnn_lstm_{n}").get_submodule("dropout") for n in (1, 2, 3)]
    assert [module.p for module in rates if isinstance(module, nn.Dropout)] == [0.0, 0.0, 0.3]


def test_the_order_of_frames_matters() -> None:
    torch.manual_seed(0)
    model = make("cnn_lstm_2").eval()
    batch = torch.randn(2, 3, 5, 16, 16)
    with torch.no_grad():
        assert not torch.allclose(model(batch), model(batch.flip(2)), rtol=0, atol=1e-6)


def test_the_lstm_is_in_full_precision_under_autocast() -> None:
    model = make("cnn_lstm_2")
    seen: list[torch.dtype] = []

    def look(lstm: nn.Module, inputs: tuple[torch.Tensor, ...], outputs: tuple[torch.Tensor, ...]) -> None:
        seen.extend([inputs[0].dtype, outputs[0].dtype])

    model.get_submodule("lstm").register_forward_hook(look)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(torch.randn(2, 3, 4, 16, 16))
    assert seen == [torch.float32, torch.float32]
    assert logits.dtype == torch.bfloat16  # autocast is on again behind it

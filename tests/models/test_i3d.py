"""Inception-I3D against the shapes and the predictions of the published network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool3d

from actrec.data.clips import clip_indices
from actrec.data.decode import decode
from actrec.data.probe import probe
from actrec.models import weights
from actrec.models.i3d import CARD, InceptionI3D, MaxPool, Unit, pad_same
from actrec.models.zoo import build
from actrec.spec import ClipSpec, ModelSpec


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [
        # TensorFlow: total = max((⌈n / s⌉ − 1) s + k − n, 0), half of it before, rounded down.
        (224, 7, 2, 2, 3),  # (112 − 1) · 2 + 7 − 224 = 5
        (225, 7, 2, 3, 3),  # (113 − 1) · 2 + 7 − 225 = 6
        (112, 3, 2, 0, 1),  # (56 − 1) · 2 + 3 − 112 = 1
        (7, 2, 2, 0, 1),  # (4 − 1) · 2 + 2 − 7 = 1
        (8, 2, 2, 0, 0),
        (5, 3, 1, 1, 1),
        (1, 1, 2, 0, 0),
    ],
)
def test_same_padding_is_that_of_tensorflow(
    size: int, kernel: int, stride: int, before: int, after: int
) -> None:
    padded = pad_same(torch.ones(1, 1, 1, 1, size), (1, 1, kernel), (1, 1, stride))[0, 0, 0, 0]
    assert padded.tolist() == [0.0] * before + [1.0] * size + [0.0] * after


def test_each_dimension_has_its_own_padding() -> None:
    padded = pad_same(torch.ones(1, 1, 4, 5, 6), (1, 3, 2), (1, 2, 2))
    # T: none. H: (3 − 1) · 2 + 3 − 5 = 2, both sides. W: (3 − 1) · 2 + 2 − 6 = 0.
    assert padded.shape == (1, 1, 4, 7, 6)
    assert not padded[:, :, :, 0].any()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [6, 7])
def test_a_convolution_pads_the_same_way_at_every_stride(size: int, stride: int) -> None:
    torch.manual_seed(0)
    unit = Unit(2, 3, 3, stride).eval()
    clip = torch.randn(1, 2, size, size, size)
    plain = nn.functional.conv3d(pad_same(clip, (3, 3, 3), (stride,) * 3), unit.conv.weight, stride=stride)
    with torch.no_grad():
        torch.testing.assert_close(unit(clip), unit.bn(plain).relu())


def test_pooling_takes_the_largest_of_what_is_there() -> None:
    clip = torch.rand(1, 2, 4, 7, 7)
    # One pixel of 7 hangs over at the end of a row of windows of 3 at stride 2 that starts one before it.
    expected = max_pool3d(clip, (1, 3, 3), (1, 2, 2), padding=(0, 1, 1))
    assert torch.equal(MaxPool((1, 3, 3), (1, 2, 2))(clip), expected)


def test_a_full_clip_has_the_feature_maps_of_the_paper() -> None:
    """Figure 3 of arXiv:1705.07750: 64×224×224 is 8×7×7 at its end, before what is left is averaged."""
    with torch.device("meta"):
        model = InceptionI3D(400, dropout=0.5).eval()
        clip = torch.zeros(1, 3, 64, 224, 224)
        shapes = {stage.name: (clip := stage.run(clip)).shape[1:] for stage in model.stages()}
    assert shapes["Conv3d_1a_7x7"] == (64, 32, 56, 56)
    assert shapes["Conv3d_2c_3x3"] == (192, 32, 28, 28)
    assert shapes["Mixed_3c"] == (480, 16, 14, 14)
    assert shapes["Mixed_4f"] == (832, 8, 7, 7)
    assert shapes["Mixed_5b"] == (832, 8, 7, 7)
    assert shapes["Mixed_5c"] == (1024, 1, 1, 1)
    assert shapes["head"] == (400,)


@pytest.fixture
def kinetics(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the class list, with the published weights in reach."""
    monkeypatch.setenv(weights.VARIABLE, str(shared_data / "weights"))
    return shared_data / "splits" / "label_maps"


def published(num_classes: int, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build(ModelSpec(name="i3d", weights="kinetics400"), num_classes=num_classes, num_frames=64).eval()


def test_published_weights_fill_all_but_a_head_of_other_classes(kinetics: Path) -> None:
    one, other = published(6, seed=1).state_dict(), published(6, seed=2).state_dict()
    differing = {key for key in one if not torch.equal(one[key], other[key])}
    assert differing == {"Logits.Conv3d_0c_1x1.conv.weight", "Logits.Conv3d_0c_1x1.conv.bias"}
    torch.manual_seed(1)
    random = build(ModelSpec(name="i3d"), num_classes=6, num_frames=64).state_dict()
    assert all(torch.equal(one[key], random[key]) for key in differing)  # the head of the seed, as without


def centre_clip(path: Path) -> Tensor:
    """float32 (1, 3, 64, 224, 224) in [−1, 1]: the middle 64 frames, the centre of 256×340 pixels."""
    spec = ClipSpec(sampling="clips", num_frames=64)
    indices = clip_indices(probe(path).num_frames, spec)
    wide = decode(path, indices, (256, 340), fit="crop")[:, :, 16:240, 58:282]
    return torch.from_numpy(np.ascontiguousarray(wide)).permute(0, 4, 1, 2, 3) / 127.5 - 1


def test_it_names_real_actions(shared_data: Path, kinetics: Path) -> None:
    names = (kinetics / "kinetics__label_map_k400.txt").read_text().splitlines()
    model = published(400)
    seen = {}
    for file in sorted((shared_data / "clips").iterdir()):
        if "SoccerJuggling" in file.name or "cartwheel" in file.name:
            with torch.no_grad():
                best, index = model(centre_clip(file)).softmax(1)[0].max(0)
            seen[file.name] = (names[int(index)], best.item())
    assert [name for name, _ in seen.values()] == ["cartwheeling"] + 2 * ["juggling soccer ball"]
    juggling = [best for name, best in seen.values() if name == "juggling soccer ball"]
    assert min(juggling) >= 0.95


def test_the_card_wants_a_file_with_the_classes_that_it_says(kinetics: Path) -> None:
    wanted = CARD.weights["kinetics400"]
    names = (kinetics / "kinetics__label_map_k400.txt").read_text().splitlines()
    assert len(names) == wanted.classes
    assert weights.find(CARD, "kinetics400").name == wanted.file

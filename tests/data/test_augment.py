from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor

from actrec.data.augment import build_augment
from actrec.seeding import torch_rng
from actrec.spec import PRESETS, AugmentSpec
from tests.data.augmenting import SIZES, apply, frames_of, plain, random_clips

ON: dict[str, Any] = {
    "crop": "random_resized",
    "hflip": 0.5,
    "vflip": 0.5,
    "jitter": 0.4,
    "greyscale": 0.5,
    "rotation": 20.0,
    "erasing": 0.5,
}


def only(field: str, value: Any) -> dict[str, Any]:
    return {field: value}


# --- contract


@pytest.mark.parametrize("preset", PRESETS["augment"])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("batch", "frames"), [(4, 3), (1, 3), (4, 1), (1, 1)])
def test_shape_dtype_and_values_of_every_preset(preset: str, train: bool, batch: int, frames: int) -> None:
    clips = random_clips(batch, frames)
    before = clips.clone()
    augment = build_augment(PRESETS["augment"][preset], **SIZES, train=train)
    result = augment(clips, torch_rng(0))
    assert result.shape == (batch, 3, frames, 20, 24)
    assert result.dtype == torch.float32
    assert result.device == clips.device
    assert result.min() >= 0
    assert result.max() <= 1
    assert torch.equal(clips, before)  # the clip cache is memory-mapped: nothing may be written into it


@pytest.mark.parametrize("train", [True, False])
def test_the_default_only_normalises(train: bool) -> None:
    clips, mean, std = random_clips(), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    result = build_augment(AugmentSpec(), mean=mean, std=std, train=train)(clips, torch_rng(0))
    assert torch.equal(frames_of(result), reference.normalize(frames_of(plain(clips)), list(mean), list(std)))


def test_fields_at_zero_are_no_operation_to_the_last_bit() -> None:
    clips = random_clips()
    off: dict[str, Any] = {
        "crop": "none",
        "hflip": 0.0,
        "vflip": 0.0,
        "jitter": 0.0,
        "greyscale": 0.0,
        "rotation": 0.0,
    }
    assert torch.equal(apply(clips, **off, erasing=0.0, size=0), plain(clips))


def test_evaluation_leaves_out_what_is_random_and_reads_no_generator() -> None:
    clips, generator = random_clips(), torch_rng(0)
    before = generator.get_state()
    result = build_augment(AugmentSpec(**ON), **SIZES, train=False)(clips, generator)
    assert torch.equal(result, plain(clips))
    assert torch.equal(generator.get_state(), before)


def test_normalisation_comes_last() -> None:
    """A mean and deviation a channel only move and scale what the neutral ones give, erased pixels apart."""
    clips, fields = random_clips(), {**ON, "erasing": 0.0}
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])
    augment = build_augment(AugmentSpec(**fields), mean=mean.tolist(), std=std.tolist(), train=True)
    expected = (frames_of(apply(clips, **fields)) - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    torch.testing.assert_close(frames_of(augment(clips, torch_rng(0, "augment"))), expected)


# --- draws


@pytest.mark.parametrize(
    "preset", [name for name, spec in PRESETS["augment"].items() if spec != AugmentSpec()]
)
def test_the_generator_decides(preset: str) -> None:
    clips, augment = random_clips(), build_augment(PRESETS["augment"][preset], **SIZES, train=True)
    first = augment(clips, torch_rng(0))
    assert torch.equal(first, augment(clips, torch_rng(0)))
    assert not torch.equal(first, augment(clips, torch_rng(1)))
    generator = torch_rng(0)
    assert torch.equal(first, augment(clips, generator))
    assert not torch.equal(first, augment(clips, generator))  # the next batch gets draws of its own


def test_the_global_generator_plays_no_part() -> None:
    torch.manual_seed(0)
    first = apply(random_clips(), **ON)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert torch.equal(first, apply(random_clips(), **ON))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("field", ON)
def test_one_draw_a_clip_and_the_same_for_its_frames(field: str) -> None:
    """Frames that are equal stay equal; clips that are equal do not all stay equal."""
    clips = random_clips(1, 1).expand(16, 4, -1, -1, -1)
    result = apply(clips, **only(field, ON[field]))
    assert torch.equal(result, result[:, :, :1].expand_as(result))
    assert len({tuple(clip.flatten().tolist()) for clip in result}) > 1


@pytest.mark.parametrize("field", ON)
def test_what_is_on_does_not_move_the_draws_of_the_others(field: str) -> None:
    """The table of draws is the same whatever is asked for, so later batches stay paired too."""
    clips = random_clips()
    alone, with_another = torch_rng(0), torch_rng(0)
    build_augment(AugmentSpec(), **SIZES, train=True)(clips, alone)
    build_augment(AugmentSpec(**only(field, ON[field])), **SIZES, train=True)(clips, with_another)
    assert torch.equal(alone.get_state(), with_another.get_state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_generator_on_the_cpu_gives_the_same_on_a_gpu() -> None:
    clips = random_clips()
    on_gpu = apply(clips.cuda(), **ON)
    assert on_gpu.device.type == "cuda"
    torch.testing.assert_close(on_gpu.cpu(), apply(clips, **ON), rtol=0, atol=1e-3)


def test_arms_of_one_seed_stay_paired() -> None:
    """The clips that are flipped are the same ones with and without the other changes."""
    clips = random_clips(64, 1)
    flipped = (apply(clips, hflip=0.5) != plain(clips)).flatten(1).any(1)
    assert 0 < flipped.sum() < 64
    # Colour keeps places: undo the flips found above and what is left must be the jitter alone.
    both = apply(clips, hflip=0.5, jitter=0.3)
    both[flipped] = both[flipped].flip(-1)
    torch.testing.assert_close(both, apply(clips, jitter=0.3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("field", ["hflip", "vflip", "greyscale", "erasing"])
def test_probabilities_are_kept(field: str, probability: float) -> None:
    """Of n clips, n·p change; a binomial count is within 4.5 standard deviations but for 7 in a million."""
    n = 4000
    clips = random_clips(n, 1, 4, 4)
    changed = (apply(clips, **only(field, probability)) != plain(clips)).flatten(1).any(1).sum().item()
    assert abs(changed - n * probability) < 4.5 * math.sqrt(n * probability * (1 - probability))


@pytest.mark.parametrize("field", ["hflip", "vflip", "greyscale", "erasing"])
def test_probability_one_means_always(field: str) -> None:
    clips = random_clips(200, 1, 4, 4)
    assert (apply(clips, **only(field, 1.0)) != plain(clips)).flatten(1).any(1).all()


# --- each operation against torchvision's


def test_flips_are_exact() -> None:
    clips = random_clips()
    video = frames_of(plain(clips))
    assert torch.equal(frames_of(apply(clips, hflip=1.0)), reference.horizontal_flip(video))
    assert torch.equal(frames_of(apply(clips, vflip=1.0)), reference.vertical_flip(video))


def test_greyscale_is_torchvision_s() -> None:
    clips = random_clips()
    expected = reference.rgb_to_grayscale(frames_of(plain(clips)), num_output_channels=3)
    torch.testing.assert_close(frames_of(apply(clips, greyscale=1.0)), expected)


def drawn(name: str, batch: int, seed: int = 0) -> Tensor:
    """The draws of one purpose in [0, 1), read from the documented table."""
    from actrec.data.augment import _PURPOSES

    table = torch.rand(len(_PURPOSES), batch, generator=torch_rng(seed, "augment"))
    return table[_PURPOSES.index(name)]


@pytest.mark.parametrize("strength", [0.1, 0.4, 1.0])
def test_jitter_is_torchvision_s_four_operations_in_order(strength: float) -> None:
    clips = random_clips(8)
    result = frames_of(apply(clips, jitter=strength))
    factors = {
        name: 1 - strength + 2 * strength * drawn(name, 8)
        for name in ("brightness", "contrast", "saturation")
    }
    hue = (2 * drawn("hue", 8) - 1) * strength / 4
    for index, video in enumerate(frames_of(plain(clips))):
        expected = reference.adjust_brightness(video, factors["brightness"][index].item())
        expected = reference.adjust_contrast(expected, factors["contrast"][index].item())
        expected = reference.adjust_saturation(expected, factors["saturation"][index].item())
        expected = reference.adjust_hue(expected, hue[index].item())
        torch.testing.assert_close(result[index], expected, rtol=0, atol=2e-5)


def test_jitter_of_grey_pictures_leaves_them_grey() -> None:
    grey = random_clips()[..., :1].expand(-1, -1, -1, -1, 3)
    result = apply(grey, jitter=0.5)
    assert result.isfinite().all()
    torch.testing.assert_close(result, result[:, :1].expand_as(result), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(24, 24), (20, 32), (32, 20)])
def test_rotation_is_torchvision_s_within_the_frame(height: int, width: int) -> None:
    clips = random_clips(6, 2, height, width)
    result = frames_of(apply(clips, rotation=30.0))
    angles = (2 * drawn("rotation", 6) - 1) * 30.0
    assert angles.max() > 5
    assert angles.min() < -5
    for index, video in enumerate(frames_of(plain(clips))):
        inside = torch.ones(1, 1, height, width)
        turn = {"angle": angles[index].item(), "interpolation": reference.InterpolationMode.BILINEAR}
        expected, known = reference.rotate(video, **turn), reference.rotate(inside, **turn) > 0.999
        known = known.expand_as(expected)
        assert known.float().mean() > 0.5
        torch.testing.assert_close(result[index][known], expected[known], rtol=0, atol=1e-4)


def test_rotation_fills_with_the_border() -> None:
    white = torch.full((4, 1, 16, 16, 3), 255, dtype=torch.uint8)
    torch.testing.assert_close(apply(white, rotation=90.0), torch.ones(4, 3, 1, 16, 16))


def test_every_operation_together_is_finite_and_of_the_right_shape() -> None:
    spec = dataclasses.replace(AugmentSpec(**ON), size=12)
    result = build_augment(spec, mean=(0.5,) * 3, std=(0.25,) * 3, train=True)(random_clips(), torch_rng(0))
    assert result.shape == (6, 3, 3, 12, 12)
    assert result.isfinite().all()
    assert result.abs().max() <= 2 + 1e-6

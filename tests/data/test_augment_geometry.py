"""Where pixels go: sizes, crops, erasing."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor

from actrec.data.augment import build_augment
from actrec.seeding import torch_rng
from actrec.spec import AugmentSpec
from tests.data.augmenting import SIZES, apply, frames_of, plain, random_clips


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("side", [8, 16, 33])
def test_resizing_is_torchvision_s(train: bool, side: int) -> None:
    clips = random_clips()
    expected = reference.resize(frames_of(plain(clips)), [side, side], antialias=True)
    torch.testing.assert_close(frames_of(apply(clips, train=train, size=side)), expected)


def test_the_specification_s_size_wins_over_the_model_s() -> None:
    augment = build_augment(AugmentSpec(size=8), **SIZES, size=16, train=True)
    assert augment(random_clips(), torch_rng(0)).shape[-2:] == (8, 8)
    augment = build_augment(AugmentSpec(), **SIZES, size=16, train=True)
    assert augment(random_clips(), torch_rng(0)).shape[-2:] == (16, 16)


def test_evaluation_of_a_random_crop_takes_the_centre() -> None:
    clips = random_clips(height=21, width=24)
    expected = frames_of(plain(clips))[..., 4:16, 6:18]  # (21 − 12) // 2 = 4, (24 − 12) // 2 = 6
    assert torch.equal(frames_of(apply(clips, train=False, size=12, crop="random")), expected)


def test_a_random_crop_is_some_window_and_reaches_all_of_them() -> None:
    """The frame's pixels hold their own coordinates, so each result says where it was cut."""
    height, width, side = 13, 14, 11
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    picture = torch.stack([rows, columns, 0 * rows], -1).to(torch.uint8)
    result = apply(picture.expand(400, 1, -1, -1, -1), crop="random", size=side) * 255
    tops, lefts = result[:, 0, 0, 0, 0].round(), result[:, 1, 0, 0, 0].round()
    for index in range(400):
        top, left = int(tops[index]), int(lefts[index])
        window = picture[top : top + side, left : left + side].permute(2, 0, 1)
        torch.testing.assert_close(result[index, :, 0], window.float(), rtol=0, atol=1e-3)
    # 3 × 4 places; that one of them is missed by all of 400 draws has probability 12·(11/12)^400 < 1e-14.
    assert set(zip(tops.tolist(), lefts.tolist(), strict=True)) == {
        (t, c) for t in range(3) for c in range(4)
    }


def test_a_random_crop_without_room_shifts_the_frame_by_an_eighth_at_most() -> None:
    side = 16
    clips = random_clips(1, 1, side, side).expand(300, -1, -1, -1, -1)
    padded = reference.pad(frames_of(plain(clips[:1]))[0], [2, 2, 2, 2], padding_mode="edge")
    windows = {
        (top, left): padded[..., top : top + side, left : left + side]
        for top in range(5)
        for left in range(5)
    }
    found = set()
    for video in frames_of(apply(clips, crop="random")):
        near = [place for place, window in windows.items() if (video - window).abs().max() < 1e-4]
        assert len(near) == 1
        found |= set(near)
    assert found == set(windows)  # missed by chance: 25·(24/25)^300 < 2e-4, and the seed is fixed


def boxes(result: Tensor) -> tuple[Tensor, Tensor]:
    """Given a crop of pictures whose red is x and whose green is y (in pixels): its corners (B, 2), x then y.

    Sampling is linear and so are the pictures: values at two pixels away from the border give the line,
    which ends half a pixel beyond the first and the last pixel.
    """
    height, width = result.shape[-2:]
    across, down = result[:, 0, 0, height // 2] * 255, result[:, 1, 0, :, width // 2] * 255
    low, high = [], []
    for line in (across, down):
        count = line.shape[1]
        a, b = count // 4, 3 * count // 4
        slope = (line[:, b] - line[:, a]) / (b - a)
        low.append(line[:, a] - slope * (a + 0.5))
        high.append(line[:, b] + slope * (count - b - 0.5))
    return torch.stack(low, 1) + 0.5, torch.stack(high, 1) + 0.5  # pixel 0 reaches from 0 to 1


def ramps(batch: int, height: int, width: int) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    picture = torch.stack([columns, rows, 0 * rows], -1).to(torch.uint8)
    return picture.expand(batch, 1, -1, -1, -1)


def test_random_resized_crops_keep_to_scale_aspect_and_frame() -> None:
    height, width = 120, 160
    low, high = boxes(apply(ramps(500, height, width), crop="random_resized", min_scale=0.3))
    sides = (high - low) / torch.tensor([width, height])
    area, aspect = sides.prod(1), sides[:, 0] / sides[:, 1]
    tolerance = 2e-3
    assert low.min() > -0.1
    assert (high <= torch.tensor([width, height]) + 0.1).all()
    assert aspect.min() > 3 / 4 - tolerance
    assert aspect.max() < 4 / 3 + tolerance
    # A side longer than the frame's is cut to it, which may cost area; without that, the area is uniform.
    uncut = sides.max(1).values < 1 - tolerance
    assert area[uncut].min() > 0.3 - tolerance
    assert area[uncut].min() < 0.35
    assert area.max() > 0.9


def test_random_resized_crops_are_bilinear_samples_of_their_box() -> None:
    """Away from the frame's border, which the ramps that the box is read from do not cover."""
    clips = random_clips(1, 2, 32, 32).expand(40, -1, -1, -1, -1)
    corner_low, corner_high = boxes(apply(ramps(40, 32, 32), crop="random_resized"))
    result = frames_of(apply(clips, crop="random_resized"))
    grid = torch.arange(32) + 0.5
    for video, low, high, clip in zip(result, corner_low, corner_high, frames_of(plain(clips)), strict=True):
        x = low[0] + grid * (high - low)[0] / 32 - 0.5
        y = low[1] + grid * (high - low)[1] / 32 - 0.5
        inner_x, inner_y = (x > 0) & (x < 31), (y > 0) & (y < 31)
        expected = bilinear(clip, y[inner_y], x[inner_x])
        torch.testing.assert_close(video[..., inner_y, :][..., inner_x], expected, rtol=0, atol=2e-3)


def test_a_crop_is_cut_from_the_turned_frame() -> None:
    """Turned by torchvision, then cut where the same draws cut without rotation."""
    height, width = 48, 72
    pictures = ramps(20, height, width)
    low, high = boxes(apply(pictures, crop="random_resized"))
    both = frames_of(apply(pictures, crop="random_resized", rotation=25.0))
    turned_alone = frames_of(apply(pictures, rotation=25.0))  # is torchvision's: tested by itself
    columns, rows = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    checked = 0
    for index in range(20):
        x = (low[index, 0] + columns * (high - low)[index, 0] / width - 0.5).clamp(0, width - 1.001)
        y = (low[index, 1] + rows * (high - low)[index, 1] / height - 0.5).clamp(0, height - 1.001)
        expected = bilinear(turned_alone[index, 0], y, x)
        # Ramps are linear but where the turned frame shows its repeated border: keep well inside.
        red, green = expected[0] * 255, expected[1] * 255
        inside = (red > 2) & (red < width - 3) & (green > 2) & (green < height - 3)
        checked += int(inside.sum())
        torch.testing.assert_close(both[index, 0][:, inside], expected[:, inside], rtol=0, atol=1e-3)
    assert checked > 0.5 * 20 * height * width


def bilinear(video: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Written from the definition: the value between four pixels, (…, H, W) at y × x."""
    top, left = y.floor().long(), x.floor().long()
    down, right = (y - top)[:, None], x - left
    rows = video[..., top, :] * (1 - down) + video[..., top + 1, :] * down
    return rows[..., left] * (1 - right) + rows[..., left + 1] * right


def test_multi_scale_crops_are_the_fixed_ones_at_corners_or_centre() -> None:
    height, width = 64, 128
    frame = torch.tensor([width, height])
    low, high = boxes(apply(ramps(2000, height, width), crop="multi_scale"))
    sides = (high - low) / frame
    fixed = torch.tensor([256.0, 224.0, 192.0, 168.0]) / 256
    nearest = (sides[..., None] - fixed).abs().min(-1)
    assert nearest.values.max() < 2e-3
    # Every pair of scales: missed by chance with probability 16·(15/16)^2000 < 1e-54.
    assert len({tuple(pair) for pair in nearest.indices.tolist()}) == 16
    room = frame - (high - low)
    place = (low / room.clamp_min(1)).round(
        decimals=1
    )  # 0 at the left or top, 0.5 in the centre, 1 at the end
    free = (nearest.indices > 0).all(1)
    assert {tuple(pair) for pair in place[free].abs().tolist()} == {
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (0.5, 0.5),
    }


def test_crops_and_size_go_together() -> None:
    clips = random_clips(height=40, width=60)
    for crop in ("random", "random_resized", "multi_scale"):
        assert apply(clips, crop=crop, size=16, rotation=10.0).shape == (6, 3, 3, 16, 16)


def test_erasing_puts_the_mean_into_one_box_a_clip() -> None:
    clips = random_clips(300, 2, 32, 32).clamp_min(1)
    augment = build_augment(AugmentSpec(erasing=1.0), mean=(0.0,) * 3, std=(0.5,) * 3, train=True)
    result = augment(clips, torch_rng(0))
    gone = (result == 0).all(1)  # (B, T, H, W); no pixel was black before
    assert torch.equal(result[:, 0] == 0, gone)  # all channels at once
    rows, columns = gone[:, 0].any(2).sum(1), gone[:, 0].any(1).sum(1)
    assert torch.equal(gone[:, 0].flatten(1).sum(1), rows * columns)  # a rectangle
    assert rows.min() >= 1
    assert columns.min() >= 1
    share = rows * columns / 32**2
    # Sides are rounded to whole pixels: √0.33·32 is 18.4 at aspect 1, half a pixel more is 5 % of the area.
    assert share.max() <= 0.33 * 1.1
    assert share.min() >= 0.02 * 0.7
    assert share.max() > 0.25
    kept = ~gone.unsqueeze(1).expand_as(result)
    assert torch.equal(result[kept], (plain(clips) / 0.5)[kept])

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from actrec.errors import ModelError
from actrec.models.zoo import build
from actrec.spec import ModelSpec


def make(num_frames: int = 8, num_classes: int = 4, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return build(ModelSpec(**options), num_classes=num_classes, num_frames=num_frames)


def clips(frames: int = 8) -> Tensor:
    return torch.randn(3, 3, frames, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("heads", [3, 5, 48, 128])
def test_heads_that_do_not_divide_the_width_are_refused(heads: int) -> None:
    valid = r"\[0, 1, 2, 4, 8, 16, 32, 64\]"
    with pytest.raises(ModelError, match=rf"attention_heads={heads} .*width=64; valid: {valid}"):
        make(attention_heads=heads, width=64)


@pytest.mark.parametrize("heads", [0, 1, 8, 16])
def test_heads_of_the_reports_work(heads: int) -> None:
    assert make(attention_heads=heads)(clips()).shape == (3, 4)


def test_without_attention_there_is_no_class_token() -> None:
    names = {name for name, _ in make(attention_heads=0).named_parameters()}
    assert "temporal.token" not in names
    assert not any("attention" in name for name in names)
    assert "temporal.token" in dict(make(attention_heads=2).named_parameters())


@pytest.mark.parametrize("heads", [0, 4])
def test_the_order_of_frames_matters(heads: int) -> None:
    # By the positional embedding, which is all that could tell here: without motion, a frame is seen alone.
    model = make(attention_heads=heads, motion=False).eval()
    with torch.no_grad():
        assert not torch.allclose(model(clips()), model(clips().flip(2)), rtol=0, atol=1e-6)
        position = model.get_parameter("temporal.position")
        position.zero_()
        torch.testing.assert_close(model(clips()), model(clips().flip(2)))


def test_without_attention_frames_meet_only_in_the_mean() -> None:
    """Clip features are linear in the frames: those of (a, b) and (b, a) add up as (a, a) and (b, b) do."""
    model = make(num_frames=2, attention_heads=0, motion=False).eval()
    a, b = clips(2)[:1, :, :1], clips(2)[:1, :, 1:]
    with torch.no_grad():
        mixed = model(torch.cat([a, b], 2)) + model(torch.cat([b, a], 2))
        pure = model(torch.cat([a, a], 2)) + model(torch.cat([b, b], 2))
    torch.testing.assert_close(mixed, pure)


def test_motion_is_the_difference_to_the_frame_before() -> None:
    """The channels that the first convolution sees, caught on their way in."""
    model = make(motion=True)
    seen: list[Tensor] = []
    model.get_submodule("stem").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = clips(3)
    model(batch)
    frames = seen[0].view(3, 3, 6, 32, 32)  # B, T, channels
    assert torch.equal(frames[:, :, :3], batch.transpose(1, 2))
    assert not frames[:, 0, 3:].any()
    assert torch.equal(frames[:, 2, 3:], batch[:, :, 2] - batch[:, :, 1])


def test_a_still_clip_has_no_motion() -> None:
    model = make(motion=True).eval()
    still = clips(1).expand(-1, -1, 8, -1, -1)
    with torch.no_grad():
        weight = model.get_parameter("stem.0.weight")
        expected = model(still)
        weight[:, 3:] = 0
        assert torch.equal(model(still), expected)


def test_shorter_clips_than_built_for_work_and_longer_are_refused() -> None:
    model = make(num_frames=4)
    assert model(clips(1)).shape == (3, 4)
    assert model(clips(3)).shape == (3, 4)
    with pytest.raises(ModelError, match="5 frames: the model was built for 1 to 4"):
        model(clips(5))


def moving_squares(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """float32 (count, 3, 8, 32, 32) in [−1, 1] and labels: a bright square that goes left, right, up or down
    by 2 pixels a frame, through a random point in the middle of the clip."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    step = torch.tensor([[-2, 0], [2, 0], [0, -2], [0, 2]])[labels]  # x, y
    start = torch.randint(12, 17, (count, 2), generator=generator)
    time = torch.arange(8) - 4
    corner = start[:, None] + step[:, None] * time[:, None]  # (count, T, 2)
    pixel = torch.arange(32)
    along = (pixel >= corner[..., None]) & (pixel < corner[..., None] + 6)  # (count, T, 2, 32)
    square = along[:, :, 1, :, None] & along[:, :, 0, None, :]
    noise = 0.2 * torch.randn(count, 3, 8, 32, 32, generator=generator)
    return (square[:, None] * 1.4 - 0.7 + noise).clamp(-1, 1), labels


def test_it_learns_directions_of_motion_in_a_few_epochs() -> None:
    """No change of the model may cost it what the default study needs: 4 directions from 64 clips."""
    videos, labels = moving_squares(64, seed=0)
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for _ in range(15):
        for batch in torch.arange(64).view(4, 16):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(videos[batch]), labels[batch]))
            optimizer.step()
    unseen, truth = moving_squares(64, seed=1)
    with torch.no_grad():
        accuracy = (model.eval()(unseen).argmax(1) == truth).float().mean().item()
    assert accuracy >= 0.9

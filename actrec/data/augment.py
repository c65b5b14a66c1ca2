"""Random changes to batches of clips, on the device that the clips are on.

One draw a clip, the same for all of its frames. All draws of a batch are made first, as one table with a
fixed column for each purpose, and each change reads its own columns: whether one change is on never moves
the draws of another, so two arms of a study that share a seed stay paired. A field of the specification
that is 0 (or a crop of ``none``) is no operation at all, to the last bit.

The order is: flips, then crop and rotation in one bilinear sampling, size, colour, greyscale, erasing,
normalisation. Sampling outside the frame repeats its border.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from actrec.spec import AugmentSpec

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""uint8 (B, T, H, W, 3), generator → float32 (B, 3, T, h, w), normalised."""

_Draws = Mapping[str, Tensor]  # purpose → (B,) in [0, 1)
_PURPOSES = (
    *("hflip", "vflip", "scale", "aspect", "crop_y", "crop_x", "rotation"),
    *("brightness", "contrast", "saturation", "hue", "greyscale"),
    *("erase", "erase_area", "erase_aspect", "erase_y", "erase_x"),
)

# The sides of a multi-scale crop, of the frame's: {256, 224, 192, 168} of 256 pixels, each side its own, at
# a corner or the centre (temporal segment networks, doi:10.1007/978-3-319-46484-8_2, section 3.2).
_FIXED_SCALES = (1.0, 0.875, 0.75, 0.65625)
_FIXED_POSITIONS = ((-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0), (0.0, 0.0))  # x, y
_ASPECTS = (3 / 4, 4 / 3)  # of a random resized crop, beside the frame's own (arXiv:1409.4842, section 6)
_ERASED_AREA = (0.02, 0.33)  # of the frame, and the box's aspect (arXiv:1708.04896, section 5)
_ERASED_ASPECTS = (0.3, 1 / 0.3)
_LUMA = (0.2989, 0.587, 0.114)  # of red, green and blue in grey (ITU-R BT.601)


def build_augment(
    spec: AugmentSpec,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    size: int | None = None,
    train: bool,
) -> Augment:
    """A function that changes and normalises batches as ``spec`` says.

    The result is float32 (B, 3, T, h, w), ``(clip / 255 − mean) / std`` a channel, on the clips' device; h
    and w are ``spec.size`` if set, else ``size`` if given, else those of the clips. A square of another size
    than the clips is reached by an antialiased bilinear resize, which does not keep the aspect.

    ``crop="random"`` cuts a window of the wanted size at a random whole pixel; where the clips are no
    larger than that, it shifts the frame by up to 1/8 of its sides instead (arXiv:1512.03385, section 4.2).
    The other crops stretch a box of the frame to the whole frame, before any resize; their aspect is
    relative to the frame's.

    Args:
        spec: what to do.
        mean, std: three values a piece, of inputs in [0, 1].
        size: side of the square that the model takes, in pixels.
        train: False leaves out everything random and reads no generator: clips are resized (with
            ``crop="random"``, where they are large enough, cut at the centre) and normalised.

    The generator may be on any device; one on the CPU gives the same draws whatever device the clips are on.
    Every call with ``train`` takes the same number of draws from it, whatever ``spec`` asks for.
    """
    side = spec.size or size or 0

    def evaluate(clips: Tensor, generator: torch.Generator) -> Tensor:
        return _normalise(_fit(_planes(clips), side, spec), mean, std)

    def augment(clips: Tensor, generator: torch.Generator) -> Tensor:
        draws = _draw(len(clips), generator, clips.device)
        frames = _flip(_planes(clips), draws, spec)
        frames = _fit(_crop_and_rotate(frames, draws, side, spec), side, spec)
        if spec.jitter:
            frames = _jitter(frames, draws, spec.jitter)
        if spec.greyscale:
            frames = torch.where(_each(draws["greyscale"] < spec.greyscale), _grey(frames), frames)
        frames = _normalise(frames, mean, std)
        if spec.erasing:  # with the mean colour, which is 0 by now
            frames = frames.masked_fill(_erased(draws, frames.shape[-2:], spec.erasing), 0.0)
        return frames

    def checked(clips: Tensor, generator: torch.Generator) -> Tensor:
        assert clips.dtype == torch.uint8, f"clips must be uint8, not {clips.dtype}"
        assert clips.shape[4:] == (3,), f"clips must be (B, T, H, W, 3), not {tuple(clips.shape)}"
        return (augment if train else evaluate)(clips, generator).transpose(1, 2)

    return checked


def _draw(count: int, generator: torch.Generator, device: torch.device) -> _Draws:
    table = torch.rand(len(_PURPOSES), count, generator=generator, device=generator.device)
    return dict(zip(_PURPOSES, table.to(device).unbind(0), strict=True))


def _each(values: Tensor) -> Tensor:
    """(B,) → (B, 1, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1, 1)


def _between(draw: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * draw


def _log_between(draw: Tensor, low: float, high: float) -> Tensor:
    return _between(draw, math.log(low), math.log(high)).exp()


def _planes(clips: Tensor) -> Tensor:
    """uint8 (B, T, H, W, 3) → float32 (B, T, 3, H, W) in [0, 1]: contiguous planes are several times faster
    to work on than interleaved channels."""
    planes = clips.movedim(-1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return planes.div_(255)


def _normalise(frames: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    offset, scale = (torch.tensor(values, device=frames.device).view(3, 1, 1) for values in (mean, std))
    return (frames - offset).div_(scale)


def _cuts_window(spec: AugmentSpec, side: int, height: int, width: int) -> bool:
    return spec.crop == "random" and 0 < side <= min(height, width)


def _fit(frames: Tensor, side: int, spec: AugmentSpec) -> Tensor:
    """Frames of the wanted size, by what training and evaluation share."""
    height, width = frames.shape[-2:]
    if not side or (height, width) == (side, side):
        return frames
    if _cuts_window(spec, side, height, width):
        top, left = (height - side) // 2, (width - side) // 2
        return frames[..., top : top + side, left : left + side]
    resized = F.interpolate(frames.flatten(0, 1), (side, side), mode="bilinear", antialias=True)
    return resized.view(*frames.shape[:3], side, side)


def _flip(frames: Tensor, draws: _Draws, spec: AugmentSpec) -> Tensor:
    if spec.hflip:
        frames = torch.where(_each(draws["hflip"] < spec.hflip), frames.flip(-1), frames)
    if spec.vflip:
        frames = torch.where(_each(draws["vflip"] < spec.vflip), frames.flip(-2), frames)
    return frames


def _crop_and_rotate(frames: Tensor, draws: _Draws, side: int, spec: AugmentSpec) -> Tensor:
    """The frame turned about its centre, then a box of that stretched to the frame, sampled once."""
    if spec.crop == "none" and not spec.rotation:
        return frames
    height, width = frames.shape[-2:]
    scale, centre = _box(draws, side, height, width, spec)
    angle = _between(draws["rotation"], -1, 1) * math.radians(spec.rotation)
    cos, sin, aspect = angle.cos(), angle.sin(), width / height
    # Output → input, both axes in [−1, 1]; the turn itself is in pixels, hence the aspect.
    turn = torch.stack([torch.stack([cos, -sin / aspect], -1), torch.stack([sin * aspect, cos], -1)], 1)
    matrix = torch.cat([turn * scale.unsqueeze(1), turn @ centre.unsqueeze(2)], 2)
    channels = frames.flatten(1, 2)  # a clip's frames share its grid
    grid = F.affine_grid(matrix, list(channels.shape), align_corners=False)
    sampled = F.grid_sample(channels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.view_as(frames)


def _box(draws: _Draws, side: int, height: int, width: int, spec: AugmentSpec) -> tuple[Tensor, Tensor]:
    """Each clip's crop as its scale and its centre, both (B, 2), x then y, with the frame being [−1, 1]."""
    position = torch.stack([draws["crop_x"], draws["crop_y"]], 1)
    if spec.crop == "random_resized":
        area = _between(draws["scale"], 1.0, spec.min_scale)
        aspect = _log_between(draws["aspect"], *_ASPECTS)
        scale = torch.stack([area * aspect, area / aspect], 1).sqrt().clamp_(max=1.0)
        return scale, (2 * position - 1) * (1 - scale)
    if spec.crop == "multi_scale":
        scales = position.new_tensor(_FIXED_SCALES)
        places = position.new_tensor(_FIXED_POSITIONS)
        scale = scales[_choice(torch.stack([draws["scale"], draws["aspect"]], 1), len(scales))]
        return scale, places[_choice(draws["crop_x"], len(places))] * (1 - scale)
    shift = torch.zeros_like(position)
    if spec.crop == "random":
        sides = position.new_tensor([width, height])
        if _cuts_window(spec, side, height, width):
            first, count = -((sides - side) // 2), sides - side + 1
        else:
            first, count = -(sides // 8), 2 * (sides // 8) + 1
        shift = (first + (position * count).floor()) * 2 / sides
    return torch.ones_like(position), shift


def _choice(draw: Tensor, count: int) -> Tensor:
    """Uniform in 0 … count − 1."""
    return (draw * count).long()


def _jitter(frames: Tensor, draws: _Draws, strength: float) -> Tensor:
    """Brightness, contrast, saturation and hue, in this order, in [0, 1] after each."""
    brightness, contrast, saturation = (
        _each(_between(draws[name], 1 - strength, 1 + strength))
        for name in ("brightness", "contrast", "saturation")
    )
    frames = _blend(frames, torch.zeros((), device=frames.device), brightness)
    frames = _blend(frames, _grey(frames).mean((-2, -1), keepdim=True), contrast)
    frames = _blend(frames, _grey(frames), saturation)
    return _turn_hue(frames, _each(_between(draws["hue"], -strength / 4, strength / 4)).squeeze(2))


def _blend(frames: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """``weight`` × frames + (1 − ``weight``) × other; weights above 1 go away from ``other``."""
    return torch.lerp(other, frames, weight).clamp_(0, 1)


def _grey(frames: Tensor) -> Tensor:
    """(B, T, 3, H, W) → (B, T, 1, H, W)."""
    red, green, blue = frames.unbind(2)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue).unsqueeze(2)


def _turn_hue(frames: Tensor, turns: Tensor) -> Tensor:
    """Moves the hue by ``turns`` (B, 1, 1, 1) of the colour circle, keeping value and chroma (HSV)."""
    red, green, blue = frames.unbind(2)
    value = frames.amax(2)
    chroma = value - frames.amin(2)
    over = chroma.clamp_min(torch.finfo(frames.dtype).tiny).reciprocal_()  # grey has any hue
    hue = torch.where(
        value == red,
        (green - blue) * over,
        torch.where(value == green, 2 + (blue - red) * over, 4 + (red - green) * over),
    )
    hue += 6 * turns  # in sixths of the circle
    channels = []
    for offset in (5, 3, 1):  # red, green, blue lose chroma where the hue is far from their own
        far = (hue + offset).remainder_(6)
        channels.append(value - chroma * torch.minimum(far, 4 - far).clamp_(0, 1))
    return torch.stack(channels, 2)


def _erased(draws: _Draws, size: Sequence[int], probability: float) -> Tensor:
    """Which pixels lie in the clip's box: bool (B, 1, 1, H, W), none in the clips that keep everything."""
    area = _between(draws["erase_area"], *_ERASED_AREA)
    aspect = _log_between(draws["erase_aspect"], *_ERASED_ASPECTS)
    inside = (draws["erase"] < probability).view(-1, 1, 1)
    for axis, (name, share) in enumerate((("erase_y", area * aspect), ("erase_x", area / aspect))):
        pixels = size[axis]
        length = (share.sqrt() * pixels).round().clamp_(1, pixels)
        start = (draws[name] * (pixels - length + 1)).floor()
        index = torch.arange(pixels, device=area.device)
        within = (index >= start.unsqueeze(1)) & (index < (start + length).unsqueeze(1))
        inside = inside & within.unsqueeze(2 - axis)
    return inside[:, None, None]

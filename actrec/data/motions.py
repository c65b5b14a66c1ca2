"""The moving pictures of the built-in data set: a digit that moves in one of ten ways over a texture.

The class is the motion alone. What else is seen is drawn from the same distributions whatever the class:
place and scale of the digit in the middle frame (every track is shifted to pass there), camera, noise. So
the middle frame says nothing, and every other frame only what displacement from the middle says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
# x, y and log2 of the scale, (T,) each: in widths of the picture, y downward.
Track = tuple[Array, Array, Array]
Motion = Callable[[Array, np.random.Generator], Track]

NOISE = 4.0  # standard deviation, in levels of 255, a pixel and frame
CONTRAST = 13.0  # of the background, likewise
SHAKE = 0.005  # of the camera, standard deviation a frame, in widths
PAN = 0.02  # of the background over the video, in widths


def _line(x: float, y: float) -> Motion:
    def track(u: Array, rng: np.random.Generator) -> Track:
        reach = rng.uniform(0.4, 0.8)
        return x * reach * u, y * reach * u, 0 * u

    return track


def _turn(sense: float) -> Motion:
    def track(u: Array, rng: np.random.Generator) -> Track:
        radius, turns, start = rng.uniform(0.2, 0.28), rng.uniform(0.8, 1.1), rng.uniform(0, 2 * np.pi)
        angle = start + sense * 2 * np.pi * turns * u
        return radius * np.cos(angle), radius * np.sin(angle), 0 * u

    return track


def _zoom(sense: float) -> Motion:
    def track(u: Array, rng: np.random.Generator) -> Track:
        return 0 * u, 0 * u, sense * rng.uniform(1.0, 1.8) * u

    return track


def _bounce(u: Array, rng: np.random.Generator) -> Track:
    height, bounces, start = rng.uniform(0.25, 0.4), rng.uniform(2.0, 3.0), rng.uniform(0, np.pi)
    return 0 * u, -height * np.abs(np.sin(np.pi * bounces * u + start)), 0 * u


def _shake(u: Array, rng: np.random.Generator) -> Track:
    width, swings, start = rng.uniform(0.1, 0.18), rng.uniform(2.0, 3.0), rng.uniform(0, 2 * np.pi)
    return width * np.sin(2 * np.pi * swings * u + start), 0 * u, 0 * u


# Name → track over u, from −1/2 to 1/2 and 0 in the middle frame. In the order of their labels, from the
# most frequent class to the rarest.
MOTIONS: dict[str, Motion] = {
    "right": _line(1, 0),
    "left": _line(-1, 0),
    "clockwise": _turn(1),
    "counter_clockwise": _turn(-1),
    "up": _line(0, -1),
    "bounce": _bounce,
    "approach": _zoom(1),
    "shake": _shake,
    "recede": _zoom(-1),
    "down": _line(0, 1),
}


@dataclass(frozen=True, eq=False, slots=True)
class Scene:
    """What the videos of one group share.

    Attributes:
        digit: (8, 8), in [0, 1].
        texture: (S, S, 3), in levels about 0, periodic; drawn at ``ground``.
        ink: (3,) colour of the digit, in levels.
        ground: (3,) mean colour of the background, in levels.
    """

    digit: Array
    texture: Array
    ink: Array
    ground: Array


def scene(digit: Array, size: int, rng: np.random.Generator) -> Scene:
    """A digit of its own colour and a background of smooth random texture, which is periodic."""
    side = 2 * size
    noise = np.fft.rfft2(rng.standard_normal((side, side, 3)), axes=(0, 1))
    cycles = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) * side
    finest = rng.uniform(8, 16)  # cycles over the texture
    smooth = np.fft.irfft2(noise * np.exp(-((cycles / finest) ** 2))[..., None], (side, side), axes=(0, 1))
    ground = rng.uniform(60, 130, 3)
    return Scene(digit, smooth / smooth.std() * CONTRAST, rng.uniform(170, 255, 3), ground)


def render(
    place: Scene, motion: str, frames: int, size: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """One video: uint8 (T, size, size, 3)."""
    u = (np.arange(frames) - frames // 2) / frames
    x, y, zoom = (part - part[frames // 2] for part in MOTIONS[motion](u, rng))
    jitter = rng.normal(0, SHAKE, (2, frames))
    x = 0.5 + rng.uniform(-0.1, 0.1) + x + jitter[0]
    y = 0.5 + rng.uniform(-0.1, 0.1) + y + jitter[1]
    scale = rng.uniform(0.32, 0.42) * 2.0**zoom
    rows, columns = (_weights(centre, scale, size) for centre in (y, x))
    mask = np.clip(rows @ place.digit @ columns.transpose(0, 2, 1), 0, 1)[..., None]
    heading, start = rng.uniform(0, 2 * np.pi), rng.integers(len(place.texture), size=2)
    pan = PAN * np.stack([np.sin(heading) * u, np.cos(heading) * u]) + jitter[::-1]
    corner = np.round(start[:, None] + pan * size).astype(np.int64)
    pixels = np.arange(size)
    down, across = ((offset[:, None] + pixels) % len(place.texture) for offset in corner)
    ground = place.ground + place.texture[down[:, :, None], across[:, None, :]]
    noise = rng.normal(0, NOISE, (frames, size, size, 1))
    picture = np.round(ground * (1 - mask) + place.ink * mask + noise)
    levels: npt.NDArray[np.uint8] = np.clip(picture, 0, 255).astype(np.uint8)
    return levels


def _weights(centre: Array, scale: Array, size: int) -> Array:
    """(T, size, 8): what each of a digit's eight rows adds to each row of pixels, by a quadratic B-spline."""
    pixel = (np.arange(size) + 0.5) / size
    place = (pixel[None] - centre[:, None]) / scale[:, None] * 8 + 3.5
    away = np.abs(place[..., None] - np.arange(8))
    near, far = 0.75 - away**2, 0.5 * (1.5 - away) ** 2
    return np.where(away < 0.5, near, np.where(away < 1.5, far, 0.0))

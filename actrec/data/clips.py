"""Which frames of a video make its clips: one pure function for every sampling of ``ClipSpec``.

Two rules make all of them.

*Centres.* What is spread evenly lies at the centres of equal segments, as in temporal segment networks (Wang
et al., ECCV 2016, testing): item i of k over n places is ⌊(2i + 1) n / 2k⌋. One item is the middle.

*Loop.* A clip longer than its video starts at frame 0 and plays the video again from its start, as often as
it needs (Carreira and Zisserman, CVPR 2017, section 2.5). Repeating the last frame, the other habit of the
field, would show a model a still picture for most of a short video. Samplings that choose frames by the
centres rule repeat neighbouring frames instead, in order, where there are fewer than they ask for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from actrec.errors import DataError
from actrec.spec import ClipSpec

Indices = npt.NDArray[np.int64]

USUAL_FPS = 25.0  # where a file does not say


def clip_indices(
    total: int, spec: ClipSpec, *, fps: float = USUAL_FPS, rng: np.random.Generator | None = None
) -> Indices:
    """The frames of each clip of one video.

    Args:
        total: frames in the video, ≥ 1.
        spec: the sampling and its numbers.
        fps: frames a second, read by ``centre`` alone; 0 (unknown) counts as 25.
        rng: draws the start of ``random`` clips, uniform over the starts that fit. None is evaluation:
            ``random`` then gives its one centred clip. The other samplings have nothing to draw.

    Returns:
        int64 (clips, T), each in [0, total). ``clips`` is ``clips_per_video(spec, train=rng is not None)``, T
        is 1 for ``middle`` and ``num_frames`` otherwise. A clip never goes back, unless it loops.

    Raises:
        DataError: if ``total`` < 1.
    """
    if total < 1:
        raise DataError(f"a video of {total} frames has no clips")
    if spec.sampling == "middle":
        return centres(total, 1)[None]
    if spec.sampling == "uniform":
        return centres(total, spec.num_frames)[None]
    if spec.sampling == "centre":
        window = min(total, max(1, round(spec.seconds * (fps or USUAL_FPS))))
        return (total - window) // 2 + centres(window, spec.num_frames)[None]
    span = (spec.num_frames - 1) * spec.stride + 1
    starts = max(1, total - span + 1)  # places where a clip fits; a longer one has the first alone
    if spec.sampling == "random" and rng is not None:
        chosen = rng.integers(starts, size=spec.draws)
    else:
        chosen = centres(starts, clips_per_video(spec, train=False))
    return (chosen[:, None] + np.arange(0, span, spec.stride, dtype=np.int64)) % total


def clips_per_video(spec: ClipSpec, train: bool) -> int:
    """How many clips are stored of a video: the ``draws`` of a random sampling, in training alone, or the
    ``clips`` of uniform clips."""
    if spec.sampling == "random":
        return spec.draws if train else 1
    return spec.clips if spec.sampling == "clips" else 1


def centres(places: int, count: int) -> Indices:
    """The centres of ``count`` equal segments of ``range(places)``: int64 (count,), in ascending order."""
    return (2 * np.arange(count, dtype=np.int64) + 1) * places // (2 * count)

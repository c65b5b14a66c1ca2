"""Frame sampling: exact cases worked out by hand, and what holds for every length."""

from __future__ import annotations

import numpy as np
import pytest

from actrec.data.clips import centres, clip_indices, clips_per_video
from actrec.errors import DataError
from actrec.seeding import numpy_rng
from actrec.spec import ClipSpec

TOTALS = [*range(1, 41), 97, 300, 1001]
SPECS = [
    ClipSpec(sampling="middle"),
    ClipSpec(sampling="uniform", num_frames=8),
    ClipSpec(sampling="random", num_frames=8, stride=2, draws=3),
    ClipSpec(sampling="clips", num_frames=5, stride=3, clips=4),
    ClipSpec(sampling="centre", num_frames=6, seconds=0.5),
]


def by_name(spec: ClipSpec) -> str:
    return spec.sampling


@pytest.mark.parametrize("spec", SPECS, ids=by_name)
@pytest.mark.parametrize("train", [False, True])
def test_shape_dtype_and_range_for_every_length(spec: ClipSpec, train: bool) -> None:
    frames = 1 if spec.sampling == "middle" else spec.num_frames
    for total in TOTALS:
        found = clip_indices(total, spec, rng=numpy_rng(0, total) if train else None)
        assert found.shape == (clips_per_video(spec, train), frames)
        assert found.dtype == np.int64
        assert found.min() >= 0
        assert found.max() < total


@pytest.mark.parametrize("spec", SPECS, ids=by_name)
def test_a_clip_goes_back_only_where_it_loops(spec: ClipSpec) -> None:
    span = (spec.num_frames - 1) * spec.stride + 1
    loops = spec.sampling in ("random", "clips")
    for total in TOTALS:
        steps = np.diff(clip_indices(total, spec, rng=numpy_rng(1, total)), axis=1)
        if not loops:
            assert (steps >= 0).all()
        elif total >= span:
            assert (steps == spec.stride).all()
        else:
            assert (steps % total == spec.stride % total).all()


@pytest.mark.parametrize("spec", SPECS, ids=by_name)
def test_one_frame_is_repeated(spec: ClipSpec) -> None:
    assert not clip_indices(1, spec).any()
    assert not clip_indices(1, spec, rng=numpy_rng(0)).any()


@pytest.mark.parametrize("total", [0, -3])
def test_no_frames_raises(total: int) -> None:
    with pytest.raises(DataError, match=f"a video of {total} frames"):
        clip_indices(total, ClipSpec())


@pytest.mark.parametrize(("total", "middle"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (100, 50)])
def test_middle(total: int, middle: int) -> None:
    assert clip_indices(total, ClipSpec(sampling="middle")).tolist() == [[middle]]


@pytest.mark.parametrize(
    ("total", "frames", "expected"),
    [
        # Segments of 25 frames have their centres at 12.5, 37.5, 62.5 and 87.5.
        (100, 4, [12, 37, 62, 87]),
        # Segments of 10/3: centres 1.67, 5, 8.33.
        (10, 3, [1, 5, 8]),
        (8, 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        # Segments of 3/8: centres 0.19, 0.56, 0.94, 1.31, 1.69, 2.06, 2.44, 2.81: repeats in order.
        (3, 8, [0, 0, 0, 1, 1, 2, 2, 2]),
    ],
)
def test_uniform(total: int, frames: int, expected: list[int]) -> None:
    assert clip_indices(total, ClipSpec(sampling="uniform", num_frames=frames)).tolist() == [expected]


def test_uniform_agrees_with_the_formula_of_tsn() -> None:
    for total in TOTALS:
        for frames in (1, 3, 7, 8, 16):
            tick = total / frames  # of the published code: int(tick / 2 + tick * i)
            published = [int(tick / 2 + tick * i) for i in range(frames)]
            ours = clip_indices(total, ClipSpec(sampling="uniform", num_frames=frames))[0]
            # Floating point may put a centre that is a whole number just below it: 7 × 3 / 14 = 1.5 × 1.
            assert np.abs(ours - published).max() <= 1
            exact = np.array([(2 * i + 1) * total % (2 * frames) != 0 for i in range(frames)])
            np.testing.assert_array_equal(ours[exact], np.array(published)[exact])


def test_uniform_picks_one_frame_of_each_segment() -> None:
    for total in TOTALS:
        edges = np.linspace(0, total, 9)
        found = clip_indices(total, ClipSpec(sampling="uniform", num_frames=8))[0]
        assert (found + 1 > edges[:-1]).all()
        assert (found < edges[1:]).all()


def test_random_in_evaluation_is_the_centred_clip() -> None:
    spec = ClipSpec(sampling="random", num_frames=4, stride=2, draws=5)
    # It spans 7 frames; 20 − 7 + 1 = 14 starts; the middle one is 7.
    assert clip_indices(20, spec).tolist() == [[7, 9, 11, 13]]
    assert clip_indices(7, spec).tolist() == [[0, 2, 4, 6]]


def test_random_draws_every_start_that_fits_and_no_other() -> None:
    spec = ClipSpec(sampling="random", num_frames=3, stride=2, draws=500)
    found = clip_indices(9, spec, rng=numpy_rng(0))
    # It spans 5 of 9 frames: starts 0 to 4. Each is missed by 500 draws with probability 0.8^500 < 1e-48.
    assert set(found[:, 0].tolist()) == {0, 1, 2, 3, 4}
    assert (np.diff(found, axis=1) == 2).all()


def test_random_repeats_with_its_seed_and_moves_with_it() -> None:
    spec = ClipSpec(sampling="random", num_frames=4, draws=8)
    first, same, other = (clip_indices(200, spec, rng=numpy_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_clips_lie_evenly_and_one_is_the_centred_clip() -> None:
    # A clip of 16 has 85 starts in 100 frames; segments of 17: centres 8.5, 25.5, 42.5, 59.5, 76.5.
    spec = ClipSpec(sampling="clips", num_frames=16, clips=5)
    found = clip_indices(100, spec)
    assert found[:, 0].tolist() == [8, 25, 42, 59, 76]
    assert (np.diff(found, axis=1) == 1).all()
    centred = clip_indices(100, ClipSpec(sampling="random", num_frames=16))
    np.testing.assert_array_equal(clip_indices(100, ClipSpec(sampling="clips", num_frames=16)), centred)


def test_a_clip_longer_than_its_video_loops() -> None:
    spec = ClipSpec(sampling="clips", num_frames=8, clips=2)
    assert clip_indices(3, spec).tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]] * 2
    strided = ClipSpec(sampling="random", num_frames=5, stride=3, draws=1)
    # 0, 3, 6, 9, 12 modulo 7.
    assert clip_indices(7, strided, rng=numpy_rng(0)).tolist() == [[0, 3, 6, 2, 5]]


def test_centre_takes_its_seconds() -> None:
    spec = ClipSpec(sampling="centre", num_frames=4, seconds=2.0)
    # 2 s at 10 fps are 20 frames, from (100 − 20) / 2 = 40; segments of 5: centres 2.5, 7.5, 12.5, 17.5.
    assert clip_indices(100, spec, fps=10.0).tolist() == [[42, 47, 52, 57]]
    # 2 s at 50 fps are all of its 100 frames.
    uniform = clip_indices(100, ClipSpec(sampling="uniform", num_frames=4))
    np.testing.assert_array_equal(clip_indices(100, spec, fps=50.0), uniform)
    np.testing.assert_array_equal(clip_indices(30, spec, fps=50.0)[0], centres(30, 4))


def test_centre_of_an_unknown_frame_rate_takes_25() -> None:
    spec = ClipSpec(sampling="centre", num_frames=4, seconds=1.0)
    np.testing.assert_array_equal(clip_indices(99, spec, fps=0.0), clip_indices(99, spec, fps=25.0))


def test_centre_of_less_than_a_frame_is_the_middle_frame() -> None:
    spec = ClipSpec(sampling="centre", num_frames=3, seconds=0.001)
    assert clip_indices(9, spec).tolist() == [[4, 4, 4]]


def test_only_random_reads_the_generator() -> None:
    for spec in SPECS:
        if spec.sampling != "random":
            rng = numpy_rng(0)
            np.testing.assert_array_equal(clip_indices(50, spec, rng=rng), clip_indices(50, spec))
            assert rng.integers(2**62) == numpy_rng(0).integers(2**62)

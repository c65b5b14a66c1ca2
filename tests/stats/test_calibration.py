"""A small version of benchmarks/calibration.py: intervals hold the truth as often as they say."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def calibration() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        return importlib.import_module("benchmarks.calibration")


def test_the_truth_of_a_simulated_study_is_its_mean(calibration: ModuleType) -> None:
    cell = calibration.Cell(3, 400, 10, "strong", "strong", 2)
    rng = np.random.default_rng(0)
    accuracy, noisy = np.array([0.7, 0.75, 0.7]), np.array([1.0, 1.0, 4.0]) * 0.25**2
    means = [calibration.simulate(cell, accuracy, noisy, rng).mean(axis=(1, 2)) for _ in range(500)]
    error = np.std(means, axis=0) / np.sqrt(len(means))
    assert np.all(np.abs(np.mean(means, axis=0) - accuracy) < 3.5 * error)
    assert (error < 0.005).all()


@pytest.mark.parametrize(
    ("seeds", "group", "seed", "video", "arms", "studies"),
    [
        (3, 10, "weak", "strong", 1, 400),
        (3, 1, "strong", "strong", 1, 400),
        (5, 10, "strong", "weak", 4, 250),
        (10, 1, "weak", "weak", 1, 300),
    ],
)
def test_coverage(
    calibration: ModuleType, seeds: int, group: int, seed: str, video: str, arms: int, studies: int
) -> None:
    videos = 300 if group == 10 else 60
    found = calibration.run_cell(calibration.Cell(seeds, videos, group, seed, video, arms), studies)
    # Tests at level 0.001 of what benchmarks/RESULTS.md says of all cells, with seeds of their own.
    hits = round(found["ours"]["coverage"] * studies)
    assert stats.binomtest(hits, studies, 0.93, alternative="less").pvalue > 0.001
    assert stats.binomtest(hits, studies, 0.985, alternative="greater").pvalue > 0.001
    wrong = round(found["ours"]["family_error"] * (studies // 2))
    assert stats.binomtest(wrong, studies // 2, 0.05, alternative="greater").pvalue > 0.001


def test_what_people_do_instead_does_not_cover(calibration: ModuleType) -> None:
    found = calibration.run_cell(calibration.Cell(5, 300, 10, "weak", "strong", 1), 200)
    assert found["t_seeds"]["coverage"] < 0.85
    found = calibration.run_cell(calibration.Cell(3, 300, 1, "strong", "weak", 1), 200)
    assert found["t_videos"]["coverage"] < 0.75

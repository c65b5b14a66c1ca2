"""All arms of a study compared with its baseline at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import ArrayLike

from actrec.errors import StudyError
from actrec.fields import unknown
from actrec.stats.moderation import moderated, pool
from actrec.stats.paired import Clusters, Effect, Floats, Parts, check_scores, components, effect


def study_effects(
    scores: Mapping[str, ArrayLike],
    baseline: str,
    groups: ArrayLike,
    level: float = 0.95,
    *,
    judged_only: Collection[str] = (),
) -> list[Effect]:
    """The effect of every arm but the baseline, in their order, for new seeds and new videos.

    Each is that of :func:`~actrec.stats.paired.paired_effect`, but for its variance over seeds, which is
    pooled over the arms and moderated towards the arm's own (:mod:`actrec.stats.moderation`). With one arm
    beside the baseline there is nothing to pool and both are the same.

    Args:
        scores: arm → (S, V), the score of each video in the trial of each seed. Rows are the same seeds in
            all arms, columns the same videos. A missing trial is a row of NaN; a video that any of the other
            trials lacks counts in no arm.
        baseline: a key of ``scores``.
        groups: (V,), the group of each video.
        level: of the intervals.
        judged_only: arms that are judged on the same scale but say nothing about it, unless there are no
            others. The placebo is one: it follows the baseline so closely that it would narrow the scale.

    Raises:
        StudyError: if there is no such baseline; or as :func:`~actrec.stats.paired.check_scores`.
    """
    if baseline not in scores:
        raise StudyError(unknown("arm", baseline, scores))
    arrays = {arm: np.asarray(values, np.float64) for arm, values in scores.items()}
    check_scores(arrays, level, groups)
    whole = np.ones(np.shape(groups), bool)
    for values in arrays.values():
        missing = np.isnan(values)
        whole &= ~missing[~missing.all(axis=1)].any(axis=0)
    clusters = Clusters.of(np.asarray(groups)[whole])
    arrays = {arm: values[:, whole] for arm, values in arrays.items()}
    reference = arrays[baseline]
    parts = {
        arm: components(values, reference, clusters) for arm, values in arrays.items() if arm != baseline
    }
    # Not np.mean over rows of nothing: with no video there is no mean, and no warning.
    means = {arm: values.sum(axis=1) / max(values.shape[1], 1) for arm, values in arrays.items()}
    return _judged(parts, means, judged_only, level)


def seed_effects(
    values: Mapping[str, ArrayLike],
    baseline: str,
    level: float = 0.95,
    *,
    judged_only: Collection[str] = (),
) -> list[Effect]:
    """As :func:`study_effects` where videos are not known one by one: inference for new seeds alone.

    Args:
        values: arm → (S,), the metric of the trial of each seed; NaN where it is missing.

    Raises:
        StudyError: as :func:`study_effects`.

    Source: with one arm this is the paired t test (Gosset 1908).
    """
    if baseline not in values:
        raise StudyError(unknown("arm", baseline, values))
    means = {arm: np.asarray(of_arm, np.float64) for arm, of_arm in values.items()}
    check_scores(means, level)
    parts = {arm: _over_seeds(means[arm], means[baseline]) for arm in means if arm != baseline}
    return _judged(parts, means, judged_only, level)


def _over_seeds(treated: Floats, baseline: Floats) -> Parts:
    one = np.array([0])  # one video that stands for all
    parts = components(treated[:, None], baseline[:, None], Clusters.of(one))
    return Parts(
        parts.difference, parts.seeds, 0.0, 0.0, parts.seeds_df, np.inf, parts.n_seeds, n_groups=0, n_videos=0
    )


def _judged(
    parts: Mapping[str, Parts], means: Mapping[str, Floats], judged_only: Collection[str], level: float
) -> list[Effect]:
    told = [values for arm, values in means.items() if arm not in judged_only]
    pooled = pool(told if len(told) > 1 else list(means.values()))
    return [effect(moderated(of_arm, pooled), level) for of_arm in parts.values()]

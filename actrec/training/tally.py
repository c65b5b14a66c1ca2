"""Exact evaluation: a tally of videos that workers merge, and every metric computed from the whole.

Clips are scored one by one, on any worker and in any batch; a video's score is the mean over its clips.
Sums are kept on a grid of 2⁻⁴⁰ in float64, where adding is exact and so has no order: however the clips
were cut, the same clip scores give the same metrics bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actrec import metrics
from actrec.errors import DataError

GRID = 2.0**40  # sums stay exact below 2**13: so many clips of one video, or nats of their loss

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tally:
    """What evaluation saw: one row a video, sorted by id, without repeats. ``V`` videos, ``K`` classes.

    Attributes:
        video_ids: V of them, ascending.
        labels: int64 (V,).
        scores: float64 (V, K), softmax probabilities summed over the clips of the video.
        losses: float64 (V,), cross-entropies in nats summed over the clips of the video.
        clips: int64 (V,), how many clips were summed.
    """

    video_ids: tuple[str, ...]
    labels: Ints
    scores: Floats
    losses: Floats
    clips: Ints

    @classmethod
    def of(cls, video_ids: Sequence[str], labels: ArrayLike, scores: ArrayLike, losses: ArrayLike) -> Tally:
        """A tally of N clips: ids (N), labels (N,), softmax probabilities (N, K), cross-entropies (N,).

        Raises:
            DataError: if a video has two labels.
        """
        return _grouped(
            list(video_ids),
            np.asarray(labels, np.int64),
            np.rint(np.asarray(scores, np.float64) * GRID) / GRID,
            np.rint(np.asarray(losses, np.float64) * GRID) / GRID,
            np.ones(len(video_ids), np.int64),
        )

    def __len__(self) -> int:
        return len(self.video_ids)

    def mean_scores(self) -> Floats:
        """float64 (V, K): the mean of each video's clips, in [0, 1]."""
        return np.asarray(self.scores / self.clips[:, None])

    def predicted(self) -> Ints:
        """int64 (V,): the class of the highest mean score, of equal ones the lowest."""
        return np.asarray(self.mean_scores().argmax(axis=1), np.int64)

    def loss(self) -> float:
        """The mean over videos of the mean cross-entropy of their clips, in nats; NaN without a video."""
        return float(np.mean(self.losses / self.clips)) if len(self) else float("nan")

    def metrics(self) -> dict[str, float]:
        """``top1``, ``top5``, ``macro_f1`` and ``loss``; NaN without a video, ``top5`` 1 with K < 5."""
        scores = self.mean_scores()
        return {
            "top1": metrics.top_k(scores, self.labels, 1),
            "top5": metrics.top_k(scores, self.labels, 5),
            "macro_f1": metrics.macro_f1(self.labels, self.predicted(), scores.shape[1]),
            "loss": self.loss(),
        }

    def rows(self) -> Iterator[tuple[str, int, list[float]]]:
        """(video id, label, K mean scores, each a float32 value) for every video, in order of id."""
        scores = self.mean_scores().astype(np.float32)
        yield from zip(self.video_ids, self.labels.tolist(), scores.tolist(), strict=True)

    def check_clips(self, expected: int) -> None:
        """Makes sure that every video was scored on so many clips: none twice, none left out.

        Raises:
            DataError: naming the first video that was not.
        """
        for row in np.flatnonzero(self.clips != expected)[:1]:
            raise DataError(
                f"video {self.video_ids[row]!r} was evaluated on {self.clips[row]} clips, not {expected}"
            )


def merge(tallies: Sequence[Tally]) -> Tally:
    """The union: clips of one video that were scored in different places come together.

    Raises:
        DataError: if a video has two labels.
    """
    tallies = [tally for tally in tallies if len(tally)] or tallies[:1]  # one that is empty may lack columns
    return _grouped(
        [video_id for tally in tallies for video_id in tally.video_ids],
        np.concatenate([tally.labels for tally in tallies]),
        np.concatenate([tally.scores for tally in tallies]),
        np.concatenate([tally.losses for tally in tallies]),
        np.concatenate([tally.clips for tally in tallies]),
    )


def _grouped(video_ids: list[str], labels: Ints, scores: Floats, losses: Floats, clips: Ints) -> Tally:
    """Adds up the rows of each video."""
    unique = sorted(set(video_ids))
    place = {video_id: row for row, video_id in enumerate(unique)}
    rows = np.array([place[video_id] for video_id in video_ids], np.int64)
    label = np.zeros(len(unique), np.int64)
    label[rows] = labels
    for row in np.flatnonzero(label[rows] != labels)[:1]:
        both = f"{labels[row]} and {label[rows[row]]}"
        raise DataError(f"video {video_ids[row]!r} has two labels, {both}")

    def summed(values: NDArray[Any]) -> NDArray[Any]:
        sums = np.zeros((len(unique), *values.shape[1:]), values.dtype)
        np.add.at(sums, rows, values)
        return sums

    return Tally(tuple(unique), label, summed(scores), summed(losses), summed(clips))

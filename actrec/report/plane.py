"""Vectors of many numbers laid out on a plane, so that neighbours stay neighbours."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Map:
    """The test videos as one trial of an arm sees them.

    Attributes:
        method: t-SNE or UMAP.
        points: float64 (V, 2), centred, the furthest coordinate at 1.
        labels, predicted: (V,) classes.
    """

    arm: str
    seed: int
    method: str
    video_ids: tuple[str, ...]
    points: Floats
    labels: tuple[int, ...]
    predicted: tuple[int, ...]


def methods() -> dict[str, Callable[[Floats], Floats]]:
    """The ways of laying out vectors (V, D) on a plane that can be had here; the same input gives the same
    output. UMAP takes the extra ``actrec[umap]``."""
    found: dict[str, Callable[[Floats], Floats]] = {"t-SNE": _tsne}
    return found | {"UMAP": _umap} if importlib.util.find_spec("umap") else found


def _tsne(vectors: Floats) -> Floats:
    """Source: van der Maaten & Hinton, "Visualizing data using t-SNE", JMLR 9 (2008)."""
    # Not above: they take longer to load than a page without a map to build.
    manifold: Any = importlib.import_module("sklearn.manifold")
    threads: Any = importlib.import_module("threadpoolctl")
    reducer = manifold.TSNE(perplexity=min(30.0, (len(vectors) - 1) / 3), init="pca", random_state=0)
    with threads.threadpool_limits(1):  # several threads would add in an order of their own
        made = reducer.fit_transform(vectors)
    return np.asarray(made, np.float64)


def _umap(vectors: Floats) -> Floats:
    """Source: McInnes, Healy & Melville, "UMAP", arXiv:1802.03426."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # a part that we do not use lacks TensorFlow
        umap: Any = importlib.import_module("umap")
    reducer = umap.UMAP(n_neighbors=min(15, len(vectors) - 1), random_state=0, n_jobs=1)
    return np.asarray(reducer.fit_transform(vectors), np.float64)


def scaled(points: Floats) -> Floats:
    """Points (V, 2) centred, the furthest coordinate at 1, with three decimals."""
    centred = points - (points.max(axis=0) + points.min(axis=0)) / 2
    return np.asarray(centred / (np.abs(centred).max() or 1.0)).round(3)

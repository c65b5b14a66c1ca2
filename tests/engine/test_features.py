"""Computing features where memory is short; without Ray."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from actrec.data import shards
from actrec.engine import features, sharing
from actrec.models.layers import Staged
from actrec.study.factors import Study
from actrec.training import featureset
from tests.engine.conftest import Planned


@pytest.fixture
def one(small_study: Callable[..., Study], planned: Callable[[Study], Planned]) -> sharing.Sharing:
    """A prefix, and its clips."""
    trials, keys = planned(small_study(freeze__strategy="head_only"))
    return sharing.Finder().find(trials, keys, "cpu")[0]


def compute(one: sharing.Sharing) -> str:
    """Computes one shard of 20 clips; returns what went wrong."""
    featureset.begin(one.folder, stages=one.prefix.stages, count=1, about={})
    actor = features._Actor(torch.get_num_threads(), False)
    return actor.compute(features._Task(one.prefix, one.folder, one.clips, 0, 0, 20))[1]


def short_of_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Makes every model ask for more memory than there is with more than ``most`` clips; which sizes came."""
    plain, sizes = Staged.prefix, list[int]()

    def prefix(model: Staged, clips: torch.Tensor, count: int) -> torch.Tensor:
        sizes.append(len(clips))
        if len(clips) > most:
            torch.empty(2**50, dtype=torch.uint8)  # the allocator refuses, in its own words
        return plain(model, clips, count)

    monkeypatch.setattr(Staged, "prefix", prefix)
    return sizes


def test_clips_go_through_in_halves_where_memory_is_short(
    one: sharing.Sharing, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compute(one) == ""
    whole = np.array(shards.load(one.folder, 0))
    shards.forget(one.folder, [0])
    sizes = short_of_memory(monkeypatch, most=3)
    assert compute(one) == ""
    assert sizes == [8, 4, *[2] * 10]
    np.testing.assert_allclose(shards.load(one.folder, 0), whole, rtol=1e-4, atol=1e-6)


def test_memory_too_small_for_one_clip_is_said_in_one_line(
    one: sharing.Sharing, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = short_of_memory(monkeypatch, most=0)
    fault = "the frozen stages of frame_transformer: out of memory at batch size 1: "
    assert compute(one).startswith(fault)
    assert sizes == [8, 4, 2, 1]
    assert shards.numbers(one.folder) == []

"""What a trial's head gets of each video."""

from __future__ import annotations

import numpy as np
import torch

from actrec.training.evaluate import WIDTH, pooled
from actrec.training.trial import TrialRun
from tests.training.miniature import CLIPS, TASK, batches, spec, trained


def test_the_head_makes_the_scores_of_the_embedding() -> None:
    run = trained()
    embedded = run.embed(batches(seed=1))
    assert len(embedded) == CLIPS
    head = run.model.get_submodule("fc")
    with torch.no_grad():
        scores = head(torch.from_numpy(embedded.mean_scores()).float()).softmax(dim=1)
    tally = run.evaluate(batches(seed=1))
    assert tally.video_ids == embedded.video_ids
    np.testing.assert_allclose(scores.numpy(), tally.mean_scores(), atol=1e-5)


def test_the_clips_of_a_video_are_averaged_in_any_order() -> None:
    run = TrialRun(spec(), TASK)
    forward, backward = run.embed(batches()), run.embed(batches()[::-1])
    np.testing.assert_array_equal(forward.scores, backward.scores)
    twice = run.embed([*batches(), *batches()])
    np.testing.assert_array_equal(twice.clips, 2)
    np.testing.assert_array_equal(twice.mean_scores(), forward.mean_scores())


def test_embedding_leaves_no_trace() -> None:
    one, other = trained(epochs=1), trained(epochs=1)
    one.embed(batches(seed=1))
    assert one.evaluate(batches()).metrics() == other.evaluate(batches()).metrics()
    assert one.fingerprint() == other.fingerprint()


def test_features_of_any_shape_become_vectors() -> None:
    tokens = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])  # two tokens of two numbers
    assert pooled(tokens).tolist() == [[2.0, 4.0]]
    maps = torch.tensor([[[[1.0, 3.0]], [[2.0, 6.0]]]])  # two channels of 1 × 2
    assert pooled(maps).tolist() == [[2.0, 4.0]]
    wide = torch.arange(2.0 * WIDTH)[None]  # neighbours 0 and 1 average to 0.5, 2 and 3 to 2.5
    assert pooled(wide).shape == (1, WIDTH)
    assert pooled(wide)[0, :2].tolist() == [0.5, 2.5]

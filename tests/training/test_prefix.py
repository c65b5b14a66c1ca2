"""What of a model is a frozen prefix, and which prefixes are the same."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from actrec.data import shards
from actrec.errors import DataError
from actrec.models.zoo import build
from actrec.spec import PRESETS, AugmentSpec, FreezeSpec, ModelSpec, TrialSpec, override
from actrec.training import featureset
from actrec.training.batch import Batch
from actrec.training.featureset import FeatureSet, cut_into_shards
from actrec.training.fingerprint import batch_sum, pixel_sums
from actrec.training.learner import initial_model
from actrec.training.prefix import Prefix, _varies, is_fixed, shared_stages
from actrec.training.trial import TrialRun
from tests.training.miniature import TASK, batches, spec, step, trained

FROZEN = {"freeze": FreezeSpec(strategy="head_only"), "clip.height": 16, "clip.width": 16}


def prefix(changes: dict[str, Any] | None = None) -> Prefix | None:
    torch.set_num_threads(1)
    return Prefix.of(spec({**FROZEN, **(changes or {})}), len(TASK.class_names))


def key(changes: dict[str, Any] | None = None) -> str:
    found = prefix(changes)
    assert found is not None
    return found.key


def test_only_size_and_an_idle_scale_are_no_randomness() -> None:
    assert is_fixed(AugmentSpec(size=64, min_scale=0.1))
    random = [name for name, preset in PRESETS["augment"].items() if preset != AugmentSpec()]
    assert random
    assert not any(is_fixed(PRESETS["augment"][name]) for name in random)


@pytest.mark.parametrize(
    "changes",
    [
        {"model.dropout": 0.5},  # of the head
        {"freeze": FreezeSpec(strategy="first_k", k=4)},  # all before the head
        {"loss.class_weights": "balanced"},
        {"optim.lr": 1e-4},
        {"augment.min_scale": 0.1},  # of a crop that is not chosen
        {"placebo": 1},
    ],
    ids=str,
)
def test_what_the_prefix_does_not_see_keeps_its_key(changes: dict[str, Any]) -> None:
    assert key(changes) == key()


def test_the_arithmetic_of_a_clip_is_counted_fused_layers_too() -> None:
    found = prefix({"model": ModelSpec(name="cnn_lstm_1"), "clip.num_frames": 3})
    assert found is not None
    # Kernels of 3×3 on frames of 16×16, 8×8 and 4×4; then four gates of 256 from 128 inputs and 256 states.
    convolutions = 9 * (3 * 32 * 16**2 + 32 * 64 * 8**2 + 64 * 128 * 4**2)
    assert found.flop == 2 * 3 * (convolutions + 4 * 256 * (128 + 256))
    resized = prefix({"model": ModelSpec(name="cnn_lstm_1"), "clip.num_frames": 3, "augment.size": 8})
    assert resized is not None
    assert resized.flop == 2 * 3 * (convolutions / 4 + 4 * 256 * (128 + 256))


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},  # other random weights
        {"freeze": FreezeSpec(strategy="backbone")},  # fewer stages
        {"model.attention_heads": 2},  # the same weights, otherwise combined
        {"model.layers": 2},
        {"augment.size": 12},
        {"clip.num_frames": 3},
    ],
    ids=str,
)
def test_what_the_prefix_sees_changes_its_key(changes: dict[str, Any]) -> None:
    assert key(changes) != key()


@pytest.mark.parametrize("changes", [{"augment.hflip": 0.5}, {"freeze": FreezeSpec()}], ids=str)
def test_a_trial_without_a_prefix_has_none(changes: dict[str, Any]) -> None:
    assert prefix(changes) is None


def test_dropout_inside_a_trained_part_ends_the_prefix() -> None:
    """A recurrent layer with dropout of its own stays random in train mode unless it is frozen."""
    given = override(
        TrialSpec(), {"model": ModelSpec(name="cnn_lstm_3"), "freeze": FreezeSpec(strategy="backbone")}
    )
    model = initial_model(given, 3)
    assert shared_stages(model, given) == 3  # the convolutions, and not the LSTM
    plain = build(given.model, num_classes=3, num_frames=8)
    assert shared_stages(torch.nn.Sequential(*plain.children()), replace(given, freeze=FreezeSpec())) == 0


@pytest.mark.parametrize(
    "layer",
    [nn.Dropout3d(0.1), nn.AlphaDropout(0.1), nn.RReLU(), nn.BatchNorm3d(2), nn.GRU(2, 2, 2, dropout=0.1)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_varies_in_train_mode_alone(layer: nn.Module) -> None:
    assert _varies(layer.train())
    assert not _varies(layer.eval())


@pytest.mark.parametrize("layer", [nn.Dropout(0.0), nn.GRU(2, 2), nn.LayerNorm(2), nn.LeakyReLU()], ids=str)
def test_a_layer_without_randomness_never_varies(layer: nn.Module) -> None:
    assert not _varies(layer.train())


def test_a_sum_is_of_its_clip_alone_and_a_batch_has_an_order() -> None:
    inputs = torch.randn(3, 3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    sums = pixel_sums(inputs)
    assert torch.equal(sums, torch.cat([pixel_sums(inputs[row : row + 1]) for row in range(3)]))
    assert len(set(sums.tolist())) == 3
    assert batch_sum(sums) != batch_sum(sums.flip(0))


def on_features(run: TrialRun, found: Prefix) -> TrialRun:
    """A trial of the stages after a prefix, trained on what that makes of the clips."""
    extract = found.extractor(torch.device("cpu"))

    def features(epoch: int, seed: int = 0) -> list[Batch]:
        own = batches(epoch, seed=seed, rank=run.rank, world_size=run.world_size)
        made = [(batch, extract(batch.clips)) for batch in own]
        return [replace(batch, clips=clips, sums=sums) for batch, (clips, sums) in made]

    while not run.finished:
        run.train_epoch(features(run.epoch), steps=3)
        run.finish_epoch(run.evaluate(features(0, seed=1)))
    return run


def losses(run: TrialRun) -> list[float]:
    return [loss for stats in run.history for loss in (stats.train.loss, stats.val["loss"])]


def test_a_trial_on_features_has_the_fingerprint_of_one_on_clips() -> None:
    # Exact but for the probe's loss, whose five digits may round apart; they do not here.
    found = prefix()
    assert found is not None
    plain = trained(FROZEN)
    shared = on_features(TrialRun(spec(FROZEN), TASK, first=found.stages), found)
    assert shared.fingerprint() == plain.fingerprint()
    assert losses(shared) == pytest.approx(losses(plain), rel=1e-5)


TRAINED_NORM = {**FROZEN, "freeze": FreezeSpec(strategy="first_k", k=1)}  # the second stage has a BatchNorm
WORKERS = 2


def train_both(rank: int, folder: str) -> None:
    """One of two workers, which train one trial on clips and one on features."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=WORKERS
    )
    found = prefix(TRAINED_NORM)
    assert found is not None
    cut: dict[str, Any] = {"rank": rank, "world_size": WORKERS}
    plain = TrialRun(spec(TRAINED_NORM), TASK, **cut)
    while not plain.finished:
        step(plain)
    shared = on_features(TrialRun(spec(TRAINED_NORM), TASK, first=found.stages, **cut), found)
    Path(folder, f"{rank}.json").write_text(json.dumps([losses(plain), losses(shared)]))
    torch.distributed.destroy_process_group()


def test_workers_that_share_a_trial_can_train_it_on_features(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=train_both, args=(rank, str(tmp_path))) for rank in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * WORKERS
    (plain, shared), other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(WORKERS))
    assert shared == pytest.approx(plain, rel=1e-5)
    assert other == [plain, shared]


def test_shards_cover_the_rows_in_order_and_stay_small() -> None:
    parts = cut_into_shards(100, (64,))
    assert [row for part in parts for row in part] == list(range(100))
    assert max(map(len, parts)) == 32
    # A row of 16 MiB: four of them make 64.
    assert [len(part) for part in cut_into_shards(6, (2**22,))] == [4, 2]


def test_a_set_comes_back_as_it_was_written_and_says_what_it_lacks(tmp_path: Path) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    featureset.begin(tmp_path, stages=3, count=2, about={"model": "m"})
    featureset.write(tmp_path, 0, rows[:4], np.arange(4))
    with pytest.raises(DataError, match=f"{tmp_path} are not complete"):
        FeatureSet.open(tmp_path)
    featureset.write(tmp_path, 1, rows[4:], np.array([-(2**62), 2**62]))
    found = FeatureSet.open(tmp_path)
    assert (found.stages, found.sums.tolist()) == (3, [0, 1, 2, 3, -(2**62), 2**62])
    assert np.array_equal(found.gather(np.array([5, 0])), rows[[5, 0]])
    assert shards.damaged(tmp_path, range(2)) == []


def test_shards_of_other_clips_count_as_missing(tmp_path: Path) -> None:
    def write(about: str) -> None:
        featureset.begin(tmp_path, stages=3, count=1, about={"rows": about})

    write("all")
    featureset.write(tmp_path, 0, np.zeros((4, 2), np.float32), np.arange(4))
    write("all")
    assert shards.damaged(tmp_path, range(1)) == []
    write("all but one, which decodes no more")
    assert shards.damaged(tmp_path, range(1)) == [0]

"""Finding, checking and loading published weights, on a model of two layers."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from actrec.errors import ModelError, SpecError
from actrec.models import weights
from actrec.models.card import ModelCard, Weights
from actrec.models.zoo import ZOO, build, resolve
from actrec.spec import ModelSpec, TrialSpec, override, trial_id
from actrec.study.plan import rehearse

FILE = "tiny.safetensors"


def make(spec: ModelSpec, *, num_classes: int, num_frames: int) -> nn.Module:
    return nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.Linear(4, num_classes))


def card(sha256: str = "0" * 64) -> ModelCard:
    return ModelCard(
        name="tiny",
        summary="a convolution",
        build=make,
        num_frames=4,
        stride=1,
        crop=8,
        stages={"conv": r"[01]\..+", "head": r"2\..+"},
        backbone=("conv",),
        head="head",
        weights={"some": Weights(file=FILE, sha256=sha256, classes=5, source="drawn here")},
    )


def model(num_classes: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return make(ModelSpec(), num_classes=num_classes, num_frames=4)


def published(folder: Path, tensors: dict[str, Tensor]) -> ModelCard:
    """A card whose weights are ``tensors``, kept in ``folder``."""
    save_file(tensors, folder / FILE)
    return card(hashlib.sha256((folder / FILE).read_bytes()).hexdigest())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(weights.VARIABLE, str(tmp_path))
    return tmp_path


def test_a_head_of_the_same_classes_is_loaded_with_the_rest(folder: Path) -> None:
    stored = model(5, seed=1).state_dict()
    loaded = model(5, seed=2)
    weights.load(loaded, published(folder, stored), "some")
    assert all(torch.equal(value, stored[key]) for key, value in loaded.state_dict().items())


@pytest.mark.parametrize("renamed", [False, True])
def test_a_head_of_other_classes_or_names_keeps_its_own_values(folder: Path, renamed: bool) -> None:
    stored = model(5, seed=1).state_dict()
    if renamed:
        stored["2.scale"] = stored.pop("2.bias")
    loaded = model(5 if renamed else 3, seed=2)
    own = {key: value.clone() for key, value in loaded.state_dict().items()}
    weights.load(loaded, published(folder, stored), "some")
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, (own if key.startswith("2.") else stored)[key]), key


def test_a_file_without_counts_of_batches_is_whole(folder: Path) -> None:
    stored = model(5, seed=1).state_dict()
    del stored["1.num_batches_tracked"]
    loaded = model(5, seed=2)
    weights.load(loaded, published(folder, stored), "some")
    assert torch.equal(loaded.state_dict()["1.running_mean"], stored["1.running_mean"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"0.bias": None}, "0.bias"),
        ({"0.other": torch.zeros(1)}, "0.other"),
        ({"1.running_var": torch.zeros(3)}, "1.running_var"),
    ],
)
def test_a_file_that_does_not_fit_names_the_tensors_and_changes_nothing(
    folder: Path, change: dict[str, Tensor | None], named: str
) -> None:
    tensors = {**model(5, seed=1).state_dict(), **change}
    stored = {key: value for key, value in tensors.items() if value is not None}
    loaded = model(5, seed=2)
    with pytest.raises(ModelError, match=rf"does not fit the model in {named}$"):
        weights.load(loaded, published(folder, stored), "some")
    assert torch.equal(loaded.state_dict()["0.weight"], model(5, seed=2).state_dict()["0.weight"])


def test_a_missing_file_names_itself_the_folder_the_option_and_the_hash(folder: Path) -> None:
    with pytest.raises(ModelError) as raised:
        weights.find(card("ab" * 32), "some")
    for part in (str(folder / FILE), "--weights-dir", "ACTREC_WEIGHTS", "ab" * 32, "No such file"):
        assert part in str(raised.value)


def test_another_content_names_both_hashes_even_if_the_right_one_was_there_before(folder: Path) -> None:
    right = published(folder, model(5, seed=1).state_dict())
    assert weights.find(right, "some") == folder / FILE
    before = (folder / FILE).stat()
    save_file(model(5, seed=2).state_dict(), folder / FILE)  # of the same size
    os.utime(folder / FILE, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    content = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    with pytest.raises(ModelError, match=rf"sha256 {content}, not {right.weights['some'].sha256}"):
        weights.find(right, "some")


def test_a_file_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = published(folder, model(5, seed=1).state_dict())
    weights.find(right, "some")
    misses = weights._sha256.cache_info().misses
    weights.find(right, "some")
    assert weights._sha256.cache_info().misses == misses


def test_on_the_meta_device_the_file_is_looked_for_and_not_read(folder: Path) -> None:
    (folder / FILE).write_bytes(b"no tensors here")
    right = card(hashlib.sha256(b"no tensors here").hexdigest())
    with torch.device("meta"):
        weights.load(make(ModelSpec(), num_classes=5, num_frames=4), right, "some")
        with pytest.raises(ModelError, match="sha256"):
            weights.load(make(ModelSpec(), num_classes=5, num_frames=4), card(), "some")


def test_a_plan_fails_before_anything_is_spent_where_weights_are_missing(folder: Path) -> None:
    with pytest.raises(ModelError, match=rf"{folder}/i3d_rgb_kinetics400.safetensors: No such file"):
        rehearse(override(TrialSpec(), {"model": ModelSpec(name="i3d", weights="kinetics400")}))


def test_weights_that_a_card_does_not_have_are_refused() -> None:
    with pytest.raises(SpecError, match=r"unknown weights of 'i3d' 'kinetics'.*'kinetics400'"):
        resolve(ModelSpec(name="i3d", weights="kinetics"))
    with pytest.raises(SpecError, match=r"'r3d_18' 'kinetics400' \(valid: \(it has none\)\)"):
        build(ModelSpec(name="r3d_18", weights="kinetics400"), num_classes=2, num_frames=4)


def test_weights_are_part_of_a_trial() -> None:
    plain = TrialSpec(model=ModelSpec(name="i3d"))
    assert trial_id(plain) != trial_id(
        dataclasses.replace(plain, model=ModelSpec(name="i3d", weights="kinetics400"))
    )


def test_the_folder_is_the_users_where_the_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    assert weights.folder().is_absolute()
    assert weights.folder().name == "weights"
    monkeypatch.setenv(weights.VARIABLE, "here")
    assert weights.folder() == Path("here").absolute()


@pytest.mark.parametrize("name", list(ZOO))
def test_cards_name_safetensors_files_and_whole_hashes(name: str) -> None:
    for wanted in ZOO[name].weights.values():
        assert wanted.file.endswith(".safetensors")
        assert len(bytes.fromhex(wanted.sha256)) == 32
        assert wanted.source

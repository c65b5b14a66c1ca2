"""Checkpoints: exact round trips, and files that are torn, half-written or not ours."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from actrec.spec import OptimSpec
from actrec.training import checkpoint
from actrec.training.optim import make_optimizer

TENSORS = {
    "weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
    "count": torch.tensor(7),
    "empty": torch.empty(0),
}
STATE: dict[str, Any] = {"epoch": 2, "history": [{"loss": 0.1 + 0.2}], "name": "Würfel"}


def test_a_round_trip_is_exact(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, 2, TENSORS, STATE)
    found = checkpoint.read(tmp_path)
    assert found.ignored == ()
    assert found.checkpoint is not None
    assert found.checkpoint.state == STATE
    assert found.checkpoint.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(found.checkpoint.tensors[name], tensor)


def test_tensors_that_share_memory_are_saved_each(tmp_path: Path) -> None:
    tied = TENSORS["weight"]
    checkpoint.write(tmp_path, 1, {"encoder": tied, "decoder": tied, "turned": tied.T}, {})
    found = checkpoint.read(tmp_path).checkpoint
    assert found is not None
    assert torch.equal(found.tensors["decoder"], tied)
    assert torch.equal(found.tensors["turned"], tied.T)


def test_no_folder_and_an_empty_folder_hold_nothing(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path / "none") == checkpoint.Found(None, ())
    assert checkpoint.read(tmp_path) == checkpoint.Found(None, ())


def test_the_newest_two_are_kept_and_the_same_epoch_is_replaced(tmp_path: Path) -> None:
    for epoch in (1, 2, 10, 10):
        checkpoint.write(tmp_path, epoch, TENSORS, {"epoch": epoch})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-00002", "epoch-00010"]
    found = checkpoint.read(tmp_path).checkpoint
    assert found is not None
    assert found.state == {"epoch": 10}


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "harm", "reason"),
    [
        ("tensors.safetensors", cut_short, "does not match its checksum"),
        ("tensors.safetensors", flip_a_bit, "does not match its checksum"),
        ("tensors.safetensors", os.remove, "No such file"),
        ("state.json", cut_short, "Expecting|delimiter"),
        ("state.json", os.remove, "No such file"),
        ("state.json", lambda path: path.write_text("[]"), "list indices"),
        ("state.json", lambda path: path.write_text('{"format": 99}'), "format 99"),
        ("state.json", lambda path: path.write_text(path.read_text().replace("22", "23")), "checksum"),
    ],
)
def test_a_broken_checkpoint_is_passed_over_with_the_reason(
    tmp_path: Path, name: str, harm: Callable[[Path], object], reason: str
) -> None:
    checkpoint.write(tmp_path, 1, TENSORS, {"value": 11})
    newest = checkpoint.write(tmp_path, 2, TENSORS, {"value": 22})
    harm(newest / name)
    found = checkpoint.read(tmp_path)
    assert found.checkpoint is not None
    assert found.checkpoint.state == {"value": 11}
    (why,) = found.ignored
    assert re.match(f"epoch-00002: .*({reason})", why)


def test_what_a_killed_process_left_half_written_is_reported_and_not_read(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, 1, TENSORS, STATE)
    (tmp_path / "epoch-00001").rename(tmp_path / ".aside-abc")
    found = checkpoint.read(tmp_path)
    assert found.checkpoint is None
    assert found.ignored == (".aside-abc: half-written",)


def test_a_write_that_fails_leaves_the_old_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, 1, TENSORS, STATE)
    with pytest.raises(ValueError, match="JSON compliant"):
        checkpoint.write(tmp_path, 2, TENSORS, {"loss": float("nan")})
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00001"]


def test_parts_are_joined_and_taken_apart() -> None:
    whole = checkpoint.joined(model=checkpoint.joined(a=TENSORS), best={})
    assert checkpoint.part(checkpoint.part(whole, "model"), "a") == TENSORS
    assert checkpoint.part(whole, "best") == {}


@pytest.mark.parametrize(("name", "momentum"), [("adam", 0.0), ("adamw", 0.0), ("sgd", 0.9), ("sgd", 0.0)])
def test_an_optimiser_goes_on_exactly(tmp_path: Path, name: Any, momentum: float) -> None:
    spec = OptimSpec(name=name, momentum=momentum, lr=0.1)

    def make() -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        group = {"params": list(layer.parameters()), "lr_mult": 1.0, "names": ["weight", "bias"]}
        return layer, make_optimizer(spec, [group])

    def step(layer: torch.nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        (layer(torch.ones(1, 3)) ** 2).sum().backward()
        optimizer.step()

    layer, optimizer = make()
    for _ in range(3):
        step(layer, optimizer)
    whole = checkpoint.joined(m=layer.state_dict(), o=checkpoint.optimizer_tensors(optimizer))
    checkpoint.write(tmp_path, 1, whole, {})
    step(layer, optimizer)

    other, its_optimizer = make()
    found = checkpoint.read(tmp_path).checkpoint
    assert found is not None
    other.load_state_dict(checkpoint.part(found.tensors, "m"))
    checkpoint.load_optimizer(its_optimizer, checkpoint.part(found.tensors, "o"))
    step(other, its_optimizer)
    assert torch.equal(other.weight, layer.weight)
    assert torch.equal(other.bias, layer.bias)

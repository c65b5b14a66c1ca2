"""Checkpoints that are whole or not there: safetensors and JSON in one folder, renamed into place.

::

    <folder>/epoch-00004/tensors.safetensors    every tensor
                         state.json             the rest, and the SHA-256 of both
    <folder>/.aside-*                           half-written, left by a process that died

A checkpoint is written aside, flushed to the disk, then renamed. The newest ``KEEP`` stay, so that one
found broken has another behind it. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import torch as safetensors
from torch import Tensor

from actrec import files

FORMAT = 1
KEEP = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was saved: tensors by name, on the CPU, and plain JSON values."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """The newest sound checkpoint of a folder, if any, and why newer ones were passed over."""

    checkpoint: Checkpoint | None
    ignored: tuple[str, ...]


def write(folder: Path, epoch: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
    """Saves after an epoch and returns the folder written. A checkpoint of the same epoch is replaced.

    Raises:
        OSError: if it cannot be written; the checkpoints already there stay as they are.
    """
    data = safetensors.save({name: _packed(tensor) for name, tensor in tensors.items()})
    record = json.dumps({"format": FORMAT, "sha256": _digest(data, state), "state": state}, allow_nan=False)
    target = folder / f"epoch-{epoch:05d}"
    with files.replacing(target) as aside:
        aside.mkdir()
        files.write(aside / "tensors.safetensors", data)
        files.write(aside / "state.json", record.encode())
        if target.exists():  # a folder cannot replace one that is not empty
            shutil.rmtree(target)
    for old in _newest_first(folder)[KEEP:]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def read(folder: Path) -> Found:
    """The newest checkpoint that is whole; a broken one is passed over, with the reason."""
    ignored = [f"{path.name}: half-written" for path in sorted(folder.glob(f"{files.ASIDE}*"))]
    for path in _newest_first(folder):
        try:
            return Found(_read_one(path), tuple(ignored))
        except (OSError, ValueError, KeyError, TypeError) as error:
            ignored.append(f"{path.name}: {error}")
    return Found(None, tuple(ignored))


def _read_one(path: Path) -> Checkpoint:
    data = (path / "tensors.safetensors").read_bytes()
    record = json.loads((path / "state.json").read_text())
    if record["format"] != FORMAT:
        raise ValueError(f"format {record['format']}, not {FORMAT}")
    if record["sha256"] != _digest(data, record["state"]):
        raise ValueError("its content does not match its checksum")
    return Checkpoint(safetensors.load(data), record["state"])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's moments and step counts as ``"<parameter number>.<name>"`` → tensor."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value
        for number, values in state.items()
        for name, value in values.items()
        if value is not None  # the momentum of SGD without momentum
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of :func:`optimizer_tensors`; hyper-parameters stay those of ``optimizer``."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def joined(**parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Several mappings as one, each name with that of its part before it: ``"model/fc.weight"``."""
    return {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}


def part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """One part of what :func:`joined` made."""
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _packed(tensor: Tensor) -> Tensor:
    """A copy, since safetensors refuses tensors that share memory, as tied weights do."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*"), reverse=True)


def _digest(data: bytes, state: Mapping[str, Any]) -> str:
    return hashlib.sha256(data + json.dumps(state, sort_keys=True).encode()).hexdigest()

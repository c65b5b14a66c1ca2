"""Published weights: found in one folder by the file name on a model's card, checked by their hash, loaded.

Nothing is downloaded. A file that the card names and that lies in :func:`folder` is used; any other content
under that name is refused, so a trial's ``model.weights`` says exactly what it started from.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from pathlib import Path

import platformdirs
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from actrec.errors import ModelError
from actrec.files import reason
from actrec.models.card import ModelCard

VARIABLE = "ACTREC_WEIGHTS"


def folder() -> Path:
    """``ACTREC_WEIGHTS``, else ``weights`` in the user's data folder. On a cluster every node must see it."""
    return Path(os.environ.get(VARIABLE) or Path(platformdirs.user_data_dir("actrec")) / "weights").absolute()


def find(card: ModelCard, name: str) -> Path:
    """The file of a card's weights, hashed once in a process for each state of the file.

    Raises:
        ModelError: if the file is not there or cannot be read, or its content is another; names the file, the
            folder, the option and the hashes.
    """
    wanted = card.weights[name]
    path = folder() / wanted.file
    try:
        state = path.stat()
        found = _sha256(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise ModelError(
            f"weights {name!r} of {card.name}: {path}: {reason(error)}. The folder that holds {wanted.file} "
            f"(sha256 {wanted.sha256}) is given with --weights-dir or {VARIABLE}"
        ) from None
    if found != wanted.sha256:
        raise ModelError(
            f"weights {name!r} of {card.name}: {path} has sha256 {found}, not {wanted.sha256}: "
            "it is another file, or a damaged one"
        )
    return path


def load(model: nn.Module, card: ModelCard, name: str) -> None:
    """Fills a model with a card's weights, its head only if that has the same parameters and classes.

    A head that differs in any name or shape keeps its initial values, whole. A model on the meta device has
    no values: for it the file is looked for and hashed, and not read.

    Raises:
        ModelError: as :func:`find` does, or if the file does not fit the model; names the tensors.
    """
    path = find(card, name)
    own = model.state_dict()
    if any(value.is_meta for value in own.values()):
        return
    stored = load_file(path)
    every = own.keys() | stored.keys()
    differing = {key for key in every if _shape(own.get(key)) != _shape(stored.get(key))}
    # A count of batches, which only BatchNorm without momentum reads, is not in every file.
    differing -= {key for key in own if key.endswith(".num_batches_tracked") and key not in stored}
    head = {key for key in every if re.fullmatch(card.stages[card.head], key)}
    if differing & head:
        stored = {key: value for key, value in stored.items() if key not in head}
    if differing - head:
        raise ModelError(
            f"weights {name!r} of {card.name}: {path} does not fit the model in "
            f"{', '.join(sorted(differing - head)[:5])}"
        )
    model.load_state_dict(stored, strict=False)


def _shape(tensor: Tensor | None) -> torch.Size | None:
    return None if tensor is None else tensor.shape


@cache
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    """Of a file in one state; size and time stand for that state in the cache."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

"""Every architecture, by name."""

from __future__ import annotations

import dataclasses

from torch import nn

from actrec.errors import ModelError, SpecError
from actrec.fields import unknown
from actrec.models import cnn_lstm, frame_transformer, i3d, r3d, weights
from actrec.models.card import ModelCard
from actrec.spec import ModelSpec

ZOO: dict[str, ModelCard] = {
    "cnn_lstm_1": cnn_lstm.CARD_1,
    "cnn_lstm_2": cnn_lstm.CARD_2,
    "cnn_lstm_3": cnn_lstm.CARD_3,
    "frame_transformer": frame_transformer.CARD,
    "i3d": i3d.CARD,
    "r3d_18": r3d.CARD,
}


def find(name: str) -> ModelCard:
    """The card of an architecture.

    Raises:
        SpecError: on an unknown name; it names the valid ones.
    """
    if name not in ZOO:
        raise SpecError(unknown("model", name, ZOO))
    return ZOO[name]


def resolve(spec: ModelSpec) -> ModelSpec:
    """``spec`` with the options that were left at None filled in from the model's card.

    Raises:
        SpecError: on an unknown model, or weights or an option that it does not have; names the valid ones.
    """
    card = find(spec.name)
    if spec.weights and spec.weights not in card.weights:
        raise SpecError(unknown(f"weights of {spec.name!r}", spec.weights, card.weights or ["(it has none)"]))
    options = card.options
    given = {
        entry.name: getattr(spec, entry.name)
        for entry in dataclasses.fields(spec)
        if entry.name not in ("name", "weights")
    }
    for option, value in given.items():
        if value is not None and option not in options:
            raise SpecError(unknown(f"option of {spec.name!r}", f"model.{option}", options))
    return dataclasses.replace(
        spec, **{option: default for option, default in options.items() if given[option] is None}
    )


def build(spec: ModelSpec, *, num_classes: int, num_frames: int) -> nn.Module:
    """A new model, float32 (B, 3, T, H, W) → logits float32 (B, K), for clips of T = ``num_frames``.

    Its initial weights come from torch's global generator, as in every torch layer: the caller seeds it
    (``torch.manual_seed``) just before. Nothing else here or in the models uses it but dropout. Published
    weights, if ``spec`` names some, then replace them, but for a head that they have not; see
    :func:`actrec.models.weights.load`.

    Raises:
        SpecError: as :func:`resolve` does.
        ModelError: if the options do not fit each other, the model takes another number of frames, or its
            weights are not to be had.
    """
    resolved = resolve(spec)
    chosen = find(spec.name)
    if chosen.fixed_frames and num_frames != chosen.num_frames:
        raise ModelError(f"{spec.name} takes clips of {chosen.num_frames} frames, not {num_frames}")
    model = chosen.build(resolved, num_classes=num_classes, num_frames=num_frames)
    if resolved.weights:
        weights.load(model, chosen, resolved.weights)
    return model

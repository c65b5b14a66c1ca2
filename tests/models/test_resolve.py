from __future__ import annotations

import dataclasses

import pytest

from actrec.errors import ModelError, SpecError
from actrec.models.zoo import ZOO, build, resolve
from actrec.spec import ModelSpec


def test_defaults_of_the_card_fill_what_was_left_out() -> None:
    resolved = resolve(ModelSpec(name="frame_transformer", layers=3, dropout=0.0))
    assert resolved == ModelSpec(
        name="frame_transformer", dropout=0.0, attention_heads=4, layers=3, width=64, motion=True
    )


def test_options_that_the_model_lacks_stay_unset() -> None:
    assert resolve(ModelSpec(name="cnn_lstm_3")) == ModelSpec(name="cnn_lstm_3", dropout=0.3)


def test_resolving_twice_changes_nothing() -> None:
    for name in ZOO:
        once = resolve(ModelSpec(name=name))
        assert resolve(once) == once


def test_an_option_that_the_model_lacks_is_refused_even_at_zero() -> None:
    with pytest.raises(SpecError, match=r"unknown option of 'cnn_lstm_2' 'model.attention_heads' .*dropout"):
        resolve(ModelSpec(name="cnn_lstm_2", attention_heads=0))


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="unknown model 'cnn_lstm2'; did you mean 'cnn_lstm_2'"):
        build(ModelSpec(name="cnn_lstm2"), num_classes=2, num_frames=8)


def test_a_model_of_fixed_length_refuses_others(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = dataclasses.replace(ZOO["cnn_lstm_1"], fixed_frames=True)
    monkeypatch.setitem(ZOO, "cnn_lstm_1", fixed)
    with pytest.raises(ModelError, match="clips of 16 frames, not 8"):
        build(ModelSpec(name="cnn_lstm_1"), num_classes=2, num_frames=8)

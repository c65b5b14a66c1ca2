"""What every architecture of the zoo must do. A new model is tested by being in it."""

from __future__ import annotations

import copy
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from actrec.errors import ModelError
from actrec.models.zoo import ZOO, build, resolve
from actrec.seeding import torch_rng
from actrec.spec import ModelSpec

K, B, SIDE = 7, 3, 33
FRAMES = 5  # of a clip, unless the card fixes it: a fraction of what the large models are made for

# A value of each option that is no card's default, to show that options take effect.
OTHER: dict[str, Any] = {
    "dropout": 0.4,
    "attention_heads": 2,
    "layers": 2,
    "width": 32,
    "motion": False,
    "pool_size": 2,
}

every_model = pytest.mark.parametrize("name", list(ZOO))
every_option = pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name, card in ZOO.items() for option in card.options]
)


def usual(name: str) -> int:
    """Frames of a clip in these tests."""
    return ZOO[name].num_frames if ZOO[name].fixed_frames else FRAMES


def new(spec: ModelSpec, seed: int, num_frames: int) -> nn.Module:
    torch.manual_seed(seed)  # build() says that the caller does this
    return build(spec, num_classes=K, num_frames=num_frames)


built = cache(new)  # drawing tens of millions of weights takes longer than most of what is tested with them


def make(name: str, *, seed: int = 0, num_frames: int | None = None, **options: Any) -> nn.Module:
    """A model of the test's own: a copy of one that is built once."""
    return copy.deepcopy(built(ModelSpec(name=name, **options), seed, num_frames or usual(name)))


def clips(name: str, *, num_frames: int | None = None, height: int = SIDE, width: int = SIDE) -> Tensor:
    frames = num_frames or usual(name)
    return torch.randn(B, 3, frames, height, width, generator=torch_rng(0, "clips"))


def state(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@every_model
def test_the_card_names_itself_and_its_stages(name: str) -> None:
    card = ZOO[name]
    assert card.name == name
    assert list(card.stages)[-1] == card.head
    assert set(card.backbone) < set(card.stages)
    assert card.head not in card.backbone
    assert card.summary


@every_model
def test_logits_are_finite_float32_one_row_a_clip(name: str) -> None:
    logits = make(name)(clips(name))
    assert logits.shape == (B, K)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


@every_model
@pytest.mark.parametrize("num_frames", [1, 3, 20])
def test_any_number_of_frames_works_unless_the_card_fixes_it(name: str, num_frames: int) -> None:
    card = ZOO[name]
    if card.fixed_frames and num_frames != card.num_frames:
        with pytest.raises(ModelError, match=f"{card.num_frames} frames, not {num_frames}"):
            make(name, num_frames=num_frames)
    else:
        logits = make(name, num_frames=num_frames)(clips(name, num_frames=num_frames))
        assert logits.shape == (B, K)
        assert logits.isfinite().all()


@every_model
@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 41), (48, 17)])
def test_frames_of_odd_and_oblong_sizes_work(name: str, height: int, width: int) -> None:
    logits = make(name)(clips(name, height=height, width=width))
    assert logits.shape == (B, K)
    assert logits.isfinite().all()


@every_model
def test_every_trainable_parameter_gets_a_gradient(name: str) -> None:
    # In evaluation mode: batch statistics would cancel a bias before BatchNorm, dropout might hide anything.
    model = make(name).eval()
    target = torch.arange(B) % K
    torch.autograd.backward(nn.functional.cross_entropy(model(clips(name)), target))
    without = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []
    assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)


@every_model
def test_evaluation_is_deterministic_and_keeps_nothing(name: str) -> None:
    model, batch = make(name).eval(), clips(name)
    before = state(model)
    with torch.no_grad():
        first = model(batch)
        model(batch.flip(0) * 2)
        again = model(batch)
    assert torch.equal(first, again)
    assert same(before, state(model))


@every_model
def test_a_training_step_leaves_no_tensor_in_the_modules(name: str) -> None:
    """Nothing but parameters and buffers may hold what a forward pass computed."""
    model = make(name)
    torch.autograd.backward(model(clips(name)).sum())
    kept = [
        f"{path}.{attribute}"
        for path, module in model.named_modules()
        for attribute, value in vars(module).items()
        if isinstance(value, Tensor)
    ]
    assert kept == []


@every_model
def test_the_forward_pass_leaves_its_input_alone(name: str) -> None:
    batch = clips(name)
    make(name)(batch)
    assert torch.equal(batch, clips(name))


@every_model
def test_evaluating_a_clip_does_not_depend_on_the_others(name: str) -> None:
    model, batch = make(name).eval(), clips(name)
    with torch.no_grad():
        together = model(batch)
        alone = torch.cat([model(batch[index : index + 1]) for index in range(B)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@every_model
def test_the_input_decides_the_output(name: str) -> None:
    model = make(name).eval()
    with torch.no_grad():
        logits = model(clips(name))
    assert not torch.allclose(logits[0], logits[1], rtol=0, atol=1e-6)


@every_model
def test_memory_layout_of_the_input_does_not_matter(name: str) -> None:
    model, batch = make(name).eval(), clips(name)
    with torch.no_grad():
        expected = model(batch)
        channels_last = model(batch.contiguous(memory_format=torch.channels_last_3d))
        frames_first = model(batch.transpose(1, 2).contiguous().transpose(1, 2))  # as augmentation gives it
    torch.testing.assert_close(channels_last, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(frames_first, expected, rtol=1e-4, atol=1e-5)


@every_model
def test_saving_and_loading_gives_the_same_model(name: str, tmp_path: Path) -> None:
    model = make(name)
    model(clips(name))  # so that running statistics are not those of a new model
    save_model(model, str(tmp_path / "model.safetensors"))
    other = make(name, seed=1)
    assert not same(state(model), state(other))
    load_model(other, tmp_path / "model.safetensors")
    assert same(state(model), state(other))
    with torch.no_grad():
        assert torch.equal(model.eval()(clips(name)), other.eval()(clips(name)))


@every_model
def test_a_copy_is_independent(name: str) -> None:
    model = make(name)
    other = copy.deepcopy(model)
    before = state(other)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert same(before, state(other))


@every_model
def test_initialisation_is_a_function_of_the_seed(name: str) -> None:
    spec, frames = ModelSpec(name=name), usual(name)
    first, again, other = new(spec, 5, frames), new(spec, 5, frames), new(spec, 6, frames)
    assert same(state(first), state(again))
    assert not same(state(first), state(other))


@every_model
def test_stages_cover_every_parameter_once_from_input_to_output(name: str) -> None:
    card = ZOO[name]
    parameters = [parameter for parameter, _ in make(name).named_parameters()]
    matches = [[s for s in card.stages if re.fullmatch(card.stages[s], name)] for name in parameters]
    assert [len(found) for found in matches] == [1] * len(parameters)
    stages = [stage for (stage,) in matches]
    assert list(dict.fromkeys(stages)) == list(card.stages)  # each occurs, in the card's order
    assert stages == sorted(stages, key=list(card.stages).index)  # and none comes back


@every_model
def test_the_head_alone_depends_on_the_number_of_classes(name: str) -> None:
    def shapes(num_classes: int) -> dict[str, torch.Size]:
        with torch.device("meta"):
            model = build(ModelSpec(name=name), num_classes=num_classes, num_frames=ZOO[name].num_frames)
        return {key: value.shape for key, value in model.named_parameters()}

    few, many = shapes(2), shapes(9)
    changed = {key for key in few if few[key] != many[key]}
    assert changed
    assert all(re.fullmatch(ZOO[name].stages[ZOO[name].head], key) for key in changed)


@every_option
def test_every_option_takes_effect(name: str, option: str) -> None:
    """Another value changes the parameters, or what training mode computes."""
    assert OTHER[option] != ZOO[name].options[option]
    base, changed = make(name), make(name, **{option: OTHER[option]})
    if same(state(base), state(changed)):
        torch.manual_seed(1)  # of dropout, which has the global generator alone
        expected = base(clips(name))
        torch.manual_seed(1)
        assert not torch.allclose(expected, changed(clips(name)), rtol=0, atol=1e-6)


@every_option
def test_an_option_at_its_default_is_the_option_left_out(name: str, option: str) -> None:
    default = {option: ZOO[name].options[option]}
    assert resolve(ModelSpec(name=name, **default)) == resolve(ModelSpec(name=name))

"""Plans: which trials, in which order, and what they cost."""

from __future__ import annotations

from typing import Any

import pytest

from actrec.data.clip_key import clip_identity, clips_per_epoch
from actrec.errors import ModelError, SpecError, StudyError
from actrec.models.zoo import ZOO
from actrec.spec import ClipSpec, TrialSpec, override, trial_id
from actrec.study.factors import Factor, Study
from actrec.study.plan import check_arms, cost, describe, plan

DROPOUT = Factor("model.dropout", levels=(0.5,), baseline=0.0)
AUGMENT = Factor("augment", levels=("hflip", "set2"), baseline="none")
SAMPLING = Factor("clip.sampling", levels=("middle", "clips"), baseline="uniform")
VIDEOS = {"train": 100, "val": 20, "test": 30}


def study(*factors: Factor, base: dict[str, Any] | None = None, **values: Any) -> Study:
    spec = override(TrialSpec(), {"optim.epochs": 4, **(base or {})})
    return Study(**{"name": "test", "base": spec, "factors": factors, "seeds": (7, 3), **values})


def test_every_arm_of_a_seed_comes_before_the_next_seed() -> None:
    trials = plan(study(AUGMENT))
    arms = ["baseline", "augment=hflip", "augment=set2", "placebo"]
    assert [(trial.seed, trial.arm) for trial in trials] == [(seed, arm) for seed in (7, 3) for arm in arms]
    assert all(trial.spec.seed == trial.seed and trial.trial_id == trial_id(trial.spec) for trial in trials)
    assert len({trial.trial_id for trial in trials}) == len(trials)


def test_the_placebo_differs_in_nothing_but_its_name() -> None:
    trials = {trial.arm: trial for trial in plan(study(AUGMENT, seeds=(0,)))}
    assert trials["placebo"].spec == override(trials["baseline"].spec, {"placebo": 1})
    assert not [t for t in plan(study(AUGMENT, placebo=False)) if t.spec.placebo]


def test_options_left_open_get_the_defaults_of_the_model() -> None:
    for trial in plan(study(DROPOUT)):
        for option in ZOO[trial.spec.model.name].options:
            assert getattr(trial.spec.model, option) is not None


def test_an_option_that_the_model_lacks_names_the_arm() -> None:
    heads = Factor("model.attention_heads", levels=(8,), baseline=None)
    with pytest.raises(SpecError, match=r"arm 'model.attention_heads=8': .*model.attention_heads"):
        check_arms(study(heads, base={"model.name": "cnn_lstm_2"}))


@pytest.mark.parametrize("name", ZOO)
def test_every_model_can_be_planned(name: str) -> None:
    size = {"clip.height": 32, "clip.width": 32, "clip.num_frames": ZOO[name].num_frames}
    check_arms(study(base={"model.name": name, **size}))


def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(SpecError, match="did you mean 'cnn_lstm_"):
        check_arms(study(base={"model.name": "cnn_lstm"}))


def test_a_level_that_is_the_default_of_the_model_is_no_level() -> None:
    default = ZOO["frame_transformer"].options["dropout"]
    made = study(Factor("model.dropout", levels=(default,), baseline=None), placebo=False)
    with pytest.raises(
        StudyError, match=rf"arms 'baseline' and 'model.dropout={default}' are the same trial"
    ):
        check_arms(made)
    assert {trial.arm for trial in plan(made)} == {"baseline"}, "the first has it"


def test_cost_by_hand() -> None:
    trials = plan(study(SAMPLING, base={"clip.clips": 5}, placebo=False))
    total = cost(trials, VIDEOS)
    # 3 arms × 2 seeds; 3 ways of reading 150 videos. An epoch of "clips" trains on 5 clips of each of 100
    # videos, of the others on 1: 2 seeds × 4 epochs × 100 × (1 + 1 + 5).
    assert (total.trials, total.arms, total.seeds) == (6, 3, 2)
    assert (total.clip_keys, total.videos, total.decodes) == (3, 150, 450)
    assert total.clips_trained == 5600


def test_what_a_trial_chooses_downstream_decodes_nothing_more() -> None:
    assert cost(plan(study(AUGMENT, DROPOUT)), VIDEOS).decodes == 150
    assert cost(plan(study(Factor("clip.stride", (2,), 1))), VIDEOS).clip_keys == 1, "uniform has no stride"
    assert cost(plan(study(Factor("data.per_class", (5,), 0))), VIDEOS).clip_keys == 2


IRRELEVANT: dict[str, dict[str, Any]] = {
    "middle": {"num_frames": 4, "stride": 2, "clips": 3, "draws": 3, "seconds": 1.0},
    "uniform": {"stride": 2, "clips": 3, "draws": 3, "seconds": 1.0},
    "random": {"clips": 3, "seconds": 1.0},
    "clips": {"draws": 3, "seconds": 1.0},
    "centre": {"stride": 2, "clips": 3, "draws": 3},
}
OTHER: dict[str, Any] = {
    "num_frames": 4,
    "stride": 2,
    "clips": 3,
    "draws": 3,
    "seconds": 1.0,
    "height": 64,
    "width": 64,
    "fit": "crop",
    "decoder": "pyav",
}


@pytest.mark.parametrize("sampling", IRRELEVANT)
@pytest.mark.parametrize("name", OTHER)
def test_a_clip_is_identified_by_what_its_sampling_reads(sampling: Any, name: str) -> None:
    before, after = ClipSpec(sampling=sampling), ClipSpec(**{"sampling": sampling, name: OTHER[name]})
    assert (clip_identity(before) == clip_identity(after)) == (name in IRRELEVANT[sampling])


def test_clips_per_epoch() -> None:
    assert clips_per_epoch(ClipSpec(sampling="clips", clips=5)) == 5
    assert clips_per_epoch(ClipSpec(sampling="random", draws=5, clips=5)) == 1


def test_describe_shows_every_arm_and_the_totals() -> None:
    made = study(SAMPLING, DROPOUT)
    trials = plan(made)
    text = describe(made, trials, VIDEOS)
    lines = text.splitlines()
    for arm in made.arms:
        assert sum(line.startswith(f"{arm.name} ") for line in lines) == 1
    assert any("clip.sampling: uniform → middle" in line for line in lines)
    assert any(line.startswith("baseline") and line.endswith("—") for line in lines)
    assert "10 trials = 5 arms × 2 seeds" in text
    assert "450 videos to decode = 150 (100 train, 20 val, 30 test) × 3 ways of reading" in text
    assert "4,000 clips to train on" in text


def test_describe_says_what_may_follow_the_plan() -> None:
    def text(**values: Any) -> str:
        made = study(DROPOUT, Factor("augment", ("hflip",), "none"), **values)
        return describe(made, plan(made), VIDEOS)

    assert "round" not in text() + text(design="factorial")
    assert "up to 5 arms in all" in text(design="greedy_forward"), "1 + (2 + 1), and the placebo"
    assert "judged at 2, 7 and 20 seeds, and p-values are multiplied by 3" in text(max_seeds=20)
    assert "all 4 combinations: with so few factors" in text(design="fractional_iv")


@pytest.mark.parametrize(
    ("factor", "base", "error", "message"),
    [
        (Factor("model.attention_heads", (7,), 4), {}, ModelError, r"arm 'model.attention_heads=7': .*7"),
        (
            Factor("freeze.strategy", ("first_k",), "none"),
            {"freeze.k": 99},
            SpecError,
            r"arm 'freeze.*first_k'",
        ),
        (Factor("clip.height", (1,), 32), {"clip.width": 32}, ModelError, r"cannot take clips of 8×1×32"),
    ],
)
def test_what_no_trial_could_run_is_refused_with_its_arm(
    factor: Factor, base: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_arms(study(factor, base=base))

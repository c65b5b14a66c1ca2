"""From a study to the explicit list of its trials, and what they will cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from actrec.data.clip_key import clip_identity, clips_per_epoch
from actrec.errors import ModelError, SpecError, StudyError
from actrec.models.zoo import build, find, resolve
from actrec.spec import FreezeSpec, ModelSpec, TrialSpec, identity, override, trial_id
from actrec.study.designs import Arm, explain, show
from actrec.study.factors import Study, diff
from actrec.study.greedy import ADAPTIVE, most_arms
from actrec.study.population import changing
from actrec.study.race import schedule
from actrec.study.search import PBT, Search
from actrec.training.freeze import apply, rules


@dataclass(frozen=True, slots=True)
class Trial:
    """One training run: an arm, a seed and a fold. ``spec`` is whole: no option is left to a default.

    Attributes:
        stage: of a search, one of :data:`actrec.study.stages.STAGES`; empty in a study without one.
        number: in the search; None in other stages.
        cutoffs: pairs of an epoch and the validation top-1 that must be reached by then, or it is stopped.
        keep: others will go on from its end, which is therefore kept.
    """

    trial_id: str
    arm: str
    factor: str
    level: str
    seed: int
    spec: TrialSpec
    stage: str = ""
    number: int | None = None
    cutoffs: tuple[tuple[int, float], ...] = ()
    keep: bool = False

    @property
    def fold(self) -> int:
        return self.spec.data.fold


@dataclass(frozen=True, slots=True)
class Cost:
    """What a plan will cost.

    Attributes:
        trials, arms, seeds: how many of each.
        clip_keys: distinct ways in which the trials read the videos.
        videos: videos in the manifest.
        decodes: videos × clip_keys, at most: each video is decoded once for each key, whatever the epochs.
        clips_trained: training clips that go through a model, over all trials and epochs.
    """

    trials: int
    arms: int
    seeds: int
    clip_keys: int
    videos: int
    decodes: int
    clips_trained: int


def plan(study: Study, arms: Sequence[Arm] | None = None, seeds: Sequence[int] | None = None) -> list[Trial]:
    """Every trial of a study, each once, with the arms of the first seed first.

    Seeds and folds come outermost so that a sweep that is cut short has its arms balanced. An arm that is the
    same trial as one before it, once the model's defaults are filled in, has none of its own.

    Args:
        arms, seeds: stand for the study's own where given: later rounds have others
            (:mod:`actrec.study.rounds`).

    Raises:
        StudyError: if it is a cross-validation of data that is not known yet.
    """
    if study.cv and study.folds == 1:
        raise StudyError(f"cv={study.cv!r}: the study has no data yet, so its folds are not known")
    trials: dict[str, Trial] = {}
    wholes = [(arm, _whole(study, arm)) for arm in (study.arms if arms is None else arms)]
    for seed in study.seeds if seeds is None else seeds:
        for fold in range(study.folds):
            place = {"data.cv": study.cv, "data.fold": fold} if study.cv else {}
            for arm, whole in wholes:
                spec = override(whole, {"seed": seed, **place})
                key = trial_id(spec)
                trials.setdefault(key, Trial(key, arm.name, arm.factor, arm.level, seed, spec))
    return list(trials.values())


def check_arms(study: Study) -> None:
    """Refuses arms of a study that no trial could run, or that are one: somebody wrote them down.

    Arms that nobody wrote, as in later rounds, are left to fail by themselves, in rows that say why.

    Raises:
        SpecError, ModelError: on a model that is not in the zoo, an option that an arm's model lacks, or a
            model that cannot be built or frozen as asked; names the arm.
        StudyError: if two arms become the same trial once the model's defaults are filled in.
    """
    names: dict[str, str] = {}
    for arm in study.arms:
        spec = _whole(study, arm)
        same = names.setdefault(trial_id(spec), arm.name)
        if same != arm.name:
            raise StudyError(
                f"arms {same!r} and {arm.name!r} are the same trial "
                f"(with the defaults of model {spec.model.name!r} filled in); remove one"
            )
        try:
            rehearse(spec)
        except (ModelError, SpecError) as error:
            raise type(error)(f"arm {arm.name!r}: {error}") from None


def rehearse(spec: TrialSpec) -> None:
    """Builds and freezes the model of a trial and runs one clip through it, on torch's meta device: all
    shapes, no work. A process does that once for all trials that have it in common.

    Raises:
        ModelError, SpecError: if that cannot be done, so that it is known before a video is decoded.
    """
    frames = 1 if spec.clip.sampling == "middle" else spec.clip.num_frames
    size = spec.augment.size
    _rehearse(spec.model, spec.freeze, frames, size or spec.clip.height, size or spec.clip.width)


@cache
def _rehearse(model: ModelSpec, freeze: FreezeSpec, frames: int, height: int, width: int) -> None:
    with torch.device("meta"):
        made = build(model, num_classes=2, num_frames=frames)
        apply(rules(freeze, find(model.name), made), made)
        try:
            made.eval()(torch.zeros(1, 3, frames, height, width))
        except RuntimeError as error:
            raise ModelError(
                f"{model.name} cannot take clips of {frames}×{height}×{width}: {str(error).splitlines()[0]}"
            ) from None


def _whole(study: Study, arm: Arm) -> TrialSpec:
    """What the trials of an arm have in common."""
    return filled(override(study.base, arm.overrides))


def filled(spec: TrialSpec) -> TrialSpec:
    """A trial with the defaults of its model filled in; as it is, if the model has not what it asks for, so
    that it cannot be built."""
    try:
        return override(spec, {"model": resolve(spec.model)})
    except SpecError:
        return spec


def cost(trials: Sequence[Trial], videos: Mapping[str, int]) -> Cost:
    """Counts the work of ``trials`` on a manifest with ``videos[split]`` usable videos in each split.

    Where a trial takes a subset of the videos (``data.classes``, ``data.per_class``), decodes and clips are
    upper bounds; so are clips in a cross-validation, where each fold trains on less than all videos.
    """
    keys = {
        json.dumps([identity(t.spec)["data"] | {"fold": 0}, clip_identity(t.spec.clip)], sort_keys=True)
        for t in trials
    }
    total = sum(videos.values())
    trained = [total if trial.spec.data.cv else videos.get("train", 0) for trial in trials]
    return Cost(
        trials=len(trials),
        arms=len({trial.arm for trial in trials}),
        seeds=len({trial.seed for trial in trials}),
        clip_keys=len(keys),
        videos=total,
        decodes=total * len(keys),
        clips_trained=sum(
            t.spec.optim.epochs * count * clips_per_epoch(t.spec.clip)
            for t, count in zip(trials, trained, strict=True)
        ),
    )


def describe(study: Study, trials: Sequence[Trial], videos: Mapping[str, int]) -> str:
    """The plan as text for ``--dry-run``: a line an arm with what it changes, then the totals."""
    if study.search is not None:
        return "\n".join(_search(study, study.search, trials, videos))
    first = {trial.arm: trial.spec for trial in reversed(trials)}  # of each arm, its first seed
    reference = first[study.arms[0].name]
    rows = [("arm", "what changes from the baseline")]
    for arm in study.arms:
        changes = diff(reference, first[arm.name])
        words = [f"{path}: {show(old)} → {show(new)}" for path, (old, new) in changes.items()]
        rows.append((arm.name, ", ".join(words) or "—"))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {words}".rstrip() for name, words in rows]
    lines.insert(1, "-" * len(lines[0]))
    total = cost(trials, videos)
    splits = ", ".join(f"{count:,} {split}" for split, count in videos.items())
    folds = most = ""
    if study.cv:
        splits, folds, most = "each tested in one fold", f" × {study.folds:,} folds", "at most "
    keys = f"{total.clip_keys} {'way' if total.clip_keys == 1 else 'ways'} of reading them"
    return "\n".join(
        [
            f"study {study.name} ({study.design.replace('_', ' ')}), judged by test {study.metric}",
            "",
            *lines,
            "",
            *_rounds(study),
            f"{total.trials:,} trials = {total.arms:,} arms × {total.seeds:,} seeds{folds}",
            f"{total.decodes:,} videos to decode = {total.videos:,} ({splits}) × {keys}",
            f"{most}{total.clips_trained:,} clips to train on, over all trials and epochs",
        ]
    )


def _search(study: Study, search: Search, trials: Sequence[Trial], videos: Mapping[str, int]) -> list[str]:
    """A search, and what follows it."""
    width = max(map(len, search.space))
    space = [f"{path:<{width}}  {dimension}" for path, dimension in search.space.items()]
    at_most = "" if search.size is None else f", of {search.size:,} that there are"
    lines = [
        f"study {study.name}: a search, judged by validation top-1; its result, by test {study.metric}",
        "",
        *space,
        "",
        f"1. search: {search.trials:,} trials{at_most}, proposed by {search.sampler}, the first is the base; "
        f"at most {search.abreast} side by side; early stopping: {search.stopping}",
        *_generations(search),
    ]
    more = 0
    if search.confirm:
        confirmed, ablated = search.confirm + 1, len(search.space) + 2 + study.placebo
        lines += [
            f"2. confirm: the best {search.confirm} and the base × {search.confirm_seeds} fresh seeds",
            f"3. ablate around the winner: at most {ablated} arms × {len(study.seeds)} seeds, fresh again",
        ]
        more = confirmed * search.confirm_seeds + ablated * len(study.seeds)
    epochs = max(trial.spec.optim.epochs for trial in trials)
    full = epochs if "optim.epochs" in search.space else study.base.optim.epochs
    clips = (search.trials * epochs + more * full) * videos.get("train", 0)
    return [*lines, "", f"at most {search.trials + more:,} trials, about {clips:,} clips to train on"]


def _generations(search: Search) -> list[str]:
    """What population based training makes of the space."""
    if search.sampler != PBT:
        return []
    varied = changing(search.space)
    rest = [path for path in search.space if path not in varied]
    inherited = f"; {', '.join(rest)} inherited, since weights must fit" if rest else ""
    return [
        f"   {search.population} members × {search.generations} generations, each for a part of the epochs; "
        "between them the worst quarter is replaced by copies of the best, with other values of "
        f"{', '.join(varied)}{inherited}"
    ]


def _rounds(study: Study) -> list[str]:
    """What the arms are not enough to tell of a plan: aliases, and what may follow it."""
    lines = explain(study.design, study.factors)
    if study.design in ADAPTIVE:
        most = most_arms(study.design, study.factors) + study.placebo
        lines.append(
            "this is the first round; each further one starts from the arm that did best on validation "
            f"in the one before; up to {most:,} arms in all"
        )
    sizes = schedule(len(study.seeds), study.max_seeds)
    if len(sizes) > 1:
        judged = f"{', '.join(map(str, sizes[:-1]))} and {sizes[-1]}"
        lines.append(
            f"arms whose verdict is open get more seeds: they are judged at {judged} seeds, and p-values are "
            f"multiplied by {len(sizes)}"
        )
    return [*lines, ""] if lines else []

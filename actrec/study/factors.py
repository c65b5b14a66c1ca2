"""What a study asks: factors, levels, seeds and a design, all checked when it is written down."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from actrec.data.folds import check_cv
from actrec.errors import SpecError, StudyError
from actrec.fields import Between, conform, unknown
from actrec.metrics import DIRECTIONS
from actrec.models.zoo import resolve
from actrec.results.schema import TABLES
from actrec.spec import TrialSpec, get, override, trial_id
from actrec.study import population
from actrec.study import space as spaces
from actrec.study.designs import DESIGNS, PLACEBO, REFERENCE, Arm, show
from actrec.study.dimensions import contains
from actrec.study.greedy import ADAPTIVE
from actrec.study.search import FRESH_SEEDS, PBT, Search

READING = ("data", "clip")  # the parts of a trial that say how videos are read
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
RESERVED = {
    "seed": "use the study's seeds",
    "placebo": "use the study's placebo",
    "data.cv": "use the study's cv",
    "data.fold": "use the study's cv",
    "start": "population based training alone lets a trial go on from another",
}


@dataclass(frozen=True)
class Factor:
    """One choice under study.

    Attributes:
        path: what it changes, e.g. ``model.dropout``, or a whole part, e.g. ``augment``.
        levels: the values to try beside the baseline. The first is its "on" level, in designs that have one.
        baseline: the value that the levels are compared with.
        label: how a report names it; empty: its path.

    Values are those of the trial specification; a whole part is given as an instance, a mapping of its
    fields, or the name of a preset.

    Raises:
        SpecError: on an unknown path or an invalid value.
        StudyError: on no levels, or on two values that make the same trial.
    """

    path: str
    levels: tuple[Any, ...]
    baseline: Any
    label: str = ""

    def __post_init__(self) -> None:
        get(TrialSpec(), self.path)
        if self.path in RESERVED:
            raise StudyError(f"{self.path!r} cannot be a factor: {RESERVED[self.path]}")
        given: object = self.levels
        if not isinstance(given, (tuple, list)):
            raise StudyError(f"factor {self.path!r}: levels must be a tuple of values, not {given!r}")
        levels = tuple(_value(self.path, level) for level in self.levels)
        if not levels:
            raise StudyError(f"factor {self.path!r} has no levels")
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "baseline", _value(self.path, self.baseline))
        seen: dict[str, Any] = {}
        for value in (self.baseline, *levels):
            key = trial_id(override(TrialSpec(), {self.path: value}))
            if key in seen:
                raise StudyError(
                    f"factor {self.path!r}: {show(value)} makes the same trial as {show(seen[key])}; "
                    "the baseline and every level must differ"
                )
            seen[key] = value

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Study:
    """An ablation: factors on a base trial, an experimental design, seeds.

    Attributes:
        name: names the folder of its results.
        base: every trial before the factors are applied.
        design: a key of :data:`~actrec.study.designs.DESIGNS` or :data:`~actrec.study.greedy.ADAPTIVE`.
        seeds: every arm is trained once with each; arms are compared seed by seed.
        search: looks for the best trial first; the ablation is then around the winner, in place of
            ``factors``, which must be empty (:mod:`actrec.study.search`).
        max_seeds: arms whose verdict is open after ``seeds`` get more of them, up to so many in all
            (:mod:`actrec.study.rounds`); 0: nobody gets more.
        metric, mode: what the verdicts are about, on the test split, and which way is better.
        placebo: adds an arm that changes nothing but the last digits of the initial weights.
        margin: the smallest difference of the metric that matters in practice.
        cv: a cross-validation, ``leave-one-group-out`` or a number of folds; each arm and seed is then
            trained once a fold. Empty: the data's own splits.
        folds: how many that makes on the study's data (:meth:`actrec.data.manifest.Manifest.folds`).

    Raises:
        SpecError: on an unknown path or an invalid value in a factor.
        StudyError: on anything else that is inconsistent; it names what is valid.
    """

    name: str
    base: TrialSpec
    factors: tuple[Factor, ...]
    design: str = "one_at_a_time"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    metric: str = "top1"
    mode: Literal["max", "min"] = "max"
    placebo: bool = True
    margin: float = 0.01
    cv: str = ""
    folds: int = 1
    max_seeds: int = 0
    search: Search | None = None
    arms: tuple[Arm, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.base, TrialSpec):
            raise StudyError(f"study {self.name!r}: base must be a TrialSpec, not {self.base!r}")
        if not isinstance(self.factors, (tuple, list)) or not all(
            isinstance(f, Factor) for f in self.factors
        ):
            raise StudyError(f"study {self.name!r}: factors must be a tuple of Factor, not {self.factors!r}")
        object.__setattr__(self, "factors", tuple(self.factors))
        for name, annotation in _TYPES.items():
            try:
                value = conform(getattr(self, name), annotation, name)
            except ValueError as error:
                raise StudyError(f"study {self.name!r}: {error}") from None
            object.__setattr__(self, name, value)
        if not NAME.fullmatch(self.name):
            raise StudyError(
                f"study name {self.name!r}: use letters, digits, '-' and '_' (it names a folder)"
            )
        if self.design not in {**DESIGNS, **ADAPTIVE}:
            raise StudyError(unknown("design", self.design, [*DESIGNS, *ADAPTIVE]))
        if self.metric not in DIRECTIONS:
            raise StudyError(unknown("metric", self.metric, DIRECTIONS))
        if self.mode != DIRECTIONS[self.metric]:
            raise StudyError(f"mode={self.mode!r}: {self.metric} is better at its {DIRECTIONS[self.metric]}")
        if self.cv:
            check_cv(self.cv)
        elif self.folds != 1:
            raise StudyError(f"folds={self.folds}: without a cross-validation there is 1")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise StudyError(f"seeds={self.seeds}: must be at least one, and all different")
        if 0 < self.max_seeds < len(self.seeds):
            raise StudyError(
                f"max_seeds={self.max_seeds}: must be 0, or at least the {len(self.seeds)} seeds"
            )
        if self.design in ADAPTIVE and f"val_{self.metric}" not in TABLES["trials"].names:
            raise StudyError(
                f"design={self.design!r} selects on validation, where {self.metric} is not measured: use "
                "metric='top1'"
            )
        for one, other in itertools.combinations([factor.path for factor in self.factors], 2):
            if one == other:
                raise StudyError(f"two factors change {one!r}")
            if one.startswith(f"{other}.") or other.startswith(f"{one}."):
                raise StudyError(f"factors {one!r} and {other!r} overlap: one is inside the other")
        if self.search is not None:
            self._check_search(self.search)
        if self.design in ADAPTIVE:  # its first round: nothing is known yet
            arms = ADAPTIVE[self.design](self.base, self.factors, lambda arm, other: None, self.margin).arms
        else:
            arms = DESIGNS[self.design](self.base, self.factors)
        if self.placebo:
            overrides = {**arms[0].overrides, "placebo": 1}
            arms.append(Arm(PLACEBO, PLACEBO, "1", overrides, baseline="0"))
        object.__setattr__(self, "arms", tuple(arms))
        assert self.arms[0].name == REFERENCE

    def _check_search(self, search: Search) -> None:
        if not isinstance(search, Search):
            raise StudyError(f"study {self.name!r}: search must be a Search, not {search!r}")
        if self.factors or self.design != "one_at_a_time":
            raise StudyError(
                f"study {self.name!r}: the factors of a search are what its winner changes: leave out "
                "factors and design"
            )
        if self.cv:
            raise StudyError("a search is judged on the data's own validation split: leave out cv")
        if not all(seed < FRESH_SEEDS for seed in self.seeds):
            raise StudyError(f"seeds={self.seeds}: with a search they must be below {FRESH_SEEDS}")
        base = override(self.base, {"model": resolve(self.base.model)})
        space = spaces.check(search.space, base, RESERVED)
        if search.epochs and "optim.epochs" in space:
            raise StudyError(f"search: epochs={search.epochs}, but the space has optim.epochs; leave out one")
        for spec in spaces.samples(space, self.base, "model"):
            try:
                resolve(spec.model)
            except SpecError as error:
                raise StudyError(
                    f"the search space allows a trial that is none: {error}; a dimension that is not for "
                    "every trial needs a `when`"
                ) from None
        if spaces.combinations(space, self.base, READING) is None:
            raise StudyError(
                f"the search space has more than {spaces.MOST} ways of reading videos, and all of them are "
                "decoded before the search: leave out some values of "
                f"{', '.join(path for path in space if path.partition('.')[0] in READING)}"
            )
        for known in search.known:
            inside = all(path in space and contains(space[path], v) for path, v in known.params.items())
            if not inside or len(known.values) != len(search.objectives):
                raise StudyError(f"search: {known} is not of its space and objectives")
        search = dataclasses.replace(search, space=space)
        if search.sampler == PBT:
            population.check(search, base)
        object.__setattr__(self, "search", search)

    @property
    def baseline(self) -> TrialSpec:
        """The base with every factor at its baseline."""
        return override(self.base, {factor.path: factor.baseline for factor in self.factors})

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, ready for JSON; :meth:`from_dict` is the inverse."""
        values = {name: getattr(self, name) for name in _TYPES}
        return values | {
            "base": self.base.to_dict(),
            "factors": [item.to_dict() for item in self.factors],
            "search": self.search.to_dict() if self.search else None,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A study from :meth:`to_dict`'s values.

        Raises:
            SpecError, StudyError: as the constructor does; StudyError also on an unknown or missing key.
        """
        known = [entry.name for entry in dataclasses.fields(cls) if entry.init]
        for name in values:
            if name not in known:
                raise StudyError(unknown("part of a study", name, known))
        try:
            base = TrialSpec.from_dict(values["base"])
            factors = tuple(Factor(**factor) for factor in values["factors"])
            search = Search.from_dict(values["search"]) if values.get("search") else None
            return cls(**{**values, "base": base, "factors": factors, "search": search})
        except (KeyError, TypeError) as error:
            raise StudyError(f"not a study: {error}") from None


def diff(before: Study | TrialSpec, after: Study | TrialSpec) -> dict[str, tuple[Any, Any]]:
    """Path → (value before, value after) wherever the two differ; None where one lacks the path."""
    old, new = _flat(before.to_dict()), _flat(after.to_dict())
    return {path: (old.get(path), new.get(path)) for path in {**old, **new} if old.get(path) != new.get(path)}


_TYPES: dict[str, Any] = {
    "name": str,
    "design": str,
    "seeds": tuple[Annotated[int, Between(0, 2**31 - 1)], ...],
    "metric": str,
    "mode": Literal["max", "min"],
    "placebo": bool,
    "margin": Annotated[float, Between(0)],
    "cv": str,
    "folds": Annotated[int, Between(1)],
    "max_seeds": Annotated[int, Between(0)],
}


def _value(path: str, value: Any) -> Any:
    """``value`` as the specification holds it at ``path``; the name of a preset stays a name."""
    default = get(TrialSpec(), path)
    if dataclasses.is_dataclass(default) and isinstance(value, Mapping):
        value = get(TrialSpec.from_dict({path: value}), path)
    checked = get(override(TrialSpec(), {path: value}), path)
    return value if isinstance(value, str) else checked


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat

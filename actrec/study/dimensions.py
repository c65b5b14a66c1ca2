"""The dimensions of a search space: what values a path may take, and where it exists at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from actrec.errors import StudyError
from actrec.spec import TrialSpec, get, override

Scalar = None | bool | int | float | str  # what Optuna takes for a category


@dataclass(frozen=True, slots=True)
class When:
    """The dimension at ``path`` has one of ``values``."""

    path: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of ``choices``: values of the path, or names of presets where it is a whole part."""

    choices: tuple[Scalar, ...]
    when: When | None = None

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.choices))}{_condition(self.when)}"

    @property
    def distribution(self) -> BaseDistribution:
        return CategoricalDistribution(self.choices)


@dataclass(frozen=True, slots=True)
class Int:
    """An integer from ``low`` to ``high``, both included, in steps of ``step``; ``log`` spaces them evenly in
    logarithm, and takes no step."""

    low: int
    high: int
    step: int = 1
    log: bool = False
    when: When | None = None

    def __str__(self) -> str:
        return _range(self)

    @property
    def distribution(self) -> BaseDistribution:
        return IntDistribution(self.low, self.high, log=self.log, step=self.step)


@dataclass(frozen=True, slots=True)
class Float:
    """A number from ``low`` to ``high``; in steps of ``step`` where it is given, evenly in logarithm with
    ``log``."""

    low: float
    high: float
    step: float | None = None
    log: bool = False
    when: When | None = None

    def __str__(self) -> str:
        return _range(self)

    @property
    def distribution(self) -> BaseDistribution:
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)


Dimension = Categorical | Int | Float


def check_dimension(path: str, dimension: object, reserved: Mapping[str, str]) -> None:
    """Looks at one dimension of a space by itself.

    Raises:
        SpecError: on an unknown path, or an end or a choice that is not a value of it.
        StudyError: on anything else; it names what is valid.
    """
    if not isinstance(dimension, (Categorical, Int, Float)):
        raise StudyError(f"{path!r}: {dimension!r} is no dimension; use one of Categorical, Int, Float")
    get(TrialSpec(), path)
    if path in reserved:
        raise StudyError(f"{path!r} cannot be searched: {reserved[path]}")
    if isinstance(dimension, Categorical):
        choices: Sequence[Any] = dimension.choices
        if not isinstance(choices, tuple) or not choices:
            raise StudyError(f"{path!r}: choices must be a tuple of values, not {choices!r}")
        for value in choices:
            if not isinstance(value, Scalar):
                raise StudyError(
                    f"{path!r}: {value!r} cannot be a choice; use numbers, texts, or presets' names"
                )
        if len({(type(value), value) for value in choices}) < len(choices):
            raise StudyError(f"{path!r}: choices must all differ, not {choices!r}")
    else:
        if not dimension.low < dimension.high:
            raise StudyError(f"{path!r}: low={dimension.low} must be less than high={dimension.high}")
        _distribution(path, lambda: dimension.distribution)
        if path.partition(".")[0] in ("clip", "data"):
            raise StudyError(
                f"{path!r} says how videos are read: it must be Categorical, since all of its values are "
                "decoded before the search"
            )
        choices = (dimension.low, dimension.high)
    for value in choices:
        override(TrialSpec(), {path: value})


def ask(trial: optuna.Trial, path: str, dimension: Dimension) -> Any:
    """What a trial of Optuna suggests for one dimension."""
    if isinstance(dimension, Categorical):
        return trial.suggest_categorical(path, dimension.choices)
    if isinstance(dimension, Int):
        return trial.suggest_int(path, dimension.low, dimension.high, step=dimension.step, log=dimension.log)
    return trial.suggest_float(path, dimension.low, dimension.high, step=dimension.step, log=dimension.log)


def contains(dimension: Dimension, value: Any) -> bool:
    """Whether a value lies in a dimension."""
    if isinstance(dimension, Categorical):
        return any(same(value, choice) for choice in dimension.choices)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if dimension.step is None or dimension.log:
        return dimension.low <= value <= dimension.high
    steps, most = ((end - dimension.low) / dimension.step for end in (value, dimension.high))
    return -1e-8 <= steps <= most + 1e-8 and math.isclose(steps, round(steps), abs_tol=1e-8)


def countable(dimension: Dimension) -> Sequence[Any] | None:
    """All values of a dimension; None if there are too many to go through, or it is continuous."""
    if isinstance(dimension, Categorical):
        return dimension.choices
    if isinstance(dimension, Int) and (dimension.high - dimension.low) // dimension.step < 16:
        return range(dimension.low, dimension.high + 1, dimension.step)
    return None


def same(one: Any, other: Any) -> bool:
    """Whether two values are one; True is not 1 here."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _distribution(path: str, make: Callable[[], BaseDistribution]) -> None:
    try:
        made = make()
    except ValueError as error:
        raise StudyError(f"{path!r}: {error}") from None
    if isinstance(made, (IntDistribution, FloatDistribution)) and made.single():
        raise StudyError(f"{path!r}: {made} has one value alone")


def _range(dimension: Int | Float) -> str:
    kind = "an integer" if isinstance(dimension, Int) else "a number"
    step = f" in steps of {dimension.step:g}" if dimension.step not in (None, 1) else ""
    scale = ", evenly in logarithm" if dimension.log else ""
    return f"{kind} from {dimension.low:g} to {dimension.high:g}{step}{scale}{_condition(dimension.when)}"


def _condition(when: When | None) -> str:
    return "" if when is None else f", where {when.path} is {' or '.join(map(str, when.values))}"

"""A search space, once, in Python: path → the values to choose from (:mod:`actrec.study.dimensions`).

::

    space = {
        "model.attention_heads": Categorical((0, 4, 8)),
        "model.dropout": Float(0.0, 0.6),
        "optim.lr": Float(1e-4, 1e-2, log=True),
        "freeze.strategy": Categorical(("none", "first_k")),
        "freeze.k": Int(1, 3, when=When("freeze.strategy", ("first_k",))),
    }

Paths are those of factors. A dimension with a ``when`` exists only where the one that it names has one
of the values that it names; elsewhere the base trial's value stays.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna

from actrec.errors import StudyError
from actrec.fields import unknown
from actrec.spec import TrialSpec, get, override
from actrec.study.designs import show
from actrec.study.dimensions import (
    Categorical,
    Dimension,
    Float,
    Int,
    When,
    ask,
    check_dimension,
    contains,
    countable,
    same,
)

Space = Mapping[str, Dimension]
MOST = 512  # combinations that are gone through one by one
KINDS: dict[str, type[Dimension]] = {"categorical": Categorical, "int": Int, "float": Float}


def check(space: Space, base: TrialSpec, reserved: Mapping[str, str]) -> dict[str, Dimension]:
    """The space in an order in which every dimension comes after the one it depends on.

    Args:
        base: what the search starts from: its values must lie in the space.
        reserved: paths that cannot be searched → what to use instead.

    Raises:
        SpecError: on an unknown path, or an end or a choice that is not a value of its path.
        StudyError: on anything else that is inconsistent; it names what is valid.
    """
    if not isinstance(space, Mapping) or not space:
        raise StudyError(f"a search space must be a mapping of paths to dimensions, not {space!r}")
    for path, dimension in space.items():
        check_dimension(path, dimension, reserved)
    for path in space:
        inside = [other for other in space if path.startswith(f"{other}.")]
        if inside:
            raise StudyError(f"dimensions {path!r} and {inside[0]!r} overlap: one is inside the other")
    ordered: dict[str, Dimension] = {}
    while len(ordered) < len(space):
        # By their names, so that the order in which they were written does not matter.
        ready = {
            path: dimension
            for path, dimension in sorted(space.items())
            if path not in ordered and (dimension.when is None or dimension.when.path in ordered)
        }
        if not ready:
            raise _bad_condition(space, ordered)
        ordered |= ready
    for dimension in ordered.values():
        if dimension.when is not None:
            _check_when(ordered[dimension.when.path], dimension.when)
    for path, dimension in active(ordered, base).items():
        if not contains(dimension, value := level(path, dimension, base)):
            raise StudyError(
                f"{path}={show(value)} of the base, where the search starts, is not in {dimension}"
            )
    return ordered


def compose(space: Space, base: TrialSpec, choose: Callable[[str, Dimension], Any]) -> TrialSpec:
    """The base with what ``choose`` says, which is asked dimension by dimension, where these exist."""
    spec = base
    for path, dimension in space.items():
        if _holds(space, dimension, spec):
            spec = override(spec, {path: choose(path, dimension)})
    return spec


def suggest(space: Space, base: TrialSpec, trial: optuna.Trial) -> TrialSpec:
    """The base with the values that a trial of Optuna suggests."""
    return compose(space, base, lambda path, dimension: ask(trial, path, dimension))


def combinations(
    space: Space, base: TrialSpec, parts: Sequence[str] = (), limit: float = MOST
) -> list[TrialSpec] | None:
    """The base with every combination of what can be counted, of what is not at the base's own values.

    Args:
        parts: of the specification, such as ``model`` or ``model.name``; only dimensions in these are varied,
            and those that they depend on. Empty: all.
        limit: where there are more combinations, they are None.
    """
    varied = {path for path in space if not parts or any(_within(path, part) for part in parts)}
    for path in [*varied]:
        while (when := space[path].when) is not None:
            path = when.path
            varied.add(path)
    specs = [base]
    for path, dimension in space.items():
        values = countable(dimension)
        if values is None or path not in varied:
            continue
        specs = [
            made
            for spec in specs
            for made in (
                [override(spec, {path: value}) for value in values]
                if _holds(space, dimension, spec)
                else [spec]
            )
        ]
        if len(specs) > limit:
            return None
    return specs


def samples(space: Space, base: TrialSpec, part: str) -> list[TrialSpec]:
    """Trials with every value that can be counted in a part of the specification: all combinations, or, where
    these are too many, those of each dimension with what it depends on, the others at the base's values."""
    every = combinations(space, base, (part,))
    if every is not None:
        return every
    specs: list[TrialSpec] = []
    for path in (path for path in space if _within(path, part)):
        alone = combinations(space, base, (path,), math.inf)
        assert alone is not None
        specs += alone
    return specs


def active(space: Space, spec: TrialSpec) -> dict[str, Dimension]:
    """The dimensions that exist for ``spec``, by their conditions."""
    return {path: dimension for path, dimension in space.items() if _holds(space, dimension, spec)}


def params(space: Space, spec: TrialSpec) -> dict[str, Any] | None:
    """The values of ``spec`` in the dimensions that exist for it; None if it lies outside the space.

    ``suggest`` with these gives ``spec`` again, as far as the space reaches.
    """
    found = {path: level(path, dimension, spec) for path, dimension in active(space, spec).items()}
    if not all(contains(space[path], value) for path, value in found.items()):
        return None
    return found


def level(path: str, dimension: Dimension, spec: TrialSpec) -> Any:
    """The value of ``spec`` at a dimension: of a whole part the name of the preset, if it is one of the
    choices."""
    value = get(spec, path)
    if isinstance(dimension, Categorical) and dataclasses.is_dataclass(value):
        named = (name for name in dimension.choices if get(override(spec, {path: name}), path) == value)
        return next(named, value)
    return value


def to_dict(space: Space) -> dict[str, Any]:
    """Plain values, ready for JSON; :func:`from_dict` is the inverse."""
    names = {kind: name for name, kind in KINDS.items()}
    return {
        path: {"kind": names[type(dimension)], **dataclasses.asdict(dimension)}
        for path, dimension in space.items()
    }


def from_dict(values: Mapping[str, Any]) -> dict[str, Dimension]:
    """A space from :func:`to_dict`'s values.

    Raises:
        StudyError: on values that are no space.
    """
    made: dict[str, Dimension] = {}
    for path, entry in values.items():
        try:
            arguments = dict(entry)
            kind, when = arguments.pop("kind"), arguments.pop("when", None)
            condition = None if when is None else When(when["path"], tuple(when["values"]))
            if "choices" in arguments:
                arguments["choices"] = tuple(arguments["choices"])
            made[path] = KINDS[kind](**arguments, when=condition)
        except (KeyError, TypeError) as error:
            raise StudyError(f"dimension {path!r} cannot be read: {error}") from None
    return made


def _within(path: str, part: str) -> bool:
    return path == part or path.startswith(f"{part}.")


def _holds(space: Space, dimension: Dimension, spec: TrialSpec) -> bool:
    when = dimension.when
    if when is None:
        return True
    parent = space[when.path]
    if not _holds(space, parent, spec):
        return False
    return any(same(level(when.path, parent, spec), value) for value in when.values)


def _check_when(parent: Dimension, when: When) -> None:
    if not isinstance(parent, Categorical):
        raise StudyError(f"a dimension depends on {when.path!r}, which must be Categorical for that")
    for value in when.values:
        if not contains(parent, value):
            raise StudyError(unknown(f"value of {when.path!r}", value, parent.choices))


def _bad_condition(space: Space, ordered: Space) -> StudyError:
    """Of the dimensions that never get their turn."""
    left = {path: dimension.when for path, dimension in space.items() if path not in ordered}
    for path, when in left.items():
        assert when is not None
        if when.path not in space:
            return StudyError(f"{path!r} depends on {unknown('dimension', when.path, space)}")
    return StudyError(f"dimensions depend on each other in a circle: {', '.join(left)}")

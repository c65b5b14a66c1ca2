"""Checks a dataclass's values against its own annotations, with errors that teach.

Understands ``int``, ``float`` (an int is accepted and converted), ``str``, ``bool``, ``Literal``,
``X | None``, ``tuple[X, ...]`` and ``Annotated[X, Between(low, high)]``. Nothing else is needed here.
"""

from __future__ import annotations

import ast
import difflib
import math
import types
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from actrec.errors import SpecError


@dataclass(frozen=True, slots=True)
class Between:
    """A closed interval of valid numbers; ``above`` makes its lower end open."""

    low: float
    high: float = math.inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return (value > self.low if self.above else value >= self.low) and value <= self.high

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'>' if self.above else '≥'} {self.low:g}"
        return f"in {'(' if self.above else '['}{self.low:g}, {self.high:g}]"


@cache
def field_types(cls: type) -> dict[str, Any]:
    """Field name → annotation, with ``Annotated`` kept."""
    return get_type_hints(cls, include_extras=True)


def unknown(kind: str, name: object, valid: Iterable[object]) -> str:
    """The message for a name that is not one of ``valid``, with the nearest one suggested."""
    names = [str(item) for item in valid]
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}{hint} (valid: {', '.join(names)})"


def describe(annotation: Any) -> str:
    """What an annotation accepts, in words for an error message."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return f"{describe(args[0])} {' and '.join(map(str, args[1:]))}"
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in args)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(arg) for arg in args)
    if origin is tuple:
        return f"a tuple of {describe(args[0])}"
    if annotation is type(None):
        return "None"
    return {int: "an int", float: "a number", str: "a string", bool: "True or False"}.get(
        annotation, getattr(annotation, "__name__", str(annotation))
    )


def conform(value: Any, annotation: Any, path: str) -> Any:
    """``value`` as ``annotation`` wants it.

    Raises:
        SpecError: if it is of the wrong type or out of range; names ``path``, the value and what is valid.
    """
    try:
        return _conform(value, annotation)
    except ValueError:
        raise SpecError(f"{path}={value!r}: must be {describe(annotation)}") from None


def parse(text: str, annotation: Any, path: str) -> Any:
    """A value written as text: as it stands where ``annotation`` takes a string, else a Python literal.

    Raises:
        SpecError: if neither will do; names ``path``, the text and what is valid.
    """
    candidates: list[Any] = [text]
    with suppress(ValueError, SyntaxError):
        candidates.append(ast.literal_eval(text))
    for value in candidates:
        with suppress(ValueError):
            return _conform(value, annotation)
    raise SpecError(f"{path}={text!r}: must be {describe(annotation)}")


def _conform(value: Any, annotation: Any) -> Any:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        value = _conform(value, args[0])
        if value is not None and not all(value in bound for bound in args[1:]):
            raise ValueError
        return value
    if origin is Literal:
        if not any(type(value) is type(choice) and value == choice for choice in args):
            raise ValueError
        return value
    if origin in (Union, types.UnionType):
        for arg in args:
            try:
                return _conform(value, arg)
            except ValueError:
                continue
        raise ValueError
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            raise ValueError
        return tuple(_conform(item, args[0]) for item in value)
    if annotation is float and type(value) is int:
        value = float(value)
    if type(value) is not annotation or (annotation is float and not math.isfinite(value)):
        raise ValueError
    return value

"""HTML that escapes by construction: a plain string is text, only :class:`Html` is markup."""

from __future__ import annotations

import html
from collections.abc import Iterable


class Html(str):
    """A string that already is markup."""

    __slots__ = ()


Child = str | Html | int | None | Iterable["Child"]

VOID = frozenset({"meta", "link", "br", "hr", "col", "img", "input"})


def render(child: Child) -> Html:
    """``child`` as markup: text escaped, markup kept, sequences joined, ``None`` left out."""
    if child is None:
        return Html("")
    if isinstance(child, Html):
        return child
    if isinstance(child, (str, int)):
        return Html(html.escape(str(child)))
    return Html("".join(render(inner) for inner in child))


def el(tag: str, *children: Child, **attributes: str | int | bool | None) -> Html:
    """One element. An attribute's underscores become hyphens (``class_`` is ``class``); ``True`` is the bare
    name, ``None`` and ``False`` leave it out.

    >>> el("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    given = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{html.escape(str(value))}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in VOID:
        return Html(f"<{tag}{given}>")
    return Html(f"<{tag}{given}>{render(children)}</{tag}>")


def json_in_script(text: str) -> Html:
    """JSON as the content of a ``<script>``: no ``<`` is left that could close it or open a comment."""
    return Html(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))

"""A page of the report, read without a browser."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """A page's elements, visible text and embedded JSON."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.figures: dict[str, str] = {}
        self._inside: list[dict[str, str | None]] = []
        self._raw = path.read_text(encoding="utf-8")
        self.feed(self._raw)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = [dict(attrs)] if tag in ("script", "style") else []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = []

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text.append(data)
        elif self._inside[0].get("type") == "application/json":
            name = self._inside[0]["id"] or ""
            self.figures[name] = self.figures.get(name, "") + data

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)

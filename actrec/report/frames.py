"""``frames/index.json`` → which picture is of which video."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PATH = re.compile(r"frames/[0-9a-f]+\.jpg")


@dataclass(frozen=True, slots=True)
class Frame:
    """A video's picture: ``src`` is its path within the study's folder."""

    src: str
    class_name: str
    split: str


def read_frames(folder: Path) -> Mapping[str, Frame]:
    """Video id → its picture, of those that are there; nothing where none were drawn."""
    try:
        found = json.loads((folder / "frames" / "index.json").read_text(encoding="utf-8"))["frames"]
        there = {path.name for path in (folder / "frames").iterdir()}
        frames = {
            video: Frame(f"frames/{entry['file']}", str(entry["class"]), str(entry["split"]))
            for video, entry in found.items()
            if entry["file"] in there
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return {video: frame for video, frame in frames.items() if _PATH.fullmatch(frame.src)}

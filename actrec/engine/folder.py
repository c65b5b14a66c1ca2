"""A study's folder: whose it is, and what earlier launches left in its ``study.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actrec.errors import StudyError
from actrec.study.race import judged, schedule


def check_folder(folder: Path, name: str) -> None:
    """Results go into a new folder or into this study's own: nobody else's files are written over."""
    ours = (folder / "owner.json").exists()
    if not ours and any((folder / file).exists() for file in ("study.json", "index.html", "trials.parquet")):
        raise StudyError(f"{folder} holds files of something else; give another folder with --out")
    other = read_record(folder).get("name", name)
    if other != name:
        raise StudyError(
            f"{folder} holds the study {other!r}, this is {name!r}; give another folder with --out"
        )


def read_record(folder: Path) -> dict[str, Any]:
    """What earlier launches left in study.json; nothing, if it cannot be read."""
    try:
        found = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def judged_at(record: Mapping[str, Any]) -> dict[int, int]:
    """At which numbers of seeds a study was judged, as :func:`~actrec.study.race.judged` has it.

    Records that do not say are of studies that were never extended: those of their schedule.
    """
    if "judged_at" not in record and "study" in record:
        study = record["study"]
        return judged({}, schedule(len(study["seeds"]), study.get("max_seeds", 0)))
    return {int(entry["seeds"]): int(entry["looks"]) for entry in record.get("judged_at", ())}

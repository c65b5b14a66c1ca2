"""What an earlier study tells the sampler of a search."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from actrec.engine.folder import read_record
from actrec.errors import StudyError
from actrec.results.reader import Reader
from actrec.results.schema import OK
from actrec.spec import TrialSpec, override, trial_id
from actrec.study.factors import Study
from actrec.study.proposals import searched
from actrec.study.search import Known
from actrec.study.space import params


def warmed(study: Study, folder: Path, earlier: Path, *, fresh: bool = False) -> Study:
    """The study with its search told of the trials in ``earlier`` that it could propose itself, but for their
    seeds: the same data, budget and settings outside the space. Over seeds the mean counts.

    A search that was begun in ``folder`` keeps what it was told then, whatever became of ``earlier``, unless
    it is to start ``fresh``.

    Raises:
        StudyError: if the study has no search, or no trial of ``earlier`` is of use; says what was looked at.
    """
    if study.search is None:
        raise StudyError("--warm-start is for a search: add --search N")
    begun = (read_record(folder).get("study") or {}).get("search") or {}
    here = json.loads(json.dumps(study.search.to_dict()))
    same = all(begun.get(name) == here[name] for name in ("space", "objectives"))
    if begun.get("known") and same and not fresh:
        known = tuple(Known(one["params"], tuple(one["values"])) for one in begun["known"])
        return dataclasses.replace(study, search=dataclasses.replace(study.search, known=known))
    if not (earlier / "study.json").exists():
        raise StudyError(f"--warm-start {earlier}: there is no study in that folder")
    wanted = ["status", "spec", *study.search.objectives]
    rows = Reader(earlier).read("trials", columns=wanted).to_pylist()
    found: dict[str, tuple[dict[str, Any], list[list[float]]]] = {}
    for row in rows:
        values = [row[name] for name in study.search.objectives]
        spec = TrialSpec.from_dict(json.loads(row["spec"] or "{}"))
        place = params(study.search.space, spec)
        if (
            row["status"] != OK
            or place is None
            or not all(v is not None and math.isfinite(v) for v in values)
        ):
            continue
        ours = override(searched(study, override(study.base, place)), {"seed": spec.seed})
        if trial_id(ours) == trial_id(spec):
            key = json.dumps(place, sort_keys=True)
            found.setdefault(key, (place, []))[1].append([float(value) for value in values])
    if not found:
        raise StudyError(
            f"--warm-start {earlier}: none of its {len(rows)} trials is one that this search could propose "
            "(the same data, epochs and settings outside the space)"
        )
    known = tuple(
        Known(place, tuple(math.fsum(column) / len(column) for column in zip(*values, strict=True)))
        for place, values in found.values()
    )
    return dataclasses.replace(study, search=dataclasses.replace(study.search, known=known))

"""What became of a study since its folder was begun: the same, grown, or another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from actrec.errors import SpecError, StudyError
from actrec.study.designs import show
from actrec.study.factors import Factor, Study, diff
from actrec.study.search import PBT

# What may change at any time: where things lie, and what they are called.
COSMETIC = ("base.data.manifest", "factors")
GROWING = ("max_seeds", "search.trials", "search.confirm", "search.confirm_seeds")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. ``grows`` tells that what was done before stays part of the study."""

    what: str
    grows: bool


def changes(before: Study, after: Study) -> list[Change]:
    """What differs between two versions of a study, labels and the place of the data apart."""
    found = list(_factors(before, after))
    for path, (old, new) in diff(before, after).items():
        if path in COSMETIC:
            continue
        if path == "seeds":
            grows = new[: len(old)] == old
        elif path == "placebo":
            grows = bool(new)
        elif path == "search.trials" and after.search is not None and after.search.sampler == PBT:
            grows = False  # its generations would be cut anew
        else:
            grows = path in GROWING and old is not None and new is not None and new >= old
        found.append(Change(f"{path}: {show(old)} → {show(new)}", grows))
    return found


def check_unchanged(recorded: Mapping[str, Any] | None, study: Study, *, extend: bool) -> None:
    """Refuses to go on with another study under the same name.

    Args:
        recorded: what :meth:`~actrec.study.factors.Study.to_dict` gave at an earlier launch, read from JSON;
            None if there was none.
        extend: whether the study may have grown.

    Raises:
        StudyError: if it is another study, or has grown and must not have; names all that changed.
    """
    if recorded is None:
        return
    try:
        before = Study.from_dict(recorded)
    except (SpecError, StudyError) as error:
        raise StudyError(
            f"study {study.name!r} was begun by another version of this program: {error}; "
            "start anew with --fresh, or give another folder with --out"
        ) from None
    found = changes(before, study)
    if not found or (extend and all(change.grows for change in found)):
        return
    lines = "".join(f"\n  {change.what}" for change in found)
    way = "--extend goes on with it as it is now, " if all(change.grows for change in found) else ""
    raise StudyError(
        f"study {study.name!r} is not the one that was begun in this folder:{lines}\n"
        f"{way}--fresh starts anew, --out takes another folder"
    )


def _factors(before: Study, after: Study) -> Iterator[Change]:
    old = {factor.path: factor for factor in before.factors}
    new = {factor.path: factor for factor in after.factors}
    for path in old.keys() - new.keys():
        yield Change(f"factor {path}: removed", False)
    for path in new.keys() - old.keys():
        yield Change(f"factor {path}: added, with levels {_levels(new[path])}", True)
    for path in old.keys() & new.keys():
        if old[path].baseline != new[path].baseline:
            line = f"{show(old[path].baseline)} → {show(new[path].baseline)}"
            yield Change(f"factor {path}: baseline {line}", False)
        if old[path].levels != new[path].levels:
            kept = all(level in new[path].levels for level in old[path].levels)
            yield Change(f"factor {path}: levels {_levels(old[path])} → {_levels(new[path])}", kept)


def _levels(factor: Factor) -> str:
    return ", ".join(map(show, factor.levels))

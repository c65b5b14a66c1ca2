"""What became of a study since its folder was begun: the same, grown, or another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from actrec.errors import SpecError, StudyError
from actrec.study.designs import show
from actrec.study.factors import Factor, Study, diff
from actrec.study.greedy import ADAPTIVE
from actrec.study.plan import plan
from actrec.study.search import PBT

COSMETIC = ("base.data.manifest", "factors")  # where things lie; factors are compared one by one
JUDGING = ("metric", "mode", "margin")
GROWING = ("max_seeds", "search.trials", "search.confirm", "search.confirm_seeds")


def changes(before: Study, after: Study) -> list[str]:
    """What differs between two versions of a study, a line each; labels and the place of the data apart."""
    lines = list(_factors(before, after))
    for path, (old, new) in diff(before, after).items():
        if path not in COSMETIC:
            lines.append(f"{path}: {show(old)} → {show(new)}")
    return lines


def grown(before: Study, after: Study) -> bool:
    """Whether all that was planned before is planned still.

    Numbers of seeds at which it was judged already still count (:func:`actrec.study.race.judged`).

    What only judges trials may change too, such as the margin, unless it also decides which come next.
    """
    if before.search is None or after.search is None:
        if before.search is not after.search:
            return False
        steers = before.design in ADAPTIVE or before.max_seeds
        if steers and any(getattr(before, name) != getattr(after, name) for name in JUDGING):
            return False
        if after.max_seeds < before.max_seeds:
            return False
        return {trial.trial_id for trial in plan(before)} <= {trial.trial_id for trial in plan(after)}
    for path, (old, new) in diff(before, after).items():
        more = path in GROWING and new >= old
        if path == "search.trials" and after.search.sampler == PBT:
            more = False  # its generations would be cut anew
        if path == "seeds":
            more = new[: len(old)] == old
        if not (more or path in COSMETIC or path in JUDGING or (path == "placebo" and new)):
            return False
    return True


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
    if not found:
        return
    more = grown(before, study)
    if extend and more:
        return
    lines = "".join(f"\n  {line}" for line in found)
    way = "--extend goes on with it as it is now, " if more else ""
    raise StudyError(
        f"study {study.name!r} is not the one that was begun in this folder:{lines}\n"
        f"{way}--fresh starts anew, --out takes another folder"
    )


def _factors(before: Study, after: Study) -> Iterator[str]:
    """Of the same factors in another order, nothing, unless the design is about an order."""
    old = {factor.path: factor for factor in before.factors}
    new = {factor.path: factor for factor in after.factors}
    for path in sorted(old.keys() - new.keys()):
        yield f"factor {path}: removed"
    for path in sorted(new.keys() - old.keys()):
        yield f"factor {path}: added, with levels {_levels(new[path])}"
    for path in sorted(old.keys() & new.keys()):
        if old[path].baseline != new[path].baseline:
            line = f"{show(old[path].baseline)} → {show(new[path].baseline)}"
            yield f"factor {path}: baseline {line}"
        if old[path].levels != new[path].levels:
            yield f"factor {path}: levels {_levels(old[path])} → {_levels(new[path])}"
    if old.keys() == new.keys() and [*old] != [*new] and before.design == "ablation_path":
        yield f"order of the factors: {', '.join(old)} → {', '.join(new)}"


def _levels(factor: Factor) -> str:
    return ", ".join(map(show, factor.levels))

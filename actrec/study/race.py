"""Further seeds for arms whose verdict is open, without finding too much by looking too often.

After each look at the results, arms whose verdict is settled get no more seeds. The others go on with more,
and so do the baseline and the placebo, with whom they are compared seed by seed.

Who looks until something is significant finds something too often. So an arm is judged at the few numbers
of seeds of :func:`schedule` alone, which is fixed before the first result, and every p-value of the study,
its last ones too, is multiplied by how many they are (Bonferroni over looks; intervals take the level 1 −
0.05 / looks). Whatever then decides how far an arm goes, a false verdict takes a true hypothesis with p ≤
0.05 / (looks × true hypotheses) at one of these numbers, by the correction at each look; so the chance
of any is ≤ 5 %.

Who extends a study after its results looks at further numbers of seeds. These count too (:func:`judged`), so
each verdict stands for all looks until then. But the first ones had spent the 5 % already:
:func:`chance_of_any` tells what it may have become.

Alpha spending (Lan & DeMets 1983) would cost less power, but supposes looks with independent increments; ours
share their test videos. Racing: Maron & Moore, "Hoeffding races" (NeurIPS 1994); Birattari et al., "A racing
algorithm for configuring metaheuristics" (GECCO 2002).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from actrec.stats.effects import EffectRow
from actrec.stats.verdicts import ALPHA
from actrec.study.designs import PLACEBO, REFERENCE

LOOKS = 3
MAX_SEEDS = 20  # of an arm, where a command line asks for a race and names no number


def schedule(first: int, most: int, looks: int = LOOKS) -> tuple[int, ...]:
    """The numbers of seeds at which arms are judged: from ``first`` to ``most`` in equal ratios.

    E.g. ``schedule(5, 20) == (5, 10, 20)``. ``(first,)`` where there is no more to have.
    """
    if most <= first:
        return (first,)
    ratio = most / first
    return tuple(sorted({math.ceil(round(first * ratio ** (k / (looks - 1)), 9)) for k in range(looks)}))


def judged(before: Mapping[int, int], sizes: Iterable[int]) -> dict[int, int]:
    """Number of seeds at which arms are judged → how many such numbers there were when it was taken up.

    Args:
        before: the same, of the study as it was before it was extended; empty of a new one.
        sizes: the numbers of its :func:`schedule` now.
    """
    there = {*before, *sizes}
    return {size: before.get(size, len(there)) for size in sorted(there)}


def chance_of_any(judged_at: Mapping[int, int]) -> float:
    """At most so likely is a false verdict at any number of seeds of :func:`judged`: 5 % over the looks that
    there were when it was taken up, added up. 5 % for a study that was never extended."""
    return min(ALPHA * math.fsum(1 / looks for looks in judged_at.values()), 1.0)


def raced(has: Mapping[str, int], further: Mapping[str, int], sizes: Sequence[int]) -> dict[str, int]:
    """How many seeds each arm shall have after a look.

    Args:
        has: arm → seeds that it has now, one of ``sizes``.
        further: open arm → further seeds that would settle it, as far as one can tell. It gets the smallest
            of ``sizes`` with so many, at least the next and at most the last.
    """
    wants = dict(has)
    for name, more in further.items():
        if name not in {REFERENCE, PLACEBO}:
            ahead = [size for size in sizes if size > has[name]]
            wants[name] = next(
                (size for size in ahead if size >= has[name] + more), max(ahead, default=has[name])
            )
    most = max((wants[name] for name in wants if wants[name] > has[name]), default=0)
    for name in {REFERENCE, PLACEBO} & has.keys():
        wants[name] = max(has[name], most)
    return wants


def open_arms(rows: Iterable[EffectRow], metric: str) -> dict[str, int]:
    """Arm → the further seeds that would settle its verdict on ``metric``, for those whose verdict is open.

    One that too few seeds have a variance for gets the next number of them. One that no number of seeds would
    settle, as a rule because of the test videos, gets none; nor one that failed on every seed, or has none in
    common with the baseline, since further ones would most likely fail alike.
    """
    return {
        row.arm: row.more_seeds or 1
        for row in rows
        if row.metric == metric and row.verdict == "inconclusive" and row.n_seeds
        if row.more_seeds or not row.se > 0
    }

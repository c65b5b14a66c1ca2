"""Early stopping of a search's trials: rules that say, before a trial starts, when it would be stopped.

A rule looks at the trials that had ended when the trial was proposed, and at none in flight, so what it says
is a function of the ledger: a search that was killed goes on to the same result. Where Tune's schedulers
decide by whoever came first, this waits a little longer and can be repeated.

A *history* is a trial's validation top-1 after each of its epochs, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

History = Sequence[float]
# Epoch → the value that the best so far must reach there, or the trial is stopped.
Cutoffs = dict[int, float]

GRACE = 1  # epochs that every trial gets
REDUCTION = 3
LEAST = 3  # trials that must have come to an epoch before anyone is stopped there


def none(histories: Sequence[History], epochs: int) -> Cutoffs:
    """Nobody is stopped."""
    return {}


def asha(histories: Sequence[History], epochs: int) -> Cutoffs:
    """Successive halving: after 1, 3, 9, … epochs only the best third goes on.

    Source: Li et al., "A system for massively parallel hyperparameter tuning" (MLSys 2020), the stopping
    variant. There trials in flight count too; see the module.
    """
    cutoffs: Cutoffs = {}
    rung = GRACE
    while rung < epochs:
        values = _best_at(histories, rung)
        if len(values) >= LEAST:
            cutoffs[rung] = float(np.quantile(values, 1 - 1 / REDUCTION))
        rung *= REDUCTION
    return cutoffs


def median(histories: Sequence[History], epochs: int) -> Cutoffs:
    """The median stopping rule: at each epoch the best so far must reach the median of the running means of
    the others.

    Source: Golovin et al., "Google Vizier: a service for black-box optimization" (KDD 2017), section 3.2.
    """
    cutoffs: Cutoffs = {}
    for epoch in range(GRACE, epochs):
        means = [float(np.mean(history[:epoch])) for history in histories if len(history) >= epoch]
        if len(means) >= LEAST:
            cutoffs[epoch] = float(np.median(means))
    return cutoffs


STOPPING: dict[str, Callable[[Sequence[History], int], Cutoffs]] = {
    "none": none,
    "asha": asha,
    "median": median,
}


def _best_at(histories: Sequence[History], epoch: int) -> list[float]:
    """The best value up to an epoch, of the trials that came to it."""
    return [max(history[:epoch]) for history in histories if len(history) >= epoch]

"""Which dimensions of a search's space matter, as Optuna's evaluators see it."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from typing import Any

from actrec.report.values import Dimension, Importances, Tried

FEWEST = 10  # complete trials; of fewer a forest says nothing
MOST = 200  # trials that are looked at: two seconds; a thousand take a quarter of a minute


def importances(space: Sequence[Dimension], tried: Sequence[Tried]) -> tuple[Importances, ...]:
    """By two methods, of the trials that ran to their end; of very many an even sample over their numbers.

    Sources: Hutter, Hoos & Leyton-Brown, "An efficient approach for assessing hyperparameter importance"
    (ICML 2014); Watanabe, Bansal & Hutter, "PED-ANOVA" (IJCAI 2023). fANOVA ranks dimensions that exist for
    every trial alone.
    """
    # Not above: they take longer to load than a page without a search to build.
    optuna: Any = importlib.import_module("optuna")
    evaluators: Any = importlib.import_module("optuna.importance")
    complete = [one for one in tried if one.is_complete and one.params]
    if len({one.value for one in complete}) < 2:  # nothing to explain
        return ()
    distributions = {dimension.path: _distribution(optuna, dimension) for dimension in space}
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it tells of every study
    try:
        study = optuna.create_study(direction="maximize")
        for one in _sample(complete):
            own = {path: distributions[path] for path in one.params}
            study.add_trial(optuna.create_trial(params=dict(one.params), distributions=own, value=one.value))
        methods = {
            "fANOVA": evaluators.FanovaImportanceEvaluator(seed=0),
            "PED-ANOVA": evaluators.PedAnovaImportanceEvaluator(),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental; few trials: the page says so itself
            found = {
                name: evaluators.get_param_importances(study, evaluator=method)
                for name, method in methods.items()
            }
    finally:
        optuna.logging.set_verbosity(level)
    return tuple(
        # Rounded: the last digits are those of a machine's sums.
        Importances(name, {path: round(float(share), 4) for path, share in shares.items()})
        for name, shares in found.items()
        if shares
    )


def _sample(tried: Sequence[Tried]) -> list[Tried]:
    """At most so many, evenly spread."""
    most = min(MOST, len(tried))
    return [tried[k * len(tried) // most] for k in range(most)]


def _distribution(optuna: Any, dimension: Dimension) -> Any:
    kinds = optuna.distributions
    if dimension.choices:
        return kinds.CategoricalDistribution(dimension.choices)
    if dimension.whole:
        return kinds.IntDistribution(
            int(dimension.low), int(dimension.high), log=dimension.log, step=int(dimension.step or 1)
        )
    return kinds.FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)

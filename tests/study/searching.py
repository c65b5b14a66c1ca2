"""A search whose trials are not trained but looked up: a smooth function of their specification."""

from __future__ import annotations

import json
import math
import random
from typing import Any

from actrec.errors import ModelError, SpecError
from actrec.spec import ModelSpec, OptimSpec, TrialSpec
from actrec.study.dimensions import Categorical, Dimension, Float, Int, When
from actrec.study.factors import Study
from actrec.study.plan import Trial, rehearse
from actrec.study.rounds import Round, current
from actrec.study.search import Search

Row = dict[str, Any]

BASE = TrialSpec(model=ModelSpec(name="frame_transformer"), optim=OptimSpec(epochs=9, lr=1e-3))
SPACE: dict[str, Dimension] = {
    # Before what it depends on, as people may write it.
    "freeze.k": Int(1, 3, when=When("freeze.strategy", ("first_k",))),
    "model.dropout": Float(0.0, 0.6),
    "optim.lr": Float(1e-4, 1e-2, log=True),
    "freeze.strategy": Categorical(("none", "first_k")),
    "augment": Categorical(("none", "hflip")),
}


def study(space: dict[str, Dimension] | None = None, base: TrialSpec = BASE, **search: Any) -> Study:
    given = {"trials": 12, **search}
    return Study(
        name="test", base=base, factors=(), seeds=(0, 1), search=Search(space=space or SPACE, **given)
    )


def value(spec: TrialSpec, epoch: int) -> float:
    """Best at lr = 10^-2.5 and dropout 0.3, without flips; more epochs are better."""
    assert spec.model.dropout is not None
    away = 0.1 * abs(math.log10(spec.optim.lr) + 2.5) + 0.2 * abs(spec.model.dropout - 0.3)
    return 0.9 - away - 0.2 * bool(spec.augment.hflip) - 0.02 * (spec.optim.epochs - epoch)


def row(trial: Trial) -> Row:
    """What the ledger has of a trial that was trained to its end, or to where it is stopped; of one that
    cannot be built, that it failed."""
    history: list[float] = []
    cutoffs, status = dict(trial.cutoffs), "ok"
    recorded = {
        "trial_id": trial.trial_id,
        "stage": trial.stage,
        "number": trial.number,
        "spec": json.dumps(trial.spec.to_dict()),
    }
    try:
        rehearse(trial.spec)
    except (SpecError, ModelError) as error:
        return recorded | {"status": "failed", "error": str(error), "val_top1": None, "history": []}
    for epoch in range(1, trial.spec.optim.epochs + 1):
        history.append(value(trial.spec, epoch))
        if max(history) < cutoffs.get(epoch, -math.inf):
            status = "pruned"
            break
    return recorded | {
        "status": status,
        "val_top1": history[-1],
        "trainable_params": 1000 * (1 + (trial.number or 0) % 3),
        "history": history,
    }


def play(made: Study, order: int = 0, rows: list[Row] | None = None) -> tuple[Round, list[Row]]:
    """Runs a study to its end, as a launch does: a search goes on in memory from the rows that there are, and
    each later round is asked of them. Trials in flight end in an order drawn from ``order``."""
    rng, rows = random.Random(order), [] if rows is None else rows
    while (now := current(made, rows)).pending:
        flight = now.growing or now
        while flight.pending:
            rows.append(row(rng.choice(flight.pending[: made.search.parallel if made.search else None])))
            if now.growing is None:
                break
            now.growing.update(rows[-1:])
    return now, rows

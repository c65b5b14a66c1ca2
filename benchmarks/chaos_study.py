"""What ``chaos.py`` kills, a study of 40 trials of a second each or a search and what it leads to; and how
the results of two runs of it differ."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from actrec.engine.progress import Display
from actrec.engine.run import RunOptions, load_manifest, run_study, with_data
from actrec.engine.search import STORAGE
from actrec.errors import ActrecError
from actrec.results.ledger import Ledger
from actrec.results.reader import LEDGER_TABLES
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.dimensions import Categorical, Float, Int, When
from actrec.study.factors import Factor, Study
from actrec.study.search import Search

SIDE_BY_SIDE = 2  # trials, on a large machine too
DIFFER = ("started", "ended", "seconds", "joules", "host")  # may differ between two runs of a trial
ORDER = {"trials": (), "epochs": ("epoch", "split", "metric"), "predictions": ("video_id",)}
BASE = TrialSpec(
    clip=ClipSpec(sampling="uniform", num_frames=4, height=16, width=16),
    model=ModelSpec(name="frame_transformer", width=16, layers=1, attention_heads=2),
    optim=OptimSpec(epochs=12, batch_size=8),
)
STUDIES = {
    # The reference, the placebo and six arms, each with five seeds.
    "study": Study(
        name="chaos",
        base=BASE,
        factors=(
            Factor("loss.class_weights", levels=("balanced", "sqrt", "effective"), baseline="none"),
            Factor("augment", levels=("hflip", "jitter"), baseline="none"),
            Factor("model.dropout", levels=(0.4,), baseline=0.1),
        ),
        seeds=(0, 1, 2, 3, 4),
    ),
    "search": Study(
        name="chaos_search",
        base=BASE,
        factors=(),
        search=Search(
            space={
                "loss.class_weights": Categorical(("none", "balanced", "sqrt")),
                "freeze.strategy": Categorical(("none", "first_k")),
                "freeze.k": Int(1, 2, when=When("freeze.strategy", ("first_k",))),
                "optim.lr": Float(1e-4, 3e-2, log=True),
            },
            trials=24,
            stopping="asha",
            confirm=2,
            confirm_seeds=2,
        ),
        seeds=(0, 1),
    ),
}


def drive(kind: str, workers: str, data: str, out: str) -> int:
    """Runs what is missing of a study; returns 0 once nothing is."""
    manifest = load_manifest(data)
    study = with_data(STUDIES[kind], data, manifest)
    # A checkpoint after every epoch, or trials of a second would never leave one to go on from.
    options = RunOptions(
        out=Path(out), workers=int(workers), address="local", checkpoint_s=0.0, max_concurrent=SIDE_BY_SIDE
    )
    try:
        with Display() as display:
            return run_study(study, manifest, options, display).missing
    except KeyboardInterrupt:
        return 130
    except ActrecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def trials_of(out: Path) -> tuple[dict[str, str], int]:
    """Trial id → all that the ledger has of it, as text; and how many trials are there more than once."""
    found: dict[str, list[str]] = {}
    count: Counter[str] = Counter()
    for name in LEDGER_TABLES:
        rows = Ledger(out).read(name).to_pylist()
        for row in sorted(rows, key=lambda row: tuple(str(row[key]) for key in ORDER[name])):
            found.setdefault(row["trial_id"], []).append(repr({**row, **dict.fromkeys(DIFFER)}))
            count[row["trial_id"]] += name == "trials"
    return {key: "\n".join(rows) for key, rows in found.items()}, sum(n > 1 for n in count.values())


def storage_of(out: Path) -> list[Any]:
    """Optuna's trials, where there was a search."""
    if not (out / STORAGE).exists():
        return []
    storage = JournalStorage(JournalFileBackend(str(out / STORAGE)))
    loaded = optuna.load_study(study_name=None, storage=storage)
    return [(t.number, t.state, t.params, t.values, t.intermediate_values) for t in loaded.trials]


def compare(whole: Path, broken: Path) -> dict[str, int]:
    """In how many trials two runs differ."""
    (expected, _), (found, duplicated) = trials_of(whole), trials_of(broken)
    return {
        "trials": len(expected),
        "lost": len(expected.keys() - found.keys()),
        "added": len(found.keys() - expected.keys()),
        "duplicated": duplicated,
        "differing": sum(expected[key] != found[key] for key in expected.keys() & found.keys()),
        "storage_differing": int(storage_of(whole) != storage_of(broken)),
    }

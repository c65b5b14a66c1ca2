"""Does it still work with 10,000 trials? Planning, the ledger, resuming and the report, each timed.

    python benchmarks/scale.py                     # about a minute on 2 cores

A study of 201 arms × 50 seeds on the built-in videos. Nothing is trained: the rows that its trials would have
left are made up, and go through the real code.

Prints one JSON object: seconds to plan (``plan_s``), to append every trial, one by one as they end
(``append_s``), to resume a driver that was killed with one trial to go (``resume_killed_s``: it plans, finds
the clip keys, checks and folds 10,000 parts and judges; all but training), to run the same command again when
all is done (``resume_done_s``), to read the tables (``read_s``), to write the report (``report_s``); its size
(``report_mb``), and the peak of this process's memory (``peak_memory_mb``).
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.console import Console

from actrec.data import synthetic
from actrec.data.manifest import Manifest
from actrec.engine.progress import Display
from actrec.engine.run import RunOptions, run_study, with_data
from actrec.errors import ClusterError
from actrec.report.page import build_report
from actrec.results.ledger import Ledger
from actrec.results.reader import LEDGER_TABLES
from actrec.seeding import numpy_rng
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.factors import Factor, Study
from actrec.study.plan import Trial
from actrec.study.rounds import current
from benchmarks.common import emit, parser, scratch

EPOCHS, TEST_VIDEOS, CLASSES = 15, 120, 10
NO_CLUSTER = "ray://nowhere:1"  # refused before anything is started: a launch up to there, and its end
T = TypeVar("T")


def study(seeds: int) -> Study:
    """200 arms and a placebo."""
    return Study(
        name="scale",
        base=TrialSpec(
            clip=ClipSpec(sampling="uniform", num_frames=8, height=32, width=32),
            model=ModelSpec(name="frame_transformer", motion=True),
            optim=OptimSpec(epochs=EPOCHS, batch_size=32),
        ),
        design="factorial",
        factors=(
            Factor("augment", levels=("hflip", "crop", "jitter", "erasing"), baseline="none"),
            Factor("model.dropout", levels=(0.0, 0.2, 0.3, 0.5), baseline=0.1),
            Factor("model.attention_heads", levels=(0,), baseline=4),
            Factor("loss.class_weights", levels=("balanced",), baseline="none"),
            Factor("optim.lr", levels=(2e-3,), baseline=1e-3),
        ),
        seeds=tuple(range(seeds)),
    )


Rows = tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]


def rows_of(trial: Trial) -> Rows:
    """What a trial leaves: its row, its epochs, its predictions."""
    rng, now = numpy_rng(trial.seed, "scale", trial.arm), datetime.now(UTC)
    top1 = float(np.clip(rng.normal(0.85, 0.03), 0, 1))
    row = {
        **{name: getattr(trial, name) for name in ("trial_id", "arm", "factor", "level", "seed")},
        **{f"test_{name}": top1 for name in ("top1", "top5", "macro_f1")},
        **dict.fromkeys(("epochs", "best_epoch"), EPOCHS),
        **dict.fromkeys(("started", "ended"), now),
        "status": "ok",
        "error": "",
        "test_loss": 1 - top1,
        "val_top1": top1,
        "n_test": TEST_VIDEOS,
        "seconds": 1.5,
        "clips_trained": 3300,
        "trainable_params": 10_000,
        "fingerprint": trial.trial_id,
        "host": "here",
        "workers": 1,
        "device": "cpu",
        "feed": "cache",
        "spec": json.dumps(trial.spec.to_dict(), sort_keys=True),
    }
    metrics = {"train": ("loss", "top1", "lr"), "val": ("loss", "top1", "top5", "macro_f1")}
    epochs = [
        {"epoch": epoch, "split": split, "metric": metric, "value": top1 * epoch / EPOCHS}
        for epoch in range(1, EPOCHS + 1)
        for split, names in metrics.items()
        for metric in names
    ]
    scores = rng.dirichlet(np.ones(CLASSES), TEST_VIDEOS).astype(np.float32).tolist()
    predictions = [
        {"video_id": f"v{n:03}", "group": f"g{n % 12}", "fold": 0, "label": n % CLASSES, "scores": each}
        for n, each in enumerate(scores)
    ]
    return row, epochs, predictions


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """(seconds, what the call returned)."""
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def append_all(ledger: Ledger, trials: Sequence[Trial]) -> float:
    """Seconds that the appends took, the making of their rows not counted."""
    seconds = 0.0
    for number, trial in enumerate(trials):
        rows = rows_of(trial)
        took, _ = timed(lambda rows=rows: ledger.append(*rows))  # type: ignore[misc]
        seconds += took
        if sys.stderr.isatty() and number % 500 == 0:
            print(f"appended {number} of {len(trials)}", file=sys.stderr)
    return seconds


def launch(made: Study, manifest: Manifest, out: Path) -> None:
    """The study's command again, as far as it goes without a cluster."""
    display = Display(Console(file=StringIO()))
    with contextlib.suppress(ClusterError):
        run_study(made, manifest, RunOptions(out=out, address=NO_CLUSTER), display)


def measure(seeds: int, folder: Path) -> Iterator[tuple[str, Any]]:
    """(key, figure) one after another."""
    path = synthetic.build(folder / "videos", videos=48, size=32, frames=(6, 10))
    manifest = Manifest.read(path)
    made = with_data(study(seeds), str(path), manifest)
    seconds, trials = timed(lambda: current(made, ()).trials)
    yield from {"trials": len(trials), "arms": len(made.arms), "plan_s": seconds}.items()

    out = folder / "out"
    ledger = Ledger(out)
    ledger.claim()
    yield "append_s", append_all(ledger, trials[:-1])
    yield "resume_killed_s", timed(lambda: launch(made, manifest, out))[0]
    ledger.claim()
    ledger.append(*rows_of(trials[-1]))
    yield "resume_done_s", timed(lambda: launch(made, manifest, out))[0]
    assert len(Ledger(out).finished()) == len(trials)
    yield "read_s", timed(lambda: [Ledger(out).read(name) for name in LEDGER_TABLES])[0]
    seconds, page = timed(lambda: build_report(out))
    yield from {"report_s": seconds, "report_mb": page.stat().st_size / 1e6}.items()
    yield "peak_memory_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, help="seeds an arm (default: 50; quick: 10)")
    options = arguments.parse_args()
    seeds = options.seeds or (10 if options.quick else 50)
    with scratch() as folder:
        emit(dict(measure(seeds, folder)))


if __name__ == "__main__":
    main()

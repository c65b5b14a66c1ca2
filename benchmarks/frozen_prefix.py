"""What sharing a frozen prefix gives: trials of a head alone, on stored features and on the clips.

    python benchmarks/frozen_prefix.py             # about 12 minutes on 2 cores; --quick: 6

I3D with Kinetics weights on UT-Interaction (6 classes × 20 videos, cut by group), clips of 16×112×112; both
lie in ``../shared/data``. Without them, R3D-18 from random weights on 120 of the built-in videos. 12 trials
that differ in their learning rate, 6 epochs each, one after another on one warm worker; fewer of them without
sharing, in the same run.

Prints one JSON object: ``shared_s`` and ``unshared_s``, the time of a trial after the first; ``ratio`` of the
second to the first; ``prefix_forwards``, clips that went through the shared stages, all trials together, and
``forwards_unshared``, what it would have been; ``whole_shared_s`` from the first decoded clip to the last
trial; ``loss_difference``, the largest between the test losses of a trial done both ways.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from actrec.data import synthetic
from actrec.data.build import build_manifest, list_videos, paths_to_probe
from actrec.data.manifest import Manifest
from actrec.data.probe import probe
from actrec.engine.cluster import connect
from actrec.engine.progress import Display
from actrec.engine.run import Outcome, RunOptions, run_study, with_data
from actrec.models import weights
from actrec.results.ledger import Ledger
from actrec.spec import ClipSpec, FreezeSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.factors import Factor, Study
from benchmarks.common import CORES, emit, parser, per_trial, scratch

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SEQUENCE = r"_(\d+)_\d+\.avi$"  # whose videos share people and scene
EPOCHS = 6
RATES = tuple(round(1e-3 * 1.2**number, 6) for number in range(1, 12))


def material(folder: Path) -> tuple[Path, ModelSpec]:
    """A manifest, and the model that reads its videos."""
    root = DATA / "ut_interaction"
    if not root.is_dir():
        return synthetic.build(folder / "videos", videos=120), ModelSpec(name="r3d_18")
    os.environ[weights.VARIABLE] = str(DATA / "weights")
    listing = list_videos(root, "folder", group_regex=SEQUENCE)
    probes = [probe(str(root / path)) for path in paths_to_probe(listing)]
    path = folder / "ut.parquet"
    build_manifest(root, "folder", listing, probes).write(path)
    return path, ModelSpec(name="i3d", weights="kinetics400")


def study(model: ModelSpec, trials: int) -> Study:
    """``trials`` trials that train the head alone."""
    base = TrialSpec(
        clip=ClipSpec(sampling="uniform", num_frames=16, height=112, width=112),
        model=model,
        freeze=FreezeSpec(strategy="head_only"),
        optim=OptimSpec(epochs=EPOCHS, batch_size=8),
    )
    rates = Factor("optim.lr", levels=RATES[: trials - 1], baseline=base.optim.lr)
    return Study(name="frozen_prefix", base=base, factors=(rates,), seeds=(0,), placebo=False)


def run(path: Path, made: Study, out: Path, share: bool) -> tuple[Outcome, dict[str, dict[str, Any]]]:
    """Runs a study; returns what it came to, and its trials by id."""
    manifest = Manifest.read(path)
    options = RunOptions(out=out, max_concurrent=1, share=share)
    outcome = run_study(with_data(made, str(path), manifest), manifest, options, Display())
    assert outcome.failed == 0, f"{outcome.failed} trials failed"
    return outcome, {row["trial_id"]: row for row in Ledger(out).read("trials").to_pylist()}


def seconds(trials: dict[str, dict[str, Any]]) -> float:
    """Of a trial after the first."""
    return per_trial([row["ended"].timestamp() for row in trials.values()], 1)


def main() -> None:
    arguments = parser(__doc__).parse_args()
    few = 2 if arguments.quick else 4
    with scratch() as folder:
        path, model = material(folder)  # first: Ray's processes have the environment of when it starts
        with connect("local", num_cpus=max(2, CORES)):
            start = time.perf_counter()
            outcome, shared = run(path, study(model, 1 + len(RATES)), folder / "shared", share=True)
            whole = time.perf_counter() - start
            _, unshared = run(path, study(model, few), folder / "unshared", share=False)
        manifest = Manifest.read(path)
    count = {split: len(manifest.column("video_id", split)) for split in ("train", "val", "test")}
    emit(
        {
            "ratio": seconds(unshared) / seconds(shared),
            "shared_s": seconds(shared),
            "unshared_s": seconds(unshared),
            "prefix_forwards": outcome.prefix_forwards,
            "forwards_unshared": len(shared) * (EPOCHS * (count["train"] + count["val"]) + count["test"]),
            "whole_shared_s": whole,
            "loss_difference": max(
                abs(row["test_loss"] - shared[trial_id]["test_loss"]) for trial_id, row in unshared.items()
            ),
            "trials": {"shared": len(shared), "unshared": len(unshared)},
            "model": model.name,
        }
    )


if __name__ == "__main__":
    main()

"""Studies that grow while they run, and what their designs leave, on a real Ray."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actrec.data import shards
from actrec.engine import sharing
from actrec.results import parquet
from actrec.results.ledger import Ledger
from actrec.study.factors import Factor, Study

pytestmark = pytest.mark.usefixtures("ray_session")

SMOOTHING = Factor("loss.label_smoothing", levels=(0.1,), baseline=0.0)
RATE = Factor("optim.lr", levels=(3e-3,), baseline=1e-3)
DIVERGING = Factor("optim.lr", levels=(1e35,), baseline=1e-3)


def test_an_open_verdict_gets_further_seeds_and_a_second_launch_none(
    small_study: Callable[..., Study], launch: Callable[..., Any]
) -> None:
    study = small_study(SMOOTHING, DIVERGING, seeds=(0, 1), optim__epochs=1)
    study = dataclasses.replace(study, max_seeds=4)
    first = launch(study)
    seeds: dict[str, list[int]] = {}
    for row in Ledger(first.out).read("trials").sort_by("seed").to_pylist():
        seeds.setdefault(row["arm"], []).append(row["seed"])
    # Two seeds of a model that has hardly learnt decide nothing: the arm and its baseline get more of them.
    assert set(seeds) == {"baseline", "loss.label_smoothing=0.1", "optim.lr=1e+35"}
    assert seeds["baseline"] == seeds["loss.label_smoothing=0.1"] == list(range(len(seeds["baseline"])))
    assert 2 < len(seeds["baseline"]) <= 4
    assert seeds["optim.lr=1e+35"] == [0, 1], "both failed, and so would others"
    assert "next round" in first.text
    record = json.loads((first.out / "study.json").read_text())
    assert record["looks"] == 3
    assert len(record["plan"]) == first.outcome.planned == first.outcome.ok + 2

    again = launch(study)
    assert "all trials are done already" in again.text
    assert again.outcome.planned == first.outcome.planned


def test_a_greedy_design_goes_on_from_what_validation_chose_and_reads_no_shard_twice(
    small_study: Callable[..., Study], launch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "START_FLOP", 0.0)
    plain, read = shards.is_whole, Counter[str]()

    def is_whole(folder: Path, number: int) -> bool:
        read[f"{folder.parent.name} {number}"] += 1
        return plain(folder, number)

    monkeypatch.setattr(shards, "is_whole", is_whole)
    study = small_study(SMOOTHING, RATE, seeds=(0,), freeze__strategy="head_only")
    study = dataclasses.replace(study, design="greedy_path")
    done = launch(study)
    assert done.outcome.prefix_forwards == 48
    assert done.text.count("next round") == 1
    assert not read, "what was made in this launch is known to be whole"
    assert done.text.count("videos ready") == 1
    record = json.loads((done.out / "study.json").read_text())
    # From the baseline to both changes, one after the other: 1 + 2 + 1 arms.
    assert done.outcome.ok == done.outcome.planned == 4
    assert record["path"][0] == "baseline"
    assert len(record["path"]) == 3


def test_a_factorial_leaves_its_contrasts(
    small_study: Callable[..., Study], launch: Callable[..., Any]
) -> None:
    study = dataclasses.replace(
        small_study(SMOOTHING, RATE, seeds=(0, 1), optim__epochs=1), design="factorial"
    )
    done = launch(study)
    (table,) = parquet.scan(done.out / "contrasts.parquet", "contrasts")
    found = {(row["kind"], row["metric"]) for row in table.to_pylist()}
    assert {("main", "top1"), ("interaction", "top1")} <= found

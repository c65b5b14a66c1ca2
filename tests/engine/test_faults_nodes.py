"""Nodes of a cluster that are lost and that join, as real Ray nodes on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.cluster_utils import Cluster

from benchmarks.gate import Gate
from tests.engine.swept import TRIALS, Start, check_same, ends, finished_trials, values, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
MakeCluster = Callable[[int], Cluster]


@pytest.fixture
def make_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeCluster]:
    """Starts a cluster whose head has so many CPUs. Its processes would disagree on a token in the home."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    clusters: list[Cluster] = []

    def make(num_cpus: int) -> Cluster:
        head = {"num_cpus": num_cpus, "include_dashboard": False}
        clusters.append(Cluster(initialize_head=True, head_node_args=head))
        return clusters[-1]

    yield make
    for cluster in clusters:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def trains(node: Any) -> bool:
    """Whether a trial's actor runs on that node."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return any(
        " ".join(child.cmdline()).startswith("ray::ResourceTrainable.train")
        for child in raylet.children()
        if child.is_running() and child.status() != psutil.STATUS_ZOMBIE
    )


def test_a_study_runs_on_a_cluster_of_several_nodes(
    start: Start, make_cluster: MakeCluster, tmp_path: Path
) -> None:
    # One worker of each trial on either node: a node has no room for two.
    cluster = make_cluster(1)
    cluster.add_node(num_cpus=1)
    options = ("--address", cluster.address, "--workers-per-trial", "2", "--epochs", "2")
    study = start(tmp_path / "out", *options)
    _, text = study.communicate()
    assert study.returncode == 0, text
    assert "1 at a time × 2 workers" in text
    assert {row["status"] for row in values(tmp_path / "out").values()} == {"ok"}
    assert len(values(tmp_path / "out")) == TRIALS
    assert not (tmp_path / "out" / ".ray").exists()


def test_lost_nodes_cost_nothing_but_time_and_one_that_joins_takes_their_place(
    start: Start, make_cluster: MakeCluster, gate: Gate, whole: Path, tmp_path: Path
) -> None:
    cluster = make_cluster(0)  # the head trains nothing
    first, second = cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)
    out = tmp_path / "out"
    gate.close(out, 1)
    study = start(out, "--address", cluster.address)
    wait_for("a trial", lambda: finished_trials(out) >= 1)
    wait_for("a trial on the first node", lambda: trains(first))
    cluster.remove_node(first, allow_graceful=False)
    before = finished_trials(out)
    gate.close(out, before + 1)
    wait_for("a trial on the other", lambda: finished_trials(out) > before)
    cluster.remove_node(second, allow_graceful=False)  # nowhere to train now
    kept = finished_trials(out)
    assert 2 <= kept < TRIALS
    third = cluster.add_node(num_cpus=1)
    wait_for("a trial on the node that joined", lambda: trains(third))
    gate.open()
    _, text = study.communicate()
    assert study.returncode == 0, text
    check_same(out, whole)


def test_a_driver_whose_own_node_is_lost_says_so_and_the_same_command_goes_on(
    start: Start, gate: Gate, tmp_path: Path
) -> None:
    out, options = tmp_path / "out", ("--address", "local")
    gate.close(out, 1)
    study = start(out, *options)
    wait_for("a trial", lambda: finished_trials(out) >= 1)
    (raylet,) = (child for child in psutil.Process(study.pid).children() if child.name() == "raylet")
    raylet.kill()
    _, text = study.communicate()
    gate.open()
    assert study.returncode == 2, text
    assert "the Ray node that this driver is on" in text
    lost = {key for key, row in values(out).items() if row["status"] != "ok"}
    kept = {key: end for key, end in ends(out).items() if key not in lost}
    assert 1 <= len(kept) < TRIALS
    again = start(out, *options)
    _, text = again.communicate()
    assert again.returncode == 0, text
    assert {row["status"] for row in values(out).values()} == {"ok"}
    assert len(values(out)) == TRIALS
    assert kept.items() <= ends(out).items(), "what was done is not done again"

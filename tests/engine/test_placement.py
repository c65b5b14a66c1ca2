"""Allocation is arithmetic: every value here is derived by hand."""

from __future__ import annotations

import pytest

from actrec.engine.placement import LEAST_CPUS, SUPERVISOR_CPUS, Allocation, allocate
from actrec.errors import PlacementError

LAPTOP = [{"CPU": 2.0}]
GPU_BOX = [{"CPU": 16.0, "GPU": 1.0}]
FLEET = [{"CPU": 8.0}, *[{"CPU": 8.0, "GPU": 4.0}] * 2]


def test_a_laptop_uses_both_cores_and_leaves_one_to_data() -> None:
    found = allocate(LAPTOP)
    assert (found.concurrent, found.threads) == (2, 1)
    # (2 cores − 1 for Data − 2 supervisors at 0.01) / 2 workers = 0.49
    assert found.cpus_per_worker == 0.49


def test_two_workers_share_one_trial() -> None:
    found = allocate(LAPTOP, workers=2)
    assert (found.concurrent, found.threads, found.cpus_per_worker) == (1, 1, 0.49)


def test_one_core_is_enough_but_not_for_a_stream() -> None:
    assert allocate([{"CPU": 1.0}]).cpus_per_worker == LEAST_CPUS
    with pytest.raises(PlacementError, match=r"--stream needs a node with a CPU to spare"):
        allocate([{"CPU": 1.0}], stream=True)
    assert allocate(LAPTOP, stream=True) == allocate(LAPTOP)


def test_gpus_are_taken_whole_by_default_and_packed_by_fraction() -> None:
    assert allocate(GPU_BOX) == Allocation(
        workers=1, gpus_per_worker=1.0, cpus_per_worker=1.0, concurrent=1, most_workers=1, threads=16
    )
    packed = allocate(GPU_BOX, gpus_per_worker=0.25)
    assert (packed.concurrent, packed.threads) == (4, 4)


@pytest.mark.parametrize("parts", [3, 5, 6, 7, 9, 10])
def test_a_fraction_fills_its_gpu_exactly(parts: int) -> None:
    assert allocate(GPU_BOX, gpus_per_worker=1 / parts).concurrent == parts


def test_nodes_without_gpus_run_no_gpu_worker() -> None:
    found = allocate(FLEET, workers=2)
    assert found.concurrent == 4  # 8 GPUs / 2
    # On a GPU node: (8 − 1 − 4 × 0.01) / 4 workers = 1.74, and a worker reserves at most one CPU.
    assert found.cpus_per_worker == 1.0


@pytest.mark.parametrize("nodes", [LAPTOP, GPU_BOX, FLEET])
@pytest.mark.parametrize("workers", [1, 2])
def test_every_node_keeps_a_core_for_data(nodes: list[dict[str, float]], workers: int) -> None:
    found = allocate(nodes, workers=workers, gpus_per_worker=0.0)
    for node in nodes:
        held = min(int(node["CPU"]), found.concurrent * workers)
        reserved = held * found.cpus_per_worker + found.concurrent * SUPERVISOR_CPUS
        assert reserved <= node["CPU"] - 1 + 1e-9


def test_what_else_uses_the_workers_devices_keeps_to_the_limit_on_trials() -> None:
    assert allocate(FLEET).most_workers == 8  # GPUs
    assert allocate(FLEET, trials=1).most_workers == 8, "of which one trial left uses one"
    assert allocate(FLEET, max_concurrent=3).most_workers == 3
    assert allocate(FLEET, workers=2, max_concurrent=3).most_workers == 6


def test_fewer_trials_get_more_threads() -> None:
    assert allocate([{"CPU": 8.0}], max_concurrent=2).threads == 4


def test_more_at_once_than_fit_is_as_many_as_fit() -> None:
    assert allocate(FLEET, max_concurrent=1000) == allocate(FLEET)


def test_a_resumed_study_has_the_threads_of_the_whole_one() -> None:
    whole, rest = allocate([{"CPU": 8.0}]), allocate([{"CPU": 8.0}], trials=1)
    assert (whole.concurrent, rest.concurrent) == (8, 1)
    assert whole.threads == rest.threads == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"workers": 4}, r"4 worker\(s\), one CPU each, but the cluster has 2 CPUs and 0 GPUs on 1 node"),
        ({"gpus_per_worker": 1.0}, r"1 worker\(s\) with 1 GPU each, but"),
        ({"max_concurrent": 0}, r"--max-concurrent 0: must be at least 1"),
        ({"workers": 0}, r"--workers-per-trial 0: must be at least 1"),
        ({"gpus_per_worker": 1.5}, r"--gpus-per-worker 1.5: must be between 0 and 1"),
        ({"gpus_per_worker": 0.5, "workers": 2}, r"the workers of one trial cannot share a GPU"),
        ({"gpus_per_worker": -1.0}, r"--gpus-per-worker -1"),
    ],
)
def test_what_can_never_run_is_refused_with_the_reason(asked: dict[str, float], message: str) -> None:
    with pytest.raises(PlacementError, match=message):
        allocate(LAPTOP, **asked)  # type: ignore[arg-type]


def test_the_choice_reads_well() -> None:
    assert str(allocate(LAPTOP)) == "2 at a time, 1 thread a worker"
    assert str(allocate(FLEET, workers=2)) == "4 at a time × 2 workers, 2 threads a worker, 1 GPU a worker"

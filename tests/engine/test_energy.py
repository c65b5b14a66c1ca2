"""What trials' devices took, from counters in a folder like Linux's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from actrec.data.clipset import ClipSet
from actrec.data.manifest import Manifest
from actrec.engine.energy import UNTOLD, Counter, Meter, counters_of, gpu, packages
from actrec.engine.fleet import Fleet
from actrec.engine.messages import EpochDone, RunEpoch
from actrec.engine.placement import Allocation, allocate
from actrec.engine.station import Source, Station
from actrec.engine.trainable import WorkerSetup
from actrec.engine.worker import Worker
from actrec.results.ledger import Ledger
from actrec.spec import trial_id
from actrec.study.factors import Study
from actrec.training.feed import CachedFeed, task_of
from tests.engine.one_trial import clip_set
from tests.engine.powercap import LIMIT, Counted, count, zone

CPU = torch.device("cpu")


def test_packages_are_added_up_and_their_parts_and_the_platform_are_not(tmp_path: Path) -> None:
    one = zone(tmp_path, "intel-rapl:0", "package-0", 5.0)
    core = zone(tmp_path, "intel-rapl:0:0", "core", 1.0)
    two = zone(tmp_path, "intel-rapl:1", "package-1", 7.0)
    platform = zone(tmp_path, "intel-rapl:2", "psys", 50.0)
    mirrored = zone(tmp_path, "intel-rapl-mmio:0", "package-0", 5.0)
    meter = Meter(packages(tmp_path))
    for folder, joules in ((one, 6.5), (core, 2.0), (two, 10.0), (platform, 90.0), (mirrored, 6.5)):
        count(folder, joules)
    assert meter.lap() == pytest.approx(1.5 + 3.0)
    assert meter.lap() == 0.0


def test_a_count_that_went_round_is_followed_as_long_as_it_is_polled_in_time(tmp_path: Path) -> None:
    folder = zone(tmp_path, "intel-rapl:0", "package-0", 900.0)
    meter = Meter(packages(tmp_path))
    for joules in (100.0, 800.0, 50.0):  # 100 to the limit and 100 more, 700, then 200 and 50
        count(folder, joules)
        meter.poll()
    assert meter.lap() == pytest.approx((LIMIT - 900 + 100) + 700 + (LIMIT - 800 + 50))


def test_a_count_that_never_goes_round_but_went_back_tells_nothing() -> None:
    counts = iter([5.0, 3.0, 4.0])
    meter = Meter([Counter(lambda: next(counts))])
    assert math.isnan(meter.lap())
    assert meter.lap() == 1.0


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    assert packages(tmp_path / "nothing") == (UNTOLD,)
    one, two = (zone(tmp_path, f"intel-rapl:{number}", f"package-{number}") for number in (0, 1))
    meter = Meter(packages(tmp_path))
    count(one, 3.0)
    (two / "energy_uj").write_text("")
    assert math.isnan(meter.lap())  # not the 3 J of the other package alone
    count(two, 0.0)
    assert math.isnan(meter.lap())  # what was missed is not known either
    count(one, 4.0)
    assert meter.lap() == pytest.approx(1.0)
    (one / "energy_uj").unlink()
    (one / "energy_uj").mkdir()  # reading it is refused, to root too
    assert math.isnan(meter.lap())


def test_only_a_device_of_its_own_tells_of_a_trial() -> None:
    assert counters_of(CPU, own=False, first_of_node=True) == (UNTOLD,)
    assert Meter(counters_of(CPU, own=True, first_of_node=False)).lap() == 0.0  # another worker counts
    laptop, box = [{"CPU": 2.0}], [{"CPU": 16.0, "GPU": 4.0}]
    assert not allocate(laptop).own_devices
    assert allocate(laptop, max_concurrent=1).own_devices
    assert allocate(laptop, workers=2).own_devices
    assert allocate(box).own_devices
    assert not allocate(box, gpus_per_worker=0.5).own_devices
    assert not allocate(box, gpus_per_worker=0.5, max_concurrent=1).own_devices
    assert not allocate(box, gpus_per_worker=0.0).own_devices


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_driver_no_gpu_tells() -> None:
    assert gpu(torch.device("cuda", 0)) == UNTOLD


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_tells_what_it_took() -> None:
    device = torch.device("cuda", 0)
    counter = gpu(device)
    assert counter != UNTOLD, "NVML has no energy counter for this GPU (before Volta, or in slices)"
    meter, values = Meter([counter]), torch.ones(4096, 4096, device=device)
    for _ in range(300):  # 40 TFLOP, which no GPU does within one update of its counter
        values = torch.tanh(values @ values)
    torch.cuda.synchronize(device)
    assert 0 < meter.lap() < 1e6


@pytest.fixture
def clips(manifest: Manifest, small_study: Callable[..., Study], tmp_path: Path) -> ClipSet:
    return clip_set(manifest, small_study().base, tmp_path)


def test_a_trials_energy_adds_up_over_its_epochs_and_a_resume(
    manifest: Manifest, small_study: Callable[..., Study], clips: ClipSet, tmp_path: Path
) -> None:
    spec = small_study(optim__epochs=4).base
    given = RunEpoch(trial_id(spec), spec.to_dict(), clips.folder, manifest.class_names)
    package = zone(tmp_path / "powercap", "intel-rapl:0", "package-0")

    def worker(folder: Path, meter: Meter | None) -> Worker:
        groups = dict(zip(clips.video_ids, clips.groups, strict=True))
        source = Source(CachedFeed(clips), task_of(clips, manifest.class_names), groups)
        station = Station(folder, Ledger(folder).claim(), checkpoint_s=0.0)
        return Worker(station, lambda command: source, meter=meter)

    def epoch(handler: Worker) -> EpochDone:
        answer = handler(given)
        assert isinstance(answer, EpochDone)
        return answer

    first = worker(tmp_path / "out", Meter(packages(tmp_path / "powercap")))
    count(package, 100.0)  # before the trial
    epoch(first)
    count(package, 110.0)
    epoch(first)  # 10 J, and it is saved
    count(package, 500.0)
    again = worker(tmp_path / "out", Meter(packages(tmp_path / "powercap")))  # the first one is dead
    count(package, 600.0)  # while nobody trained
    assert epoch(again).epoch == 3
    count(package, 607.0)
    last = epoch(again)
    assert last.result is not None
    assert last.result.trial["joules"] == pytest.approx(10.0 + 7.0)

    # An epoch that nobody metered is not known, whoever goes on from it.
    epoch(worker(tmp_path / "other", None))
    later = worker(tmp_path / "other", Meter(packages(tmp_path / "powercap")))
    *_, last = (epoch(later) for _ in range(3))
    assert last.result is not None
    assert last.result.trial["joules"] is None


@pytest.mark.usefixtures("ray_session")
def test_workers_of_one_node_count_its_cpus_once(
    manifest: Manifest, small_study: Callable[..., Study], clips: ClipSet, tmp_path: Path
) -> None:
    spec = small_study().base
    given = RunEpoch(trial_id(spec), spec.to_dict(), clips.folder, manifest.class_names)
    package = zone(tmp_path / "powercap", "intel-rapl:0", "package-0")
    allocation = Allocation(
        workers=2, gpus_per_worker=0.0, cpus_per_worker=0.4, concurrent=1, most_workers=2, threads=1
    )
    station = Station(tmp_path / "out", Ledger(tmp_path / "out").claim())
    setup = Counted(WorkerSetup(station, {}, gpu=False, own=allocation.own_devices), tmp_path / "powercap")
    fleet = Fleet("counted", allocation, setup, tmp_path / "ray")
    try:
        fleet.ask(given)
        count(package, 12.0)
        answer = fleet.ask(given)[0]
    finally:
        fleet.stop()
    assert isinstance(answer, EpochDone)
    assert answer.result is not None
    assert answer.result.trial["joules"] == pytest.approx(12.0)

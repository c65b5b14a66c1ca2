"""What a trial's devices took, as their own counters tell. No Ray in here.

A counter is of a whole device, idling included. So it tells of a trial only where that has the device to
itself (:attr:`~actrec.engine.placement.Allocation.own_devices`); what other programs do on the device is in
it. Elsewhere, and where a device has no counter that this process may read, the energy is not known: it is
never estimated. What is not known is nan, which makes every sum with it nan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True)
class Counter:
    """A device's count of what it has taken since some moment.

    Attributes:
        read: gives the count in joules; nan where it cannot be read.
        limit: the joules at which it begins again at 0; nan where it never does, so that a count which went
            back tells nothing.
    """

    read: Callable[[], float]
    limit: float = math.nan


UNTOLD = Counter(lambda: math.nan)


class Meter:
    """Adds up what counters move by.

    Args:
        counters: of the devices that are counted here; without any it tells 0 J.
    """

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._counters = tuple(counters)
        self._counts = [counter.read() for counter in counters]
        self._taken = 0.0

    def poll(self) -> None:
        """Reads every counter. To be called at least once in the time in which one goes round, which of a CPU
        under full load is minutes."""
        for place, counter in enumerate(self._counters):
            count = counter.read()
            moved = count - self._counts[place]
            self._taken += moved + counter.limit if moved < 0 else moved
            self._counts[place] = count

    def lap(self) -> float:
        """Joules since the last lap, or since the meter was made; nan where a device does not tell."""
        self.poll()
        taken, self._taken = self._taken, 0.0
        return taken


def counters_of(device: torch.device, *, own: bool, first_of_node: bool) -> tuple[Counter, ...]:
    """The counters of what one worker of a trial computes on.

    Args:
        own: whether the trial has its devices to itself.
        first_of_node: of the trial's workers on its node, that one which counts the node's CPUs.
    """
    if not own:
        return (UNTOLD,)
    if device.type == "cuda":
        return (gpu(device),)
    return packages(POWERCAP) if first_of_node else ()


def gpu(device: torch.device) -> Counter:
    """That of an NVIDIA GPU (Volta or later) with its memory: NVML's nvmlDeviceGetTotalEnergyConsumption,
    millijoules since the driver was loaded, brought up to date several times a second.

    Slices of a GPU (MIG) have none of their own.
    """
    try:
        from cuda.bindings import nvml  # comes with torch for CUDA; other builds lack it
    except ImportError:
        return UNTOLD
    try:
        nvml.init_v2()
        # By its UUID: NVML numbers GPUs otherwise than CUDA does.
        handle = nvml.device_get_handle_by_uuid(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        if _is_sliced(nvml, handle):
            return UNTOLD
    except (nvml.NvmlError, RuntimeError):  # no driver, or no such GPU
        return UNTOLD

    def read() -> float:
        try:
            return float(nvml.device_get_total_energy_consumption(handle)) / 1e3
        except (nvml.NvmlError, RuntimeError):  # as above; or the driver is older than this function
            return math.nan

    return Counter(read)


def _is_sliced(nvml: Any, handle: int) -> bool:
    try:
        current, _ = nvml.device_get_mig_mode(handle)
    except nvml.NotSupportedError:  # a GPU that has no slices
        return False
    return bool(current)


def packages(root: Path) -> tuple[Counter, ...]:
    """Those of this machine's CPU packages, memory modules not included: RAPL (Intel, AMD) as Linux has it.

    By https://docs.kernel.org/power/powercap/powercap.html each counts microjoules up to a limit. Most
    systems let only root read them.
    """
    zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _is_package(zone)]
    return tuple(_package(zone) for zone in zones) or (UNTOLD,)


def _is_package(zone: Path) -> bool:
    """Whether a zone is a package, and neither a part of one nor the whole platform."""
    try:
        return (zone / "name").read_text().startswith("package-")
    except OSError:
        return False


def _package(zone: Path) -> Counter:
    return Counter(lambda: _joules(zone / "energy_uj"), limit=_joules(zone / "max_energy_range_uj"))


def _joules(file: Path) -> float:
    """The number of microjoules in a file; nan where it cannot be read."""
    try:
        return int(file.read_text()) / 1e6
    except (OSError, ValueError):
        return math.nan

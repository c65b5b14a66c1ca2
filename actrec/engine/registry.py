"""Placement groups of warm worker groups, so that those of a killed trial actor are given back."""

from __future__ import annotations

import contextlib
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.util.placement_group import PlacementGroup, remove_placement_group


class GroupRegistry:
    """Runs as an actor of the driver's. Ray Train cleans up after a dead owner only where the dashboard's
    state API runs; elsewhere its group keeps its CPUs for good, and two kills stop a sweep on two cores."""

    def __init__(self) -> None:
        self._groups: list[tuple[ActorHandle[Any], PlacementGroup, Any]] = []

    def register(self, owner: ActorHandle[Any], group: PlacementGroup) -> None:
        """Notes that ``group`` must not outlive ``owner``."""
        self._groups.append((owner, group, owner.__ray_ready__.remote()))

    def sweep(self) -> int:
        """Removes the groups of dead owners; returns how many.

        A ping waits behind whatever its owner is busy with, and fails at once when the owner dies: so one
        that is still under way says that the owner lives.
        """
        kept, removed = [], 0
        for owner, group, ping in self._groups:
            ready, _ = ray.wait([ping], timeout=0)
            if ready:
                try:
                    ray.get(ping)
                except ray.exceptions.RayActorError:
                    with contextlib.suppress(Exception):  # it may be gone already
                        remove_placement_group(group)
                    removed += 1
                    continue
                ping = owner.__ray_ready__.remote()
            kept.append((owner, group, ping))
        self._groups = kept
        return removed

    def held(self) -> int:
        """How many groups are registered."""
        return len(self._groups)

"""What Ray Tune runs: one actor that goes from trial to trial with its workers kept warm."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.actor import ActorHandle

from actrec.engine.cache import open_clips
from actrec.engine.energy import Meter, counters_of
from actrec.engine.features import open_features
from actrec.engine.fleet import Fleet, Handler, Setup
from actrec.engine.mailbox import Post
from actrec.engine.messages import EpochDone, Failure, RunEpoch
from actrec.engine.placement import Allocation
from actrec.engine.station import Source, Station
from actrec.engine.stream import Stream
from actrec.engine.worker import Worker
from actrec.training.feed import CachedFeed, task_of

STEP_S = 1.0  # between two answers to Tune: each costs the worker a wait, and the driver some CPU
AHEAD = 2  # batches that are gathered while others are trained on
# Keys of a Tune result, beside plain numbers.
RESULT, FAILURE, UNDECODABLE = "actrec_result", "actrec_failure", "actrec_undecodable"
HISTORY, NOTES = "actrec_history", "actrec_notes"


@dataclass(frozen=True, slots=True)
class Settings:
    """What every trial of a study shares. Travels to each actor once.

    ``commands`` has every trial's, by its id: Tune itself is given the ids alone. Those of a search are not
    known yet: they come with each trial, in its configuration.
    ``streams`` has the clip sets that are streamed, by their folder; where it is empty, clips come from the
    cache. ``workers`` makes what carries out a worker's commands; None: :class:`WorkerSetup`, which trains.
    """

    study: str
    commands: Mapping[str, RunEpoch]
    station: Station
    allocation: Allocation
    storage: Path
    registry: ActorHandle[Any] | None = None
    streams: Mapping[Path, Stream] = field(default_factory=dict)
    workers: Setup | None = None

    @property
    def setup(self) -> Setup:
        gpu = bool(self.allocation.gpus_per_worker)
        own = self.allocation.own_devices
        return self.workers or WorkerSetup(self.station, self.streams, gpu, own)


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """Makes the handler of one training worker, in its own process. ``own``: its trial has its devices to
    itself, so that what they take is the trial's."""

    station: Station
    streams: Mapping[Path, Stream]
    gpu: bool
    own: bool = False

    def __call__(self, rank: int, world_size: int, post: Post) -> Handler:
        # Not by what torch sees: a worker that was given no GPU may see them all.
        device = ray.train.torch.get_device() if self.gpu else torch.device("cpu")
        first_of_node = ray.train.get_context().get_local_rank() == 0

        def open_source(command: RunEpoch) -> Source:
            if command.clips in self.streams:
                return self.streams[command.clips].source(rank, world_size)
            clips = open_clips(command.clips)
            if command.splits:
                clips = clips.with_splits(command.splits)
            features = open_features(command.features) if command.features else None
            return Source(
                CachedFeed(clips, rank, world_size, features, AHEAD, pinned=self.gpu),
                task_of(clips, command.class_names),
                dict(zip(clips.video_ids, clips.groups, strict=True)),
                first=features.stages if features else 0,
                prefix=features.folder.name if features else "",
            )

        return Worker(
            self.station,
            open_source,
            rank=rank,
            world_size=world_size,
            device=device,
            beat=lambda: post.beat(rank),
            meter=Meter(counters_of(device, own=self.own, first_of_node=first_of_node)),
        )


class WarmTrial(tune.Trainable):
    """One step is an epoch or more. A trial's own failure is a result; only lost workers raise, since Tune
    does not keep an actor that raised, and its cold start costs more than most trials."""

    settings: Settings  # given by a subclass, which a sweep makes

    def setup(self, config: dict[str, Any]) -> None:
        settings = self.settings
        self._commands = settings.commands
        self._command = self._commanded(config)
        streams = settings.streams.values()
        workers = settings.allocation.workers
        context = ray.get_runtime_context()
        self._fleet = Fleet(
            name=f"{settings.study}-{context.get_actor_id()}",
            allocation=settings.allocation,
            setup=settings.setup,
            storage=settings.storage,
            datasets={name: data for stream in streams for name, data in stream.datasets(workers).items()},
            registry=settings.registry,
            owner=context.current_actor,
            stall_s=settings.station.stall_s,
        )
        self._fleet.start()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._command = self._commanded(new_config)
        return True

    def _commanded(self, config: dict[str, Any]) -> RunEpoch:
        command: RunEpoch = config.get("command") or self._commands[config["trial"]]
        return command

    def step(self) -> dict[str, Any]:
        """Trains epochs for about ``STEP_S`` seconds, or to the trial's end."""
        command, until = self._command, time.monotonic() + STEP_S
        history: list[dict[str, float]] = []
        clips: list[int] = []
        notes: list[str] = []
        decoded, undecodable = 0, dict[str, str]()
        while True:
            answers = self._fleet.ask(command)
            failures = [answer for answer in answers.values() if isinstance(answer, Failure)]
            if failures:  # with what the epochs before it in this step found
                found = {"decoded": decoded, UNDECODABLE: undecodable}
                return {"done": True, FAILURE: failures[0], **found}
            answer: EpochDone = answers[0]
            clips.append(answer.clips)
            history.append({"epoch": answer.epoch, **answer.metrics})
            for each in answers.values():
                decoded += each.decoded
                undecodable |= each.undecodable
                notes += each.notes
            if answer.result is not None or time.monotonic() >= until:
                break
        return {
            "done": answer.result is not None,
            "epoch": answer.epoch,
            "epochs": answer.epochs,
            "clips": clips,
            "decoded": decoded,
            UNDECODABLE: undecodable,
            HISTORY: history,
            NOTES: notes,
            RESULT: answer.result,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: workers keep their own checkpoints, by trial id, which any later actor finds."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: see :meth:`save_checkpoint`."""

    def cleanup(self) -> None:
        self._fleet.stop()

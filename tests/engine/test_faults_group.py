"""What befalls one worker of a group, which the others must agree on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actrec.data.clipset import ClipSet
from actrec.data.manifest import Manifest
from actrec.engine.fleet import Fleet, Handler
from actrec.engine.mailbox import Post
from actrec.engine.messages import EpochDone, RunEpoch, TrialResult
from actrec.engine.placement import Allocation
from actrec.engine.station import Source, Station
from actrec.engine.trainable import WorkerSetup
from actrec.engine.worker import Worker
from actrec.results.ledger import Ledger
from actrec.spec import TrialSpec, override, trial_id
from actrec.study.factors import Study
from actrec.training.feed import CachedFeed, task_of
from tests.engine.one_trial import clip_set, essence
from tests.engine.short_of_memory import ShortOfMemory

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.mark.usefixtures("ray_session")
def test_a_group_halves_its_batch_together_when_one_worker_is_short_of_memory(
    small_study: Callable[..., Study], manifest: Manifest, tmp_path: Path
) -> None:
    spec = small_study(optim__epochs=3, optim__batch_size=16).base
    clips = clip_set(manifest, spec, tmp_path)
    station = Station(tmp_path, Ledger(tmp_path).claim(), checkpoint_s=0.0, halve_batch=True)
    allocation = Allocation(
        workers=2, gpus_per_worker=0.0, cpus_per_worker=0.4, concurrent=1, most_workers=2, threads=1
    )
    setup = ShortOfMemory(WorkerSetup(station, {}, gpu=False), most=4)  # of 16 each worker takes 8, of 8 4
    fleet = Fleet("short", allocation, setup, tmp_path / "ray")
    told: list[str] = []

    def train(given: TrialSpec) -> TrialResult:
        while True:
            command = RunEpoch(trial_id(given), given.to_dict(), clips.folder, manifest.class_names)
            answer = fleet.ask(command)[0]
            assert isinstance(answer, EpochDone), answer
            told.extend(answer.notes)
            if answer.result is not None:
                return answer.result

    try:
        halved, asked = train(spec), train(override(spec, {"optim.batch_size": 8}))
    finally:
        fleet.stop()
    assert told == [f"trial {trial_id(spec)} ran out of memory: its batch size is now 8"]
    assert halved.trial["batch_size"] == 8
    assert essence(halved) == essence(asked)


@pytest.mark.usefixtures("ray_session")
def test_a_group_embeds_nothing_where_one_worker_cannot_open_the_sample(
    small_study: Callable[..., Study], manifest: Manifest, tmp_path: Path
) -> None:
    spec = small_study(optim__epochs=1).base
    folder = clip_set(manifest, spec, tmp_path).folder
    station = Station(tmp_path, Ledger(tmp_path).claim())
    allocation = Allocation(
        workers=2, gpus_per_worker=0.0, cpus_per_worker=0.4, concurrent=1, most_workers=2, threads=1
    )

    def setup(rank: int, world_size: int, post: Post) -> Handler:
        def open_feed(clips: Path) -> CachedFeed:
            return CachedFeed(ClipSet.open(clips), rank, world_size)

        def open_source(command: RunEpoch) -> Source:
            feed = open_feed(folder)
            groups = dict(zip(feed.clips.video_ids, feed.clips.groups, strict=True))
            task = task_of(feed.clips, command.class_names)
            sample = folder if rank == 0 else tmp_path / "gone"
            return Source(feed, task, groups, sample=lambda: open_feed(sample))

        return Worker(station, open_source, rank=rank, world_size=world_size)

    fleet = Fleet("sampled", allocation, setup, tmp_path / "ray")
    command = RunEpoch(trial_id(spec), spec.to_dict(), folder, manifest.class_names, embed=True)
    try:
        answers = fleet.ask(command)
    finally:
        fleet.stop()
    for rank in (0, 1):
        answer = answers[rank]
        assert isinstance(answer, EpochDone), answer
        assert answer.result is not None
        assert answer.result.embeddings == ()
        assert len(answer.notes) == rank

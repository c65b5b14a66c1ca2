"""One trial on one worker without Ray, as a process of its own, for tests that do it harm.

``python one_trial.py '{"spec": {…}, "clips": DIR, "folder": DIR, …}'`` prints what came of it as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from actrec.data import clipset
from actrec.data.clipset import ClipSet
from actrec.data.manifest import Manifest
from actrec.engine.cache import clip_keys, videos_of
from actrec.engine.messages import EpochDone, Failure, RunEpoch, TrialResult
from actrec.engine.station import Source, Station
from actrec.engine.worker import Worker
from actrec.results.ledger import Ledger
from actrec.spec import TrialSpec, override, trial_id
from actrec.training.feed import CachedFeed, task_of


def clip_set(manifest: Manifest, spec: TrialSpec, root: Path) -> ClipSet:
    """The clips of a trial, decoded here."""
    key = clip_keys(manifest, [spec], root)[0]
    shards = clipset.cut_into_shards(videos_of(key.manifest), key.clip)
    clipset.begin(key.folder, key.clip, {})
    for number, part in enumerate(shards):
        clipset.write_shard(key.folder, number, part, key.clip)
    clipset.finish(key.folder, shards)
    return ClipSet.open(key.folder)


def essence(result: TrialResult) -> str:
    """All of a result that must repeat, to the last bit."""
    trial = {name: value for name, value in result.trial.items() if name not in ("seconds", "joules", "host")}
    return json.dumps([trial, result.epochs, result.predictions], sort_keys=True)


def handler(clips: ClipSet, folder: Path, **station: Any) -> Worker:
    def open_source(given: RunEpoch) -> Source:
        groups = dict(zip(clips.video_ids, clips.groups, strict=True))
        return Source(CachedFeed(clips), task_of(clips, given.class_names), groups)

    return Worker(Station(folder, Ledger(folder).claim(), checkpoint_s=0.0, **station), open_source)


def headroom(megabytes: int) -> None:
    """Lets this process map so much more memory, and no more."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(
    spec: dict[str, Any],
    clips: str,
    folder: str,
    class_names: list[str],
    station: dict[str, Any] | None = None,
    headroom_mb: int = 0,
    die_after: int = 0,
) -> dict[str, Any]:
    """Trains the trial. ``die_after`` so many epochs the process kills itself, as nothing can stop."""
    opened = ClipSet.open(Path(clips))
    given = TrialSpec.from_dict(spec)
    work = handler(opened, Path(folder), **(station or {}))
    if headroom_mb:  # after a first trial of small batches: libraries map memory when they are first used
        small = override(given, {"optim.batch_size": 1, "optim.epochs": 1})
        work(RunEpoch(trial_id(small), small.to_dict(), opened.folder, tuple(class_names)))
        headroom(headroom_mb)
    notes: list[str] = []
    while True:
        answer = work(RunEpoch(trial_id(given), spec, opened.folder, tuple(class_names)))
        if isinstance(answer, Failure):
            return {"error": answer.error, "notes": notes}
        assert isinstance(answer, EpochDone)
        notes += answer.notes
        if answer.result is not None:
            seconds = answer.result.trial["seconds"]
            return {"essence": essence(answer.result), "notes": notes, "seconds": seconds}
        if answer.epoch == die_after:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))

"""What trials read, made ready before they start: clips decoded, or streamed; features of frozen stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from actrec.data.sets import Hold, room_after_eviction
from actrec.engine import cache, features, sample, sharing
from actrec.engine.cache import ClipKey, Filled
from actrec.engine.placement import Allocation
from actrec.engine.progress import Display
from actrec.engine.stream import Stream
from actrec.study.plan import Trial

Feed = Literal["cache", "stream"]


@dataclass
class Supply:
    """What was made ready in one launch; held against eviction until :meth:`release`.

    Attributes:
        folder: the study's.
        shares: whether each prefix is shared, by the names of the features' folders, as decided in this
            launch of the study or an earlier one.
        forwards: clips that were sent through shared frozen stages.
        decisions: what was decided on sharing in this one, a sentence each.
        streams: clip sets that are streamed, by their folder.
        features: the feature sets that were chosen, by their folders; complete.
    """

    display: Display
    folder: Path
    shares: dict[str, bool] = field(default_factory=dict)
    forwards: int = 0
    decisions: list[str] = field(default_factory=list)
    streams: Mapping[Path, Stream] = field(default_factory=dict)
    features: set[Path] = field(default_factory=set)
    _sizes: dict[Path, int] = field(default_factory=dict)  # of each clip set, in videos
    _whole: set[Path] = field(default_factory=set)  # clip sets that are decoded and checked
    _decoded: int = 0
    _undecodable: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    _holds: list[Hold] = field(default_factory=list)
    _sharing: sharing.Finder = field(default_factory=sharing.Finder)

    @property
    def filled(self) -> Filled:
        """What was decoded, over all rounds."""
        videos, broken = sum(self._sizes.values()), tuple(self._undecodable.values())
        return Filled(len(self._sizes), videos, self._decoded, broken)

    def release(self) -> None:
        for hold in self._holds:
            hold.release()
        self._holds.clear()

    def decode(self, keys: Sequence[ClipKey], feed: Feed, shown: Sequence[ClipKey] = ()) -> None:
        """Fills the clip cache; of a stream, only samples are decoded.

        A set is read through and checked once a launch; held from then on, later rounds take it as it is.

        Args:
            shown: those that samples are needed of, if clips are streamed.

        Raises:
            DataError: if clips cannot be decoded or kept.
        """
        keys = list({key.folder: key for key in keys}.values())
        self._sizes |= {key.folder: len(key.videos) for key in keys}
        if feed == "stream":
            shown = list({key.folder: key for key in shown}.values())
            showing = partial(self.display.update, "videos to show decoded")
            self._note(sample.decode(self.folder, shown, showing, self.display.say), ())
            self.streams = {
                key.folder: Stream(
                    key.folder.name,
                    key.clip,
                    key.manifest.class_names,
                    key.videos,
                    sample.of(self.folder, key),
                )
                for key in keys
            }
            return
        new = [key for key in keys if key.folder not in self._whole]
        if not new:
            return
        holds = cache.reserve(new, cache.cache_root(), self.display.say)
        self._holds += holds
        now = cache.fill(new, partial(self.display.update, "videos decoded"), self.display.say)
        _done(holds)
        self._whole |= {key.folder for key in new}
        self._note(now.decoded, now.undecodable)
        ways = f" ({now.videos // now.clip_keys} videos × {now.clip_keys} ways of reading them)"
        self.display.say(
            f"{now.videos} videos ready{ways if now.clip_keys > 1 else ''}: "
            f"{now.decoded} decoded now, {now.reused} from the cache"
        )

    def share(
        self,
        trials: Sequence[Trial],
        pending: Sequence[Trial],
        keys: Mapping[str, ClipKey],
        allocation: Allocation,
    ) -> None:
        """Computes what pending trials share of their frozen stages.

        Raises:
            DataError: if features cannot be computed or kept.
        """
        found = self._found(trials, pending, keys, allocation)
        if found and self.streams:
            names = ", ".join(dict.fromkeys(one.name for one in found))
            self.display.say(f"note: streamed, {names} are computed anew in every epoch of every trial")
            return
        chosen, lines = sharing.decide(found, keys, self.shares)
        self.shares |= {one.folder.name: one in chosen for one in found}
        for line in lines:
            self.display.say(line)
        self.decisions += lines
        new = [one for one in chosen if one.folder not in self.features]  # the others were checked
        holds = features.reserve(new, self.display.say)
        self._holds += holds
        done = 0
        for clips, total in features.compute(new, allocation):
            done += clips
            self.display.update("clips through frozen stages", done, total)
        _done(holds)
        self.forwards += done
        self.features |= {one.folder for one in new}

    def leave_unshared(
        self,
        trials: Sequence[Trial],
        pending: Sequence[Trial],
        keys: Mapping[str, ClipKey],
        allocation: Allocation,
    ) -> None:
        """Notes that what pending trials could share is not, so that later launches do not share it either.

        What was shared before goes on to be so in those.
        """
        if not self.streams:
            for one in self._found(trials, pending, keys, allocation):
                self.shares.setdefault(one.folder.name, False)

    def _found(
        self,
        trials: Sequence[Trial],
        pending: Sequence[Trial],
        keys: Mapping[str, ClipKey],
        allocation: Allocation,
    ) -> list[sharing.Sharing]:
        """The prefixes that pending trials have, each with all its trials."""
        wanted = {trial.trial_id for trial in pending}
        found = self._sharing.find(trials, keys, _device(allocation))
        return [one for one in found if not wanted.isdisjoint(trial.trial_id for trial in one.trials)]

    def features_of(self, trial: Trial, key: ClipKey, allocation: Allocation) -> Path | None:
        """The feature set that a trial trains on, if there is one for it."""
        if not self.shares:
            return None
        found = self._sharing.find([trial], {trial.trial_id: key}, _device(allocation))
        for one in found:  # a search may propose what nobody expected
            self.shares.setdefault(one.folder.name, False)
        return next((one.folder for one in found if one.folder in self.features), None)

    def streamed(self, decoded: int, undecodable: Mapping[str, str]) -> None:
        """Takes note of what streams decoded, and of the videos that did not decode (id → reason)."""
        paths = {video.video_id: video.path for stream in self.streams.values() for video in stream.videos}
        self._note(decoded, [(name, paths[name], why) for name, why in sorted(undecodable.items())])

    def _note(self, decoded: int, undecodable: Sequence[tuple[str, str, str]]) -> None:
        self._decoded += decoded
        self._undecodable |= {video[0]: video for video in undecodable}


def _device(allocation: Allocation) -> Literal["cpu", "cuda"]:
    return "cuda" if allocation.gpus_per_worker else "cpu"


def choose_feed(keys: Sequence[ClipKey], earlier: Feed | None, display: Display) -> Feed:
    """Whether clips are kept or streamed, where the user does not say; a stream is told, with the reason.

    Args:
        earlier: what fed the study's earlier trials.
    """
    keys = list({key.folder: key for key in keys}.values())
    room = room_after_eviction(cache.cache_root(), keep=frozenset(key.folder for key in keys))
    feed, why = cache.choose_feed(cache.bytes_needed(keys), room, earlier)
    if feed == "stream":
        display.say(f"note: {why}")
    return feed


def _done(holds: Sequence[Hold]) -> None:
    """The sets are there, and take what they take: videos that do not decode were reserved for too."""
    for hold in holds:
        hold.reserve(0)

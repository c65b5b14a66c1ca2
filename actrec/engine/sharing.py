"""Which trials of a plan share a frozen prefix, and whether that pays.

A prefix is shared if the arithmetic that this saves, over all epochs of all the trials of the plan that have
it, is worth the start, and if the cache can take its features. That is decided once for each prefix of a
study, whatever rounds and launches come later: the last digits of a trial depend on it, and plans grow, and
disks fill. Under ``--no-share`` it is decided so too: what such a launch trains first is not shared later.
A later launch with that option keeps to it for what it trains, and to no other decision.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

from actrec.data.sets import lacking, room_after_eviction, size_text
from actrec.data.storage import cache_root
from actrec.engine.cache import ClipKey, open_where_it_lies
from actrec.errors import ActrecError
from actrec.spec import TrialSpec
from actrec.study.plan import Trial, rehearse
from actrec.training import featureset
from actrec.training.feed import eval_items, train_items
from actrec.training.prefix import Prefix, may_have_one

# What starting the actors that compute features is worth. That takes about 10 s, in which one core passes I3D
# about as much: 0.12 s for a clip of 14 GFLOP (experiments/ablate_freezing_i3d.py). Where devices are faster,
# sharing too readily costs no more than the start.
START_FLOP = 1e12


@dataclass(frozen=True, slots=True)
class Sharing:
    """One prefix on one clip set, and the trials of the plan that have both.

    Attributes:
        folder: of its features.
        clips: of the clip set.
    """

    folder: Path
    clips: Path
    prefix: Prefix
    trials: tuple[Trial, ...]

    @property
    def name(self) -> str:
        """Of the prefix, in words: ``the first 5 stages of r3d_18``."""
        stages = "the first stage" if self.prefix.stages == 1 else f"the first {self.prefix.stages} stages"
        return f"{stages} of {self.prefix.spec.model.name}"

    @property
    def rows(self) -> int:
        """How many clips there are, once all are decoded."""
        return len(open_where_it_lies(self.clips).shards)

    @property
    def size(self) -> int:
        """Of its features, in bytes."""
        return 4 * prod(self.prefix.row_shape) * self.rows


class Finder:
    """Finds the frozen prefixes of trials. Builds each distinct model once, as its trials will."""

    def __init__(self) -> None:
        self._prefixes: dict[tuple[Any, ...], Prefix | None] = {}

    def find(
        self, trials: Sequence[Trial], keys: Mapping[str, ClipKey], device: Literal["cpu", "cuda"]
    ) -> list[Sharing]:
        """Which trials have which prefix in common, on which clips."""
        found: dict[Path, tuple[Prefix, list[Trial]]] = {}
        for trial in trials:
            spec, key = trial.spec, keys[trial.trial_id]
            if prefix := self._prefix(spec, len(key.manifest.class_names)):
                arithmetic = [device, spec.optim.amp if device == "cuda" else "off"]
                about = json.dumps([featureset.FORMAT, prefix.key, key.folder.name, *arithmetic])
                folder = cache_root() / "features" / hashlib.sha256(about.encode()).hexdigest()[:16]
                found.setdefault(folder, (prefix, []))[1].append(trial)
        return [
            Sharing(folder, keys[own[0].trial_id].folder, prefix, tuple(own))
            for folder, (prefix, own) in found.items()
        ]

    def _prefix(self, spec: TrialSpec, classes: int) -> Prefix | None:
        # All that a prefix is made from, the precision of its arithmetic included.
        same = (spec.model, spec.freeze, spec.augment, spec.clip, spec.seed, spec.optim.amp, classes)
        if same not in self._prefixes:
            self._prefixes[same] = _prefix(spec, classes)
        return self._prefixes[same]


def _prefix(spec: TrialSpec, classes: int) -> Prefix | None:
    if not may_have_one(spec):
        return None
    try:
        rehearse(spec)
        return Prefix.of(spec, classes)
    except ActrecError:  # a trial that cannot be built fails by itself, and says why in its row
        return None


def decide(
    found: Sequence[Sharing], keys: Mapping[str, ClipKey], earlier: Mapping[str, bool]
) -> tuple[list[Sharing], list[str]]:
    """Those that are shared, and what was decided, a sentence for each prefix; the clips are all there.

    Args:
        keys: of the trials, by their ids.
        earlier: what was decided before, by the names of the features' folders; it stands.
    """
    chosen: list[Sharing] = []
    trials, shared, unshared = Counter[str](), Counter[str](), Counter[str]()
    saving: dict[str, float] = {}  # of those that do not pay, the most
    left = dict[str, None]()  # unshared as before
    lines: list[str] = []
    room = room_after_eviction(cache_root(), keep=frozenset(one.folder for one in found))
    for one in found:
        rows, needed = one.rows, lacking(one.folder, one.size)
        forwards = sum(_forwards(trial, keys[trial.trial_id]) for trial in one.trials)
        saved = (forwards - rows) * one.prefix.flop
        before = earlier.get(one.folder.name)
        if before is False:
            left[one.name] = None
        elif before is None and saved <= START_FLOP:
            saving[one.name] = max(saving.get(one.name, 0.0), saved)
        elif before is None and needed > room:
            lines.append(
                f"not shared: {one.name}, whose features take {size_text(needed)}; "
                f"{size_text(room)} can be had in {cache_root()}"
            )
        else:
            chosen.append(one)
            room -= needed
            trials[one.name] += len(one.trials)
            shared[one.name] += rows
            unshared[one.name] += forwards
    lines += [f"not shared: {name}, as decided when trials first had it" for name in left]
    lines += [
        f"not shared: {name}, which would save at most {saved / 1e12:.2g} TFLOP; to start is worth "
        f"{START_FLOP / 1e12:g}"
        for name, saved in saving.items()
    ]
    lines += [
        f"{trials[name]} trials share {name}: {shared[name]:,} clips computed once instead of "
        f"{unshared[name]:,} times"
        for name in trials
    ]
    return chosen, lines


def _forwards(trial: Trial, key: ClipKey) -> int:
    """How many clips a trial sends through its stages if it shares nothing."""
    clips = open_where_it_lies(key.folder)
    clips = clips.with_splits(key.splits) if key.splits else clips
    val, test = (len(eval_items(clips, clips.videos(split))[1]) for split in ("val", "test"))
    return trial.spec.optim.epochs * (len(train_items(clips, 0)[1]) + val) + test

"""One launch of a study: round after round, from what is there to what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actrec.data.manifest import Manifest
from actrec.engine import cache, embeddings, sample, thumbnails, verdicts
from actrec.engine.cache import ClipKey, Filled
from actrec.engine.cluster import Cluster, check_shared
from actrec.engine.conditions import Conditions, check_alike, check_modes
from actrec.engine.ended_rows import ended_rows
from actrec.engine.folder import judged_at, read_record
from actrec.engine.messages import RunEpoch
from actrec.engine.options import RunOptions
from actrec.engine.placement import Allocation, allocate
from actrec.engine.prepare import Feed, Supply, choose_feed
from actrec.engine.progress import Display
from actrec.engine.search import Growing, Storage, forget
from actrec.engine.study_record import StudyRecord
from actrec.engine.sweep import Sweep
from actrec.engine.verdicts import look
from actrec.errors import ActrecError, EngineError, StudyError
from actrec.results.ledger import Ledger
from actrec.results.schema import FAILED, OK, PRUNED
from actrec.spec import ClipSpec, DataSpec
from actrec.study import rounds
from actrec.study.factors import Study
from actrec.study.plan import Trial
from actrec.study.proposals import Proposals
from actrec.study.stages import expected, representatives


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: trials planned, and in the ledger as ok, failed and pruned; what was decoded now,
    and how many clips were sent through shared frozen stages now."""

    planned: int
    ok: int
    failed: int
    filled: Filled
    prefix_forwards: int = 0
    pruned: int = 0

    @property
    def missing(self) -> int:
        return self.planned - self.ok - self.failed - self.pruned


@dataclass
class Launch:
    """One launch of a study: the pieces that its steps share, and what it has to say of itself."""

    study: Study
    manifest: Manifest
    options: RunOptions
    display: Display
    ledger: Ledger
    token: str

    def __post_init__(self) -> None:
        earlier = read_record(self.options.out)
        shares = earlier.get("sharing", {}).get("prefixes", {})
        # Whoever changes the plan before its first result has not looked.
        self._judged_at = judged_at(earlier) if ended_rows(self.study, self.ledger) else {}
        self._supply = Supply(self.display, self.options.out.absolute(), dict(shares))
        self._tried: set[str] = set()
        self._keys: dict[tuple[DataSpec, ClipSpec], ClipKey] = {}
        self._record = StudyRecord(self.study, self.manifest, self.ledger, self._supply, earlier)
        self._storage = Storage(self.options.out, self.study, self.display.say)

    def pending(self) -> list[Trial]:
        """What the plan has still to run, now that some trials have ended."""
        rows = self._ended_rows()
        self._now = rounds.current(self.study, rows, look(self.study, self.ledger), self._judged_at)
        if not self.options.only:
            return list(self._now.pending)
        ended = {row["trial_id"] for row in rows if not row["again"]}
        return [t for t in wanted_of(self._now.trials, self.options.only) if t.trial_id not in ended]

    def run(self, cluster: Cluster, pending: list[Trial]) -> None:
        """Runs round after round until nothing is pending."""
        self._round(cluster, pending)
        while left := self.pending():
            if left == pending:
                raise EngineError(
                    f"Ray Tune ended with {len(left)} of {len(self._now.trials)} trials not run"
                )
            pending = left
            what = f"next: {self._now.search.stage}" if self._now.search else "next round"
            self.display.say(f"{what}, {len(pending)} further trials, {len(self._now.trials)} in all")
            self._round(cluster, pending)

    def conclude(self) -> Outcome:
        """Folds the ledger, and writes effects, provenance and what the report shows of the videos.

        Raises:
            LedgerError: if another has claimed the folder, of which nothing is touched then; or if results
                cannot be read or written.
        """
        self.ledger.check_owner()
        if self._now.growing is not None:  # it was stopped in the middle
            self._now = dataclasses.replace(self._now, trials=tuple(self._now.growing.trials))
        if self._now.proposals is not None:
            self._storage.follow(self._now.proposals)
            forget(self.options.out, self._now.proposals)
        trials = self._now.trials
        self._draw()
        self.ledger.compact()
        rows = verdicts.write(self.options.out, self.study, self._now, self.ledger)
        self._record.write(self._now, ended=True)
        ok, pruned = (sum(row["status"] == status for row in rows) for status in (OK, PRUNED))
        failed = len(rows) - ok - pruned
        return Outcome(len(trials), ok, failed, self._supply.filled, self._supply.forwards, pruned)

    def close(self) -> None:
        """Lets go of what trials read. The samples in a folder that was lost are the new owner's."""
        self._supply.release()
        if self.ledger.is_mine():
            sample.drop(self.options.out)

    def _draw(self) -> None:
        """Writes what the report shows of the videos. A machine that cannot read them can still conclude."""
        try:
            key = self._key(self._now.trials[0])
        except ActrecError as error:
            self.display.say(f"note: the report lacks pictures of the videos: {error}")
            return
        # Of a sample pictures are drawn once: a later one may be smaller.
        few = None if thumbnails.drawn(self.options.out, key.folder) else sample.of(self.options.out, key)
        thumbnails.write(
            self.options.out,
            self.manifest,
            few or key.folder,
            say=self.display.say,
            all_tested=bool(self.study.cv),
        )

    def _ended_rows(self) -> list[dict[str, Any]]:
        """The rows of the trials that ended; ``again`` tells of those that are to run once more."""
        rows = ended_rows(self.study, self.ledger)
        for row in rows:
            retried = self.options.retry_failed and row["trial_id"] not in self._tried
            row["again"] = row["status"] == FAILED and retried
        return rows

    @property
    def _growing(self) -> Proposals | None:
        """The search, while what it proposes is run."""
        return None if self.options.only else self._now.growing

    def _round(self, cluster: Cluster, pending: Sequence[Trial]) -> None:
        """Decodes what is missing, computes what is shared, then trains every pending trial."""
        self.ledger.check_owner()
        growing = self._growing
        keys = [self._key(trial) for trial in (representatives(self.study) if growing else pending)]
        feed = self._feed(keys)
        allocation = allocate(
            cluster.nodes,
            workers=self.options.workers,
            gpus_per_worker=self.options.gpus_per_worker,
            max_concurrent=self.options.max_concurrent,
            trials=growing.search.abreast if growing else len(pending),
            stream=feed == "stream",
        )
        check_modes(self.options.modes, allocation)
        conditions = Conditions.of(allocation, self.options.modes, stream=feed == "stream")
        check_alike(self.ledger, {trial.trial_id for trial in self._now.trials}, conditions, self.study.name)
        if not self._record.runs:
            self.display.say(f"Ray: {cluster}; trials: {allocation}")
            if note := self._record.begin(cluster.nodes[: cluster.up], allocation):
                self.display.say(note)
            check_shared([self.options.out.absolute(), cache.cache_root()])
        # With the record: a page must not show this plan with another's effects.
        verdicts.write(self.options.out, self.study, self._now, self.ledger)
        self._record.write(self._now)
        self._supply.decode(keys, feed, self._shown(pending))
        if feed == "stream":
            self._draw()  # while there is a sample: the next round may have need of others
        self._record.write(self._now)  # so that what was decoded is known, whatever happens next
        # What a search will propose is not known: what it can propose stands for it.
        planned = expected(self.study) if growing else self._now.trials
        keys_of = {trial.trial_id: self._key(trial) for trial in planned}
        share = self._supply.share if self.options.share else self._supply.leave_unshared
        share(planned, planned if growing else pending, keys_of, allocation)
        self._record.write(self._now)
        self._train(pending, allocation, conditions)

    @property
    def _mapped(self) -> frozenset[str]:
        """The trials that leave embeddings."""
        return embeddings.first_seeds(self._now.compared)

    def _shown(self, pending: Sequence[Trial]) -> list[ClipKey]:
        """What a stream keeps a sample of: what trials embed, and what the report has no pictures of yet."""
        mapped, first = self._mapped, self._key(self._now.trials[0])
        keys = [self._key(trial) for trial in pending if trial.trial_id in mapped]
        return keys if thumbnails.drawn(self.options.out, first.folder) else [first, *keys]

    def _key(self, trial: Trial) -> ClipKey:
        """A trial's clip key. Those of all known trials are found at once."""
        spec = trial.spec
        if (spec.data, spec.clip) not in self._keys:
            specs = {(t.spec.data, t.spec.clip): t.spec for t in (*self._now.trials, trial)}
            new = {reads: one for reads, one in specs.items() if reads not in self._keys}
            found = cache.clip_keys(self.manifest, new.values(), cache.cache_root())
            self._keys |= zip(new, found, strict=True)
        return self._keys[spec.data, spec.clip]

    def _feed(self, keys: Sequence[ClipKey]) -> Feed:
        if self.options.stream is not None or self.study.cv:
            return "stream" if self.options.stream else "cache"
        planned = {trial.trial_id for trial in self._now.trials}
        rows = self.ledger.read("trials", columns=["feed"], trial_ids=planned).to_pylist()
        return choose_feed(keys, next((row["feed"] for row in rows if row["feed"]), None), self.display)

    def _train(self, pending: Sequence[Trial], allocation: Allocation, conditions: Conditions) -> None:
        sweep = Sweep(
            study=self.study.name,
            folder=self.options.out.absolute(),
            ledger=self.ledger,
            token=self.token,
            allocation=allocation,
            conditions=conditions,
            display=self.display,
            options=self.options,
        )
        mapped = self._mapped
        growing = None
        if self._growing is not None:
            self._storage.follow(self._growing)
            growing = Growing(self._growing, self._storage, self._proposed)
        planned = self._growing.search.trials if self._growing else len(self._now.trials)
        seen = sweep.run(
            pending,
            lambda trial: self._command(trial, embed=trial.trial_id in mapped, allocation=allocation),
            planned=planned,
            streams=self._supply.streams,
            growing=growing,
        )
        self._supply.streamed(seen.decoded, seen.undecodable)
        self._tried |= {trial.trial_id for trial in (growing.proposals.trials if growing else pending)}

    def _proposed(self) -> None:
        """Something is new in the search."""
        assert self._now.proposals is not None
        forget(self.options.out, self._now.proposals)
        self._record.write(self._now)

    def _command(self, trial: Trial, *, embed: bool, allocation: Allocation) -> RunEpoch:
        """What a worker is told of a trial. A streamed one leaves embeddings of the sample alone: a second
        look at the other test videos would decode them again."""
        key = self._key(trial)
        stream = self._supply.streams.get(key.folder)
        return RunEpoch(
            trial.trial_id,
            trial.spec.to_dict(),
            key.folder,
            key.manifest.class_names,
            key.splits,
            self._supply.features_of(trial, key, allocation),
            embed=embed and (stream is None or stream.sample is not None),
            cutoffs=dict(trial.cutoffs),
            keep=trial.keep,
        )


def wanted_of(trials: Sequence[Trial], only: Sequence[str]) -> list[Trial]:
    """The trials of the plan that are to be run."""
    planned = {trial.trial_id: trial for trial in trials}
    for key in only:
        if key not in planned:
            raise StudyError(f"no trial {key!r} in this plan: the report lists the {len(planned)} there are")
    return [planned[key] for key in only] if only else list(trials)

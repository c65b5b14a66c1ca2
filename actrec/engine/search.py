"""A search under Ray Tune: trials are given as they become known, and Optuna's dashboard can look on.

Tune's own ``OptunaSearch`` tells Optuna that a stopped trial was complete and never tells it of a trial that
ended after a restart; and what it asks for depends on who was first. Here the ledger decides
(:mod:`actrec.study.proposals`), and Tune takes what it says.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.search import Searcher

from actrec.engine.ended_rows import with_history
from actrec.engine.station import KEPT
from actrec.files import discard
from actrec.study.factors import Study
from actrec.study.plan import Trial
from actrec.study.proposals import Ended, Proposals, frozen
from actrec.study.space import params

STORAGE = "optuna.journal"


@dataclass(frozen=True)
class Growing:
    """A search while it runs: what it proposes, and its storage, which follow every trial that ends."""

    proposals: Proposals
    storage: Storage
    note: Callable[[], None]  # that there is something new

    @property
    def left(self) -> int:
        """Trials that have not ended, those not proposed yet among them."""
        return self.proposals.search.trials - len(self.proposals.ended)

    def ended(self, row: Mapping[str, Any]) -> None:
        """Takes note of a row of ``trials``, with the rows of its ``epochs``."""
        self.proposals.update([with_history(row, row["epochs"])])
        self.storage.follow(self.proposals)
        self.note()


class Feeder(Searcher):
    """Gives Tune the trials of a search, in order.

    Args:
        config: what Tune is given for a trial.
        concurrent: trials side by side. Tune's own limit would end an actor whose next trial comes a moment
            later.

    Attributes:
        left: trials that it may give in all.
    """

    def __init__(
        self, proposals: Proposals, config: Callable[[Trial], dict[str, Any]], concurrent: int
    ) -> None:
        super().__init__()
        self._proposals, self._config, self._concurrent = proposals, config, concurrent
        self.left = proposals.search.trials - len(proposals.ended)
        self._given: set[str] = set()
        self._running: set[str] = set()

    def set_search_properties(self, *arguments: Any, **more: Any) -> bool:
        return True  # metric and mode are the study's

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # may end
        waiting = [trial for trial in self._proposals.pending if trial.trial_id not in self._given]
        if not waiting:
            return str(Searcher.FINISHED) if self._proposals.complete else None
        if len(self._running) >= self._concurrent:
            return None
        self._given.add(waiting[0].trial_id)
        self._running.add(trial_id)
        return self._config(waiting[0])

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        self._running.discard(trial_id)

    # Tune notes down the state of a searcher, to restore a run that we never restore.

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger has it all."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the ledger has it all."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger has it all."""


class Storage:
    """The search as a study of Optuna in a file, ``optuna.journal``: for ``optuna-dashboard`` and
    ``optuna.load_study``. It follows the ledger and is never asked: what is lost or behind is written anew.

    Args:
        say: is told if it cannot be written; the search goes on.
    """

    def __init__(self, folder: Path, study: Study, say: Callable[[str], None]) -> None:
        self._path, self._study, self._say = folder / STORAGE, study, say
        self._written: list[bool] = []  # of each number, whether it is there as ended
        self._open: tuple[JournalStorage, int] | None = None
        self._broken = False

    def follow(self, proposals: Proposals) -> None:
        """Writes what is new: trials that were proposed, and those that ended."""
        if self._broken:
            return
        try:
            if self._open is None:
                self._begin(proposals)
            self._write(proposals)
        except Exception as error:  # of any kind: Optuna's, the disk's; nothing depends on this file
            self._broken = True
            self._say(f"note: {self._path.name} is not up to date, the next launch writes it anew: {error}")

    def _begin(self, proposals: Proposals) -> None:
        """Takes up the file, if it has the same search; else begins a new one."""
        # A killed driver's; nobody else writes here while the folder is ours.
        discard(self._path.with_name(f"{STORAGE}.lock"))
        try:
            self._written = self._check(proposals)
        except Exception:  # damaged, in whatever way
            self._written = []
            discard(self._path)
        self._open = self._connect()

    def _connect(self) -> tuple[JournalStorage, int]:
        assert self._study.search is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = JournalStorage(JournalFileBackend(str(self._path)))
            made = optuna.create_study(
                storage=storage,
                study_name=self._study.name,
                directions=self._study.search.directions,
                load_if_exists=True,
            )
            made.set_metric_names(list(self._study.search.objectives))
        return storage, storage.get_study_id_from_name(made.study_name)

    def _check(self, proposals: Proposals) -> list[bool]:
        """Which trials of the file have ended. Raises whatever if it is not of this search."""
        storage, study_id = self._connect()
        there = storage.get_all_trials(study_id)
        for found, trial in zip(there, proposals.trials, strict=False):
            ended = proposals.ended.get(found.number)
            expected = params(proposals.search.space, trial.spec) or {}
            over = found.state.is_finished()
            if found.params != expected or (over and not (ended and _same(found, ended))):
                raise ValueError(f"trial {found.number} is another one")
        if len(there) > len(proposals.trials):
            raise ValueError("it has more trials")
        return [found.state.is_finished() for found in there]

    def _write(self, proposals: Proposals) -> None:
        assert self._open is not None
        storage, study_id = self._open
        for number, trial in enumerate(proposals.trials):
            ended = proposals.ended.get(number)
            if number == len(self._written):
                made = self._frozen(proposals, trial, number)
                storage.create_new_trial(study_id, template_trial=made)
                self._written.append(ended is not None)
            elif ended is not None and not self._written[number]:
                ident = storage.get_trial_id_from_study_id_trial_number(study_id, number)
                final = frozen(proposals.search.space, ended)
                for epoch, value in final.intermediate_values.items():
                    storage.set_trial_intermediate_value(ident, epoch, value)
                storage.set_trial_state_values(ident, ended.state, ended.told)
                self._written[number] = True

    def _frozen(self, proposals: Proposals, trial: Trial, number: int) -> optuna.trial.FrozenTrial:
        space, ended = proposals.search.space, proposals.ended.get(number)
        if ended is not None:
            return frozen(space, ended)
        values = params(space, trial.spec) or {}
        made = optuna.create_trial(
            state=TrialState.RUNNING,
            params=values,
            distributions={path: space[path].distribution for path in values},
        )
        made.datetime_start = datetime.now(UTC).replace(tzinfo=None)
        return made


def forget(folder: Path, proposals: Proposals) -> None:
    """Removes the last states of trials from which no other will go on any more."""
    needed = proposals.kept
    for place in (folder / KEPT).glob("*"):
        if place.name not in needed:
            shutil.rmtree(place, ignore_errors=True)
    if not needed:
        discard(folder / KEPT)


def _same(found: optuna.trial.FrozenTrial, ended: Ended) -> bool:
    return found.state == ended.state and (ended.told is None or found.values == ended.told)

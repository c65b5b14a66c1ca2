"""A driver that lost its folder to another, as one that slept or was cut off does, leaves it alone."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from actrec.data.manifest import Manifest
from actrec.engine import progress, sample
from actrec.engine.launching import Launch
from actrec.engine.progress import Display
from actrec.engine.run import RunOptions, run_study
from actrec.engine.search import STORAGE
from actrec.engine.station import KEPT
from actrec.engine.sweep import SCRATCH, scratch
from actrec.errors import LedgerError
from actrec.results.ledger import Ledger
from actrec.study.dimensions import Categorical
from actrec.study.factors import Study
from actrec.study.rounds import current
from actrec.study.search import Search


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("the new owner's")


def test_it_concludes_nothing(
    manifest: Manifest, small_study: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTREC_CACHE", str(tmp_path / "cache"))
    search = Search(space={"optim.lr": Categorical((1e-2, 1e-3))}, trials=2, confirm=0)
    study = dataclasses.replace(small_study(), search=search)
    out, lost, display = tmp_path / "out", Ledger(tmp_path / "out"), Display(Console(file=StringIO()))
    launch = Launch(study, manifest, RunOptions(out=out), display, lost, lost.claim())
    assert launch.pending()
    new = Ledger(out)
    new.claim()
    for name in (f"{sample.FOLDER}/key/index.parquet", f"{KEPT}/abc/state", STORAGE, "videos.parquet"):
        put(out / name)
    new_owners = content(out)
    with pytest.raises(LedgerError, match="another run has taken over"):
        launch.conclude()
    launch.close()
    assert content(out) == new_owners


@pytest.mark.parametrize("taken_over", [False, True])
def test_what_ray_notes_for_itself_goes_with_its_owner(tmp_path: Path, taken_over: bool) -> None:
    lost = Ledger(tmp_path)
    lost.claim()
    put(tmp_path / SCRATCH / "killed")
    new = Ledger(tmp_path)
    with scratch(lost) as folder:
        assert list(folder.iterdir()) == []
        if taken_over:
            new.claim()
        put(folder / "notes")
    assert folder.exists() == taken_over


@pytest.mark.parametrize("taken_over", [False, True])
def test_samples_go_with_their_owner_however_it_ends(
    manifest: Manifest, small_study: Callable[..., Study], tmp_path: Path, taken_over: bool
) -> None:
    """Of a launch whose every trial is done, and which cannot tell."""
    study, new = small_study(), Ledger(tmp_path)

    class Terminal(StringIO):
        def write(self, text: str) -> int:
            if "all trials are done already" in text:
                if taken_over:
                    new.claim()
                raise OSError("the terminal is gone")
            return super().write(text)

    earlier = Ledger(tmp_path)
    earlier.claim()
    for trial in current(study, ()).trials:
        row = {name: getattr(trial, name) for name in ("trial_id", "arm", "factor", "level", "seed")}
        earlier.append(row | {"status": "ok", "val_top1": 0.5}, [], [])
    put(tmp_path / sample.FOLDER / "key" / "index.parquet")
    with pytest.raises(OSError, match="the terminal is gone"):
        run_study(study, manifest, RunOptions(out=tmp_path), Display(Console(file=Terminal(), width=200)))
    assert (tmp_path / sample.FOLDER).exists() == taken_over


@pytest.mark.parametrize("taken_over", [False, True])
def test_news_are_told_by_the_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken_over: bool
) -> None:
    monkeypatch.setattr(progress, "WRITE_S", 0.001)

    class Counted(Display):
        writings = 0

        def _publish(self, ledger: Ledger) -> None:
            super()._publish(ledger)
            self.writings += 1

    lost, new, display = Ledger(tmp_path), Ledger(tmp_path), Counted(Console(file=StringIO()))
    lost.claim()

    def comes_round() -> None:
        """Until a writing is over that began after now."""
        before, patience = display.writings, time.monotonic() + 30
        while display.writings < before + 2:
            assert time.monotonic() < patience, "nothing is written any more"

    with display.publishing(lost):
        if taken_over:
            new.claim()
            comes_round()
        put(tmp_path / progress.FILE)
        comes_round()
        assert ((tmp_path / progress.FILE).read_text() == "the new owner's") == taken_over
    assert (tmp_path / progress.FILE).exists() == taken_over

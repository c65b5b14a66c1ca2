"""What a random validation promises too much, from the videos to the page."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from actrec.cli import main
from actrec.data.manifest import Manifest
from actrec.engine.progress import Display
from actrec.engine.run import RunOptions, run_study, with_data
from actrec.report.page import build_report
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.factors import Study

BASE = TrialSpec(
    clip=ClipSpec(sampling="uniform", num_frames=4, height=16, width=16),
    model=ModelSpec(name="frame_transformer", width=16, layers=1, attention_heads=2),
    optim=OptimSpec(epochs=10, batch_size=32, lr=3e-3),
)


@pytest.mark.usefixtures("ray_session")
def test_a_random_split_is_caught_and_the_report_shows_its_optimism(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Groups are of ten videos of one class: a model that knows a group's looks is right on its other videos,
    which are in validation, and not on those of new groups, which the test split has alone."""
    monkeypatch.setenv("ACTREC_CACHE", str(tmp_path / "cache"))
    path, out = tmp_path / "random.parquet", tmp_path / "out"
    made = ["data", "synthetic", "--takes", "10", "--val", "random", "--out", str(path)]
    assert main(made) == 0
    capsys.readouterr()
    assert main(["data", "check", "--quick", str(path)]) == 1
    assert "is on two sides of a split" in capsys.readouterr().out

    manifest = Manifest.read(path)
    study = Study(name="leaking", base=BASE, factors=(), seeds=(0,), placebo=False)
    study = with_data(study, str(path), manifest)
    run_study(study, manifest, RunOptions(out=out), Display(Console(file=StringIO())))
    page = build_report(out).read_text(encoding="utf-8")
    straddling = len(manifest.counts().straddling)
    assert f"{straddling} groups of videos lie on both sides of a split: accuracy may be optimistic." in page
    assert "Optimism: baseline, selected on validation, scores" in page
    found = re.search(r"baseline, selected on validation, scores \+([\d.]+) points there .*: more than", page)
    assert found is not None
    assert float(found[1]) > 10

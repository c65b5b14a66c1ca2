"""The command line of experiment scripts, without running a trial."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actrec import cli
from actrec.launch import main
from actrec.spec import OptimSpec, TrialSpec, assignment
from actrec.study.factors import Factor, Study

SCRIPT = Path(__file__).parents[1] / "experiments" / "ablate_regularization.py"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def study() -> Study:
    return Study(
        name="tiny",
        base=TrialSpec(optim=OptimSpec(epochs=3)),
        factors=(Factor("model.dropout", levels=(0.5,), baseline=0.0),),
        seeds=(0, 1),
    )


def test_a_dry_run_prints_the_plan_and_runs_nothing(
    study: Study, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(lambda: study, "Doc.", ["--dry-run", "--seeds", "3", "--epochs", "7"]) == 0
    text = capsys.readouterr().out
    assert "9 trials = 3 arms × 3 seeds" in text
    assert f"{9 * 7 * 220:,} clips to train on" in text  # trials × epochs × training videos
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("seeds", "more", "judged"), [(5, "auto", "5, 10 and 20"), (5, "8", "5, 7 and 8"), (30, "auto", None)]
)
def test_further_seeds_are_up_to_20_or_to_those_that_there_are(
    study: Study, capsys: pytest.CaptureFixture[str], seeds: int, more: str, judged: str | None
) -> None:
    words = ["--dry-run", "--seeds", str(seeds), "--more-seeds", more]
    assert main(lambda: study, "Doc.", words) == 0
    text = capsys.readouterr().out
    assert f"they are judged at {judged} seeds" in text if judged else "they are judged at" not in text


def test_a_population_is_asked_for_on_the_command_line(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--search", "4", "--sampler", "pbt", "--dry-run"]
    assert main(lambda: study, "Doc.", [*asked, "--population", "2"]) == 0
    assert "2 members × 2 generations" in capsys.readouterr().out
    assert main(lambda: study, "Doc.", asked) == 2
    assert "a population of 8 needs whole generations: 8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("clip.num_frames=16", "clip.num_frames", 16),
        ("clip.sampling=middle", "clip.sampling", "middle"),
        ("optim.lr=1e-4", "optim.lr", 1e-4),
        ("optim.lr=1", "optim.lr", 1.0),
        ("model.motion=False", "model.motion", False),
        ("model.dropout=None", "model.dropout", None),
        ("model.weights=400", "model.weights", "400"),
        ("data.classes=('a', 'b')", "data.classes", ("a", "b")),
        ("augment=hflip", "augment", "hflip"),
        ("placebo=2", "placebo", 2),
    ],
)
def test_an_assignment_is_read_as_its_path_wants_it(text: str, path: str, value: object) -> None:
    assert assignment(text) == (path, value)
    assert type(assignment(text)[1]) is type(value)


def test_set_changes_every_trial_and_weights_are_looked_for_where_it_is_said(
    study: Study, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTREC_WEIGHTS", "elsewhere")
    wanted = ["--set", "model.name=i3d", "--set", "model.weights=kinetics400", "--weights-dir", "mine"]
    assert main(lambda: study, "Doc.", ["--dry-run", *wanted]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: arm 'baseline': weights 'kinetics400' of i3d")
    assert str(tmp_path / "mine" / "i3d_rgb_kinetics400.safetensors") in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "argument --seeds: 0: must be at least 1"),
        (["--epochs", "-1"], "argument --epochs: -1: must be at least 1"),
        (["--workers-per-trial", "two"], "argument --workers-per-trial: invalid number value: 'two'"),
        (["--decoder", "ffmpeg"], "argument --decoder: invalid choice: 'ffmpeg'"),
        (["--sedes", "3"], "unrecognized arguments: --sedes 3"),
    ],
)
def test_a_wrong_argument_is_named(
    study: Study, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(lambda: study, "Doc.", arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "missing.parquet"], "error: missing.parquet: no such file"),
        (["--set", "clip.num_frames=two"], "error: clip.num_frames='two': must be an int ≥ 1"),
        (["--set", "clip.frames=2"], "error: unknown path 'clip.frames'; did you mean 'clip.num_frames'?"),
        (["--set", "clip.num_frames"], "error: 'clip.num_frames': must be PATH=VALUE"),
        (["--set", "augment=flip"], "error: unknown preset of 'augment' 'flip'; did you mean 'hflip'?"),
        (["--set", "model.dropout=0.1"], "error: --set model.dropout: the study varies it"),
        (["--set", "seed=1"], "error: --set seed: use the study's seeds"),
        (["--set", "data.manifest=x"], "error: --set data.manifest: use --data"),
        (
            ["--address", "ray://somewhere:10001"],
            "error: ray://somewhere:10001: a Ray Client connection cannot",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(
    study: Study, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(lambda: study, "Doc.", arguments) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(message)


def test_a_mistake_in_a_study_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    def typo() -> Study:
        return Study(name="x", base=TrialSpec(), factors=(Factor("model.dropuot", (0.5,), 0.0),))

    assert main(typo, "Doc.", []) == 2
    assert capsys.readouterr().err.startswith(
        "error: unknown path 'model.dropuot'; did you mean 'model.dropout'?"
    )


def test_the_experiment_script_runs_from_any_folder_and_teaches(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "100"},
    )
    for word in (
        "Which regularisers help?",
        "Expect, on the built-in videos",
        "--fresh",
        "actrec data build",
    ):
        assert word in done.stdout


def test_the_command_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    text = capsys.readouterr().out
    for command in ("data", "models", "report"):
        assert command in text


def test_an_error_of_a_command_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} holds no study")

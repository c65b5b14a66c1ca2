from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from actrec.cli_models import add_parser
from actrec.errors import SpecError
from actrec.models.zoo import ZOO


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["models", *arguments])
    code: int = parsed.run(parsed)
    return code


def test_json_lists_the_whole_zoo(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(ZOO)
    assert rows["cnn_lstm_2"] == {
        "name": "cnn_lstm_2",
        "parameters": 502_067,
        "frames": 16,
        "stride": 1,
        "crop": 112,
        "options": {"dropout": 0.0},
        # Convolution 9·a·b + b, BatchNorm 2·b; LSTM 4·256·(128 + 256) + 2·4·256; classifier 51·256 + 51.
        "stages": {"conv1": 960, "conv2": 18_624, "conv3": 74_112, "lstm": 395_264, "head": 13_107},
        "weights": {},
        "summary": ZOO["cnn_lstm_2"].summary,
    }


def test_the_table_has_a_row_for_each_model(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run() == 0
    cells = [[cell.strip() for cell in line.split("│")] for line in capsys.readouterr().out.splitlines()]
    rows = {row[1]: row for row in cells if len(row) > 1 and row[1]}
    assert list(rows) == list(ZOO)
    assert rows["cnn_lstm_2"][2:4] == ["502,067", "16"]
    about = [row[4] for row in cells if len(row) > 1]
    assert "dropout=0.3" in about
    assert "conv1 → conv2 → conv3 → lstm → head" in about


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights without any."""
    monkeypatch.setenv("ACTREC_WEIGHTS", str(tmp_path))
    return tmp_path


def test_one_model_in_detail_says_which_file_is_wanted_where(
    capsys: pytest.CaptureFixture[str], empty: Path
) -> None:
    assert run("i3d") == 0
    text = capsys.readouterr().out
    wanted = ZOO["i3d"].weights["kinetics400"]
    for part in (wanted.file, wanted.sha256, str(empty), "--weights-dir", "Mixed_5c", "dropout=0.5"):
        assert part in text
    assert run("r3d_18") == 0
    assert "weights: none" in capsys.readouterr().out


def test_weights_that_are_not_here_are_said_so_in_the_table(
    capsys: pytest.CaptureFixture[str], empty: Path
) -> None:
    assert run() == 0
    assert "weights kinetics400: not here" in capsys.readouterr().out


def test_weights_that_are_here_have_their_path(
    capsys: pytest.CaptureFixture[str], shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTREC_WEIGHTS", str(shared_data / "weights"))
    assert run("i3d", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    found = row["weights"]["kinetics400"]
    assert found["found"] == str(shared_data / "weights" / found["file"])
    assert found["why"] == ""


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(SpecError, match="unknown model 'i3'; did you mean 'i3d'"):
        run("i3")

from __future__ import annotations

import argparse
import json

import pytest

from actrec.cli_models import add_parser
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
        "options": {"dropout": 0.0},
        "stages": ["conv1", "conv2", "conv3", "lstm", "head"],
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

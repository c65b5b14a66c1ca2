from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from actrec import cli_report
from actrec.report.index import is_list, write_index
from actrec.report.page import build_report
from tests.report import tiny

NASTY = "<script>alert(1)</script>"


def study(folder: Path, name: str, started: str) -> Path:
    folder.mkdir(parents=True)
    tiny.write_tiny(folder)
    tiny.write_study(folder, name=name, started=started)
    return folder


def test_a_folder_of_reports_lists_them_latest_first(tmp_path: Path, browser: Browser) -> None:
    reports = tmp_path / "reports"
    build_report(study(reports / "one", "one", "2026-03-01T09:00:00+00:00"))
    build_report(study(reports / "two & %", NASTY, "2026-03-02T09:00:00+00:00"))
    (reports / "no study").mkdir()
    study(reports / "unbuilt", "three", "2026-03-03T09:00:00+00:00")
    write_index(reports)
    said: list[str] = []
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto((reports / "index.html").as_uri())
    assert page.locator("tbody th").all_inner_texts() == [f"{NASTY} (two & %)", "one", "unbuilt"]
    first = page.locator("tbody tr").first
    assert "2026-03-02 09:00" in first.inner_text()
    assert "4 of 6, 1 failed" in first.inner_text()
    assert "75.0" in first.inner_text()
    assert "1 hurts (a=x, −25.0 points)" in first.inner_text()
    assert first.locator("svg circle").count() == 2  # the effect and the placebo
    first.locator("a").click()
    assert page.url == (reports / "two & %" / "index.html").as_uri()
    assert said == []
    page.close()


def test_only_a_folder_of_studies_has_a_list(tmp_path: Path) -> None:
    one = study(tmp_path / "elsewhere" / "one", "one", "")
    assert not is_list(one.parent)  # a single study in a folder of any name
    assert not is_list(one)
    study(tmp_path / "elsewhere" / "two", "two", "")
    assert is_list(one.parent)
    (one.parent / "index.html").write_text("somebody else's")
    assert not is_list(one.parent)
    build_report(one)
    assert (one.parent / "index.html").read_text() == "somebody else's"


def test_a_damaged_summary_is_a_study_without_one(tmp_path: Path) -> None:
    folder = study(tmp_path / "reports" / "one", "one", "")
    (folder / "exports").mkdir()
    for text in ("{", "[]", json.dumps({"effects": [{"low": "x"}], "baseline_top1": "y", "name": 3})):
        (folder / "exports" / "summary.json").write_text(text)
        assert ">one<" in write_index(tmp_path / "reports").read_text(encoding="utf-8")


def test_the_command_rebuilds_all_and_their_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = tmp_path / "reports"
    for name in ("one", "two"):
        study(reports / name, name, "")
    parser = argparse.ArgumentParser()
    cli_report.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["report", str(reports)])
    assert arguments.run(arguments) == 0
    assert capsys.readouterr().out.split() == [
        str(reports / name) for name in ("one/index.html", "two/index.html", "index.html")
    ]
    assert all((reports / name / "index.html").exists() for name in ("one", "two", "."))

"""The generations of a population, with numbers derived by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actrec.report.figures.lineage import lineage, told
from actrec.report.page import build_report
from actrec.report.sections.generations import generations, latest
from actrec.report.tables import load
from actrec.report.values import Search
from actrec.results.ledger import Ledger
from tests.report.reading import Page
from tests.report.searched import searching, write_search

KIND = "<script>alert(1)</script>"  # a category
# number: the one that it goes on from, rate, kind, top-1 on validation; two members, three generations. After
# the first, #1 is replaced by a copy of #0, after the second #0's own by a copy of #3.
TRIED: dict[int, tuple[int | None, float, str, float | None]] = {
    0: (None, 0.1, "plain", 0.5),
    1: (None, 0.2, KIND, 0.4),
    2: (0, 0.1, "plain", 0.6),
    3: (0, 0.12, "plain", 0.7),
    4: (3, 0.096, KIND, None),
    5: (3, 0.12, "plain", 0.8),
}
COPIES = [3, 4]


def write(folder: Path, **changes: Any) -> Path:
    """The study; ``changes`` are of its search."""
    ledger = Ledger(folder)
    ledger.claim()
    plan = []
    for number, (parent, rate, kind, val) in TRIED.items():
        start = "" if parent is None else f"s{parent}"
        row: dict[str, Any] = {"trial_id": f"s{number}", "arm": f"#{number}", "factor": "search"}
        row |= {"level": str(number), "seed": 0, "stage": "search", "number": number}
        plan.append(row)
        came = {"status": "ok", "error": ""} if val else {"status": "failed", "error": "DivergedError: nan"}
        spec = {"a": {"rate": rate, "kind": kind}, "start": start, "seed": 0}
        ledger.append({**row, **came, "val_top1": val, "spec": json.dumps(spec)}, [], [])
    ledger.release()
    search = {
        "space": {
            "a.rate": {"kind": "float", "low": 0.01, "high": 1.0, "step": None, "log": True, "when": None},
            "a.kind": {"kind": "categorical", "choices": ["plain", KIND], "when": None},
        },
        "trials": 6,
        "sampler": "pbt",
        "population": 2,
        "objectives": ["val_top1"],
        "confirm": 0,
    }
    progress = {"stage": "search", "exhausted": False, "winner": None}
    study = {
        "name": "tiny",
        "study": {"metric": "top1", "search": search | changes},
        "plan": plan,
        "search": progress,
    }
    (folder / "study.json").write_text(json.dumps(study), encoding="utf-8")
    return folder


@pytest.fixture
def search(tmp_path: Path) -> Search:
    found = load(write(tmp_path)).search
    assert found is not None
    return found


def test_who_goes_on_from_whom(search: Search) -> None:
    assert [one.parent for one in search.tried] == [None, None, 0, 0, 3, 3]
    assert [one.number for one in search.tried if one.copied] == COPIES
    assert [search.generation(one) for one in search.tried] == [1, 1, 2, 2, 3, 3]
    assert [one.number for one in search.way()] == [0, 3, 5]


def test_lines_lead_from_each_trial_to_those_that_go_on_from_it(search: Search) -> None:
    figure = lineage(search, search.tried, search.way())
    found = {trace.name: trace for trace in figure.data}
    # #0 to #2 and #3 to #5 as they were, #0 to #3 with another rate; #4 failed and has no place.
    assert list(found["goes on"].x) == [1, 2, None, 2, 3, None]
    assert list(found["goes on"].y) == [50.0, 60.0, None, 70.0, 80.0, None]
    assert list(found["copy"].x) == [1, 2, None]
    assert list(found["copy"].y) == [50.0, 70.0, None]
    assert list(found["way to the best"].x) == [1, 2, None, 2, 3, None]
    assert list(found["way to the best"].y) == [50.0, 70.0, None, 70.0, 80.0, None]
    assert list(found["member"].y) == [50.0, 40.0, 60.0, 80.0]
    assert list(found["copied"].y) == [70.0]
    assert list(found["failed"].x) == [3]
    # Told apart without colour: by symbol, by dashes, by width.
    assert len({found[name].marker.symbol for name in ("member", "copied", "failed")}) == 3
    lines = [found[name].line for name in ("goes on", "copy", "way to the best")]
    assert len({(line.dash, line.width) for line in lines}) == 3


def test_a_point_tells_its_values_and_what_a_copy_changed(search: Search) -> None:
    by_number = {one.number: one for one in search.tried}
    assert told(by_number[0], by_number) == "#0<br>a.rate = 0.1<br>a.kind = plain"
    assert told(by_number[2], by_number) == "#2, goes on from #0<br>a.rate = 0.1<br>a.kind = plain"
    assert told(by_number[3], by_number) == "#3, a copy of #0<br>a.rate = 0.12, was 0.1<br>a.kind = plain"
    assert told(by_number[4], by_number).endswith("a.kind = &lt;script&gt;alert(1)&lt;/script&gt;, was plain")


def test_the_section_is_of_populations_alone(tmp_path: Path) -> None:
    report = load(write(tmp_path / "pbt"))
    assert generations(report) is not None
    page = Page(build_report(tmp_path / "pbt"))
    assert "generations-plot-data" in page.figures
    assert "2 members, each trained in parts" in page.words
    assert "The way to #5, the best of generation 3: its values in each" in page.words
    assert "2#3, a copy of #070.0 %0.12plain" in page.words
    assert generations(load(write(tmp_path / "tpe", sampler="tpe"))) is None


def test_a_search_that_has_not_begun_has_no_generations(tmp_path: Path) -> None:
    report = load(write_search(tmp_path, searching(sampler="pbt"), until=0))
    assert generations(report) is None


def test_of_very_many_trials_the_last_generations_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = load(write(tmp_path))
    assert report.search is not None
    assert latest(report.search) == list(report.search.tried)
    monkeypatch.setattr("actrec.report.sections.generations.MOST", 5)  # of two members, two generations
    assert [one.number for one in latest(report.search)] == [2, 3, 4, 5]
    assert "Drawn are the generations from 2 to 3" in str(generations(report))
    figure = lineage(report.search, latest(report.search), report.search.way())
    found = {trace.name: trace for trace in figure.data}
    assert list(found["way to the best"].x) == [2, 3, None]


def test_a_real_population_has_its_page(tmp_path: Path) -> None:
    found = load(write_search(tmp_path, searching(sampler="pbt", confirm=0))).search
    assert found is not None
    assert {one.parent is None for one in found.tried[:8]} == {True}
    assert all(one.parent is not None for one in found.tried[8:])
    for one in found.tried[8:]:
        parent = found.tried[one.parent or 0]
        assert found.generation(parent) == found.generation(one) - 1
        assert one.copied == ((parent.number, parent.params) != (one.number - 8, one.params))
    assert any(one.copied for one in found.tried)

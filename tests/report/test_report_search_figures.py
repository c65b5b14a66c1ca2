"""The figures of a search. The numbers are those of :mod:`tests.report.tiny_search`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from actrec.report.figures import search as figures
from actrec.report.figures.confirmation import confirmation
from actrec.report.figures.parallel import parallel_coordinates
from actrec.report.figures.space import axis, place
from actrec.report.tables import load
from actrec.report.values import Dimension, Importances, Search, Trial, Tried
from tests.report import tiny_search


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    found = load(tiny_search.whole(tmp_path_factory.mktemp("figures"))).search
    assert found is not None
    return found


def traces(figure: go.Figure) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_history_marks_every_kind_of_trial(search: Search) -> None:
    found = traces(figures.history(search, search.tried))
    assert list(found["best so far"].x) == [0, 1, 4]
    assert list(found["best so far"].y) == [50.0, 80.0, 80.0]
    assert list(found["default"].x) == [0]
    assert list(found["candidate"].x) == [1, 4]
    assert list(found["candidate"].y) == [80.0, 70.0]
    assert list(found["failed"].x) == [3]
    # With fresh seeds: the base 0.5, #1 0.65, #4 0.7.
    assert list(found["confirmed"].x) == [0, 1, 4]
    assert list(found["confirmed"].y) == pytest.approx([50.0, 65.0, 70.0])


def test_a_trial_pruned_far_below_is_a_triangle_at_the_edge(search: Search) -> None:
    figure = figures.history(search, search.tried)
    (low, high), pruned = figure.layout.yaxis.range, traces(figure)["pruned"]
    assert low < 50.0 < 80.0 < high
    assert list(pruned.y) == [low]
    assert list(pruned.marker.symbol) == ["triangle-down-open"]
    assert "val 30.0 %" in pruned.customdata[0]


def test_a_slice_has_the_trials_that_its_dimension_exists_for(search: Search) -> None:
    rate, kind, depth = search.space
    found = traces(figures.slices(search, search.tried, depth))
    assert list(found["candidate"].x) == [2.0, 3.0]
    assert [len(found[name].x) for name in ("complete", "pruned", "default")] == [0, 0, 0]
    found = traces(figures.slices(search, search.tried, rate))
    assert list(found["default"].x) == [0.001]
    assert list(found["pruned"].x) == [0.1]
    strip = traces(figures.slices(search, search.tried, kind))
    assert all(abs(x - 1) <= 0.25 for x in strip["candidate"].x)
    assert abs(strip["default"].x[0]) <= 0.25


def test_axes_are_as_the_space_is_searched() -> None:
    log = axis(Dimension("a", "a", low=0.001, high=0.1, log=True))
    assert (log["type"], log["tickvals"]) == ("log", [0.001, 0.01, 0.1])
    assert log["range"] == pytest.approx([-3.12, -0.88])  # two decades, and 6 % of them on both sides
    narrow = axis(Dimension("a", "a", low=2.0, high=6.0, log=True))
    assert narrow["tickvals"] == [2.0, 6.0]
    assert axis(Dimension("a", "a", low=1, high=12, whole=True))["dtick"] == 3
    assert axis(Dimension("a", "a", choices=(None, True, "x")))["ticktext"] == ["None", "True", "x"]


def test_true_is_not_one() -> None:
    def at(value: Any) -> float:
        found = place(Dimension("a", "a", choices=(1, True)), _tried(0, {"a": value}))
        assert found is not None
        return found

    assert round(at(1)) == 0
    assert round(at(True)) == 1
    assert place(Dimension("a", "a", choices=(1,)), _tried(0, {"a": 2})) is None
    assert place(Dimension("a", "a", low=0.0, high=1.0), _tried(0, {})) is None


def _tried(number: int, params: dict[str, Any], value: float = 0.5) -> Tried:
    trial = Trial(f"t{number}", f"#{number}", "search", "", 0, "ok", number=number)
    return Tried(number, trial, params, (value,))


def test_importances_have_a_bar_for_each_dimension_a_method_ranks(search: Search) -> None:
    found = [
        Importances("fANOVA", {"a.rate": 0.3, "a.kind": 0.7}),
        Importances("PED-ANOVA", {"a.rate": 0.1, "a.kind": 0.4, "a.depth": 0.5}),
    ]
    figure = figures.importances(found, search.space)
    # Sums: kind 1.1, depth 0.5, rate 0.4.
    assert list(figure.layout.yaxis.ticktext) == ["a.kind", "a.depth", "a.rate"]
    fanova, ped = figure.data
    assert (list(fanova.y), list(fanova.x)) == ([0, 2], [70.0, 30.0])
    assert (list(ped.y), list(ped.x)) == ([0, 1, 2], [40.0, 50.0, 10.0])


def test_two_dimensions_show_the_trials_that_have_both(search: Search) -> None:
    rate, _, depth = search.space
    (trace,) = figures.pair(search.tried, rate, depth).data
    assert (list(trace.x), list(trace.y)) == ([0.01, 0.05], [2.0, 3.0])
    assert list(trace.marker.color) == [80.0, 70.0]


def test_the_front_is_a_step_line(tmp_path: Path) -> None:
    found = load(tiny_search.write(tmp_path, "search", objectives=["val_top1", "seconds"])).search
    assert found is not None
    figure = figures.pareto(found, found.tried, 1, "seconds of work")
    front = traces(figure)["front"]
    assert (list(front.x), list(front.y)) == ([10.0, 20.0, 40.0], [50.0, 70.0, 80.0])
    assert figure.layout.xaxis.title.text == "seconds of work"


def test_candidates_fall_from_the_search_to_their_confirmation(search: Search) -> None:
    found = traces(confirmation(search.confirmed))
    assert list(found) == ["default", "#1", "#4, won"]  # the winner on top
    assert list(found["#1"].y) == pytest.approx([80.0, 65.0])
    # Search, confirmation, ablation on validation and on test.
    assert list(found["#4, won"].y) == pytest.approx([70.0, 70.0, 65.0, 70.0])
    assert list(found["#4, won"].error_y.array) == pytest.approx([0.0, 2.0, 0.0, 0.0])
    assert list(found["#1"].error_y.arrayminus) == pytest.approx([0.0, 5.0])


def test_places_that_nobody_has_come_to_are_left_out(tmp_path: Path) -> None:
    found = load(tiny_search.write(tmp_path, "search", "confirm")).search
    assert found is not None
    ticks = confirmation(found.confirmed).layout.xaxis.ticktext
    assert list(ticks) == ["search<br>val, one seed", "confirmation<br>val, fresh seeds"]


def test_a_line_passes_by_what_a_trial_does_not_have() -> None:
    settings: dict[str, list[Any]] = {
        "rate": [0.001, 0.01, 0.1, 0.05],
        "depth": [1, math.nan, 2, 3],
        "kind": ["a", math.nan, "b", "a"],
    }
    results = {"top-1": [10.0, 20.0, 30.0, 40.0]}
    figure = parallel_coordinates(settings, results, list("wxyz"), kind="trials", log=["rate"])
    assert [trace.name for trace in figure.data] == ["trials", "worst tenth", "best tenth"]
    lines = figure.data[0]  # x and y
    assert list(lines.x) == [0, 3, None, 0, 1, 2, 3, None]
    # The logarithm of 0.01 is half way from 0.001 to 0.1; 20 is a third of the way from 10 to 40.
    assert list(lines.y)[:2] == pytest.approx([0.5, 1 / 3])
    assert list(lines.customdata)[:3] == ["x", "x", "x"]
    labels = [note.text for note in figure.layout.annotations if note.x == 0]
    assert labels == ["0.001", "0.00316", "0.01", "0.0316", "0.1"]


def test_many_labels_are_on_two_lines() -> None:
    settings = {f"s{k}": [0.1, 0.2, 0.3, 0.4] for k in range(7)}
    ticks = parallel_coordinates(settings, {"r": [1.0, 2.0, 3.0, 4.0]}, list("wxyz")).layout.xaxis.ticktext
    assert list(ticks) == ["s0", "s1<br> ", "s2", "s3<br> ", "s4", "s5<br> ", "s6", "r<br> "]

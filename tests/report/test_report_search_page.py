"""The pages of a search, read without a browser."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.csv as pc
import pytest

from actrec.report.page import build_report
from actrec.report.tables import load
from actrec.report.words import answer
from actrec.results.ledger import Ledger
from tests.report import tiny_search
from tests.report.reading import Page
from tests.report.searched import searching, write_search
from tests.report.tiny import effect_row, write_effects

BUILD = (
    "import pathlib, sys; from actrec.report.page import build_report; "
    "build_report(pathlib.Path(sys.argv[1])); print([n for n in ('torch', 'ray') if n in sys.modules])"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_search.whole(tmp_path_factory.mktemp("search"))


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page(build_report(folder))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search with enough trials for everything, some of them pruned."""
    return write_search(tmp_path_factory.mktemp("real"), searching(stopping="asha"))


def sections(page: Page) -> list[str | None]:
    return [attrs.get("id") for tag, attrs in page.elements if tag == "section"]


def test_the_first_sentence_is_by_how_much_the_winner_is_better(page: Page) -> None:
    # The effect of putting everything back is −0.2 [−0.3, −0.1]: of the winner, the other way round.
    kind = tiny_search.KIND
    told = f"Search: trial #4 (rate 0.05, kind {kind}, depth 3) is confirmed: +20.0 points [+10.0, +30.0]"
    assert f"{told} over the default on 2 fresh seeds." in page.words


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        ("inconclusive", "is not confirmed: +20.0 points [+10.0, +30.0] over the default"),
        ("helps", "is worse than the default after all: +20.0 points"),
        ("no practical effect", "is no better in practice: +20.0 points"),
        ("took no effect", "does exactly what the default does: +20.0 points over the default on"),
        ("strange", "has no clear verdict (strange): +20.0 points"),
    ],
)
def test_the_first_sentence_follows_the_verdict(tmp_path: Path, verdict: str, told: str) -> None:
    folder = tiny_search.whole(tmp_path)
    row = {"arm": "default", "n_seeds": 2, "difference": -0.2, "low": -0.3, "high": -0.1}
    write_effects(folder, effect_row(**row, verdict=verdict))
    assert told in answer(load(folder))


def test_seeds_that_would_settle_it_are_named(tmp_path: Path) -> None:
    folder = tiny_search.whole(tmp_path)
    row = {"arm": "default", "n_seeds": 2, "verdict": "inconclusive", "more_seeds": 4}
    write_effects(folder, effect_row(**row))
    assert answer(load(folder)).endswith("on 2 fresh seeds; 4 more seeds would settle it.")


def test_what_is_compared_with_what_is_said_once(page: Page) -> None:
    told = "Here the baseline is the winner, #4, and every row takes back what it changes"
    assert page.words.count(told) == 1
    assert "“hurts” means that without the change accuracy falls" in page.words


def test_sections_of_the_search_come_with_it(page: Page) -> None:
    assert sections(page)[:8] == [
        "stages", "answer", "confirmation", "history", "importances", "slices", "tried", "setup",
    ]  # fmt: skip
    assert {"arms", "cost", "failures", "trials", "provenance"} <= set(sections(page))
    assert "settings" not in sections(page)
    assert "pareto" not in sections(page)


def test_the_searchs_own_score_is_called_what_it_is(page: Page) -> None:
    assert "Top-1, val, one seed" in page.words
    assert "top-1 is of one seed on validation, and no result" in page.words
    # #4 by one seed, then confirmed: in the table of the search.
    assert "#4 wons4✓ ok270.0 %70.0 %0.05" in page.words


def test_the_confirmation_shows_what_was_lost(page: Page) -> None:
    # #1: (0.6 + 0.7) / 2 with fresh seeds, 0.8 in the search.
    assert "#12 of 265.0 %60.0 % to 70.0 %80.0 %−15.0" in page.words


def test_pruned_is_no_failure(page: Page) -> None:
    assert "15 of 17 ok · 1 failed · 1 pruned" in page.words
    assert "1 of 17 trials failed." in page.words
    assert "1 were pruned: stopped early by the search, which is no failure." in page.words
    assert "◔ pruned" in page.words
    assert "3 ok · 1 pruned · 1 failed" in page.words


def test_trials_that_are_not_proposed_yet_are_not_run_yet(tmp_path: Path) -> None:
    words = Page(build_report(tiny_search.write(tmp_path, "search", trials=7))).words
    assert "3 of 7 ok · 1 failed · 1 pruned · 2 not run" in words
    assert "In progress. 2 of 7 trials of the search have not run." in words


def test_the_list_of_studies_counts_pruned_trials(tmp_path: Path) -> None:
    build_report(tiny_search.whole(tmp_path / "reports" / "tiny"))
    assert "15 of 17, 1 failed, 1 pruned" in Page(tmp_path / "reports" / "index.html").words


def test_cost_counts_all_stages(page: Page) -> None:
    # 76 s, 6 × 30 s and 6 × 60 s.
    assert "search576.0 s15.2 sconfirmation63 min 0 s30.0 sablation66 min 0 s60.0 s" in page.words
    assert "all stages10 min 16 s" in page.words


def test_every_stage_has_its_seeds_in_the_provenance(page: Page) -> None:
    assert "Seedssearch 0 · confirmation 1, 2 · ablation 3, 4" in page.words


def test_too_few_trials_say_so(page: Page) -> None:
    assert "It takes 10 trials that ran to their end; 3 did so far." in page.words
    assert "importances-plot-data" not in page.figures


def test_names_are_text(page: Page) -> None:
    scripts = [attrs for tag, attrs in page.elements if tag == "script"]
    assert sum("type" not in attrs for attrs in scripts) == 2  # plotly.js and ours
    assert tiny_search.KIND in page.words
    for figure in page.figures.values():
        assert "<" not in figure
    ticks = json.loads(page.figures["slice-1-data"])["layout"]["xaxis"]["ticktext"]
    assert ticks == ["plain", "&lt;script&gt;alert(1)&lt;/script&gt;"]


def test_the_search_is_exported(folder: Path, page: Page) -> None:
    rows = pc.read_csv(folder / "exports" / "search.csv").to_pylist()
    assert [row["number"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[4] == {
        "number": 4,
        "trial_id": "s4",
        "status": "ok",
        "val_top1": 0.7,
        "a.rate": 0.05,
        "a.kind": tiny_search.KIND,
        "a.depth": 3,
    }
    assert rows[0]["a.depth"] is None
    assert "search.csv" in page.words


def test_optunas_file_is_linked_where_it_is(tmp_path: Path, page: Page) -> None:
    assert "optuna-dashboard" not in page.words
    folder = tiny_search.whole(tmp_path)
    (folder / "optuna.journal").touch()
    found = Page(build_report(folder))
    assert "optuna-dashboard optuna.journal" in found.words
    assert "optuna.journal" in [attrs.get("href") for tag, attrs in found.elements if tag == "a"]


def test_several_objectives_have_a_front(tmp_path: Path) -> None:
    found = Page(build_report(tiny_search.whole(tmp_path, objectives=["val_top1", "seconds"])))
    assert "3 trials of 3 are beaten by no other in all of 2 objectives: #1, #4, #0." in found.words
    assert "pareto-1-data" in found.figures
    assert "seconds of work" in found.words


@pytest.mark.parametrize(
    ("stages", "changes", "told"),
    [
        ((), {}, "The search is under way: 0 of 5 trials have ended."),
        (("search",), {"trials": 7}, "The search is under way: 5 of 7 trials have ended."),
        (("search",), {}, "The search has ended after 5 trials; the confirmation follows."),
        (("search", "confirm"), {}, "The confirmation has ended; the ablation follows."),
    ],
)
def test_a_search_under_way_has_a_page(
    tmp_path: Path, stages: tuple[str, ...], changes: dict[str, int], told: str
) -> None:
    page = Page(build_report(tiny_search.write(tmp_path, *stages, **changes)))
    assert told in page.words
    assert "They follow: first the search and the confirmation find a winner" in page.words
    assert not {"arms", "fit", "curves", "confusion", "classes"} & set(sections(page))
    assert {"stages", "answer", "setup", "failures", "trials", "data", "provenance"} <= set(sections(page))


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (
            {"winner": 0},
            "Search: no candidate beat the default on validation, of 2 candidates out of 5 trials",
        ),
        ({"winner": None}, "The confirmation has ended; the ablation follows."),
        ({"winner": 4}, "won the confirmation; the ablation follows."),
    ],
)
def test_a_confirmation_that_ended_says_who_won(
    tmp_path: Path, progress: dict[str, int | None], told: str
) -> None:
    folder = tiny_search.write(tmp_path, "search", "confirm")
    tiny_search.amend(folder, search={"stage": "confirm", **progress})
    page = Page(build_report(folder))
    assert told in page.words


def test_nobody_to_confirm_is_no_result(tmp_path: Path) -> None:
    folder = tiny_search.write(tmp_path, "search", confirm=0)
    tiny_search.amend(folder, search={"stage": "confirm"})
    words = Page(build_report(folder)).words
    assert "The search has ended after 5 trials without a result: none was to be confirmed." in words
    assert "No trial was confirmed, so nothing is judged on the test split." in words


def test_a_real_search_shows_everything(real: Path) -> None:
    page = Page(build_report(real))
    space = 7
    figures = {
        "confirmation-plot", "effect-plot", "history-plot", "importances-plot", "pair-plot",
        "search-parallel",
    } | {f"slice-{number}" for number in range(space)}  # fmt: skip
    assert {f"{name}-data" for name in figures} <= set(page.figures)
    for attrs in (attrs for _, attrs in page.elements if attrs.get("class") == "canvas"):
        assert attrs["aria-label"]
    assert "where freeze.strategy is first_k" in page.words


def test_another_process_gives_the_same_bytes_without_torch_and_ray(real: Path) -> None:
    first = build_report(real).read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(real)], check=True, timeout=60, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
    assert (real / "index.html").read_bytes() == first


def test_short_memory_is_flagged(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.claim()
    row = {"arm": "baseline", "factor": "", "level": "", "status": "ok", "test_top1": 0.5}
    spec = json.dumps({"optim": {"batch_size": 32}})
    ledger.append(row | {"trial_id": "t0", "seed": 0, "batch_size": 32, "spec": spec}, [], [])
    whole = Page(build_report(tmp_path)).words
    assert "Memory was short" not in whole
    ledger.append(row | {"trial_id": "t1", "seed": 1, "batch_size": 16, "spec": spec}, [], [])
    words = Page(build_report(tmp_path)).words
    assert "Memory was short: baseline trained with smaller batches than asked for" in words
    assert "✓ ok, batches of 16 for 32" in words

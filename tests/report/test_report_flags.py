"""What a page says of studies that are not as they should be, or not done."""

from __future__ import annotations

from pathlib import Path

import pytest

from actrec.report.page import build_report
from actrec.report.sections.verdicts import SEEDS_ALONE
from actrec.results.ledger import Ledger
from actrec.stats.paired import ESTIMAND
from tests.report import tiny
from tests.report.example import SEEDS, write_example
from tests.report.reading import Page

NASTY = ("<script>alert(1)</script>", "quote \"double\" & 'single'", "</script><img src=x onerror=alert(2)>")
BUILD = (
    "import pathlib, sys; from actrec.report.page import build_report; "
    "build_report(pathlib.Path(sys.argv[1]))"
)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("example") / "study")


@pytest.fixture(scope="module")
def page(example: Path) -> Page:
    return Page(build_report(example))


def test_a_sweep_in_progress_says_so(tmp_path: Path) -> None:
    folder = write_example(tmp_path, done=14)
    page = Page(build_report(folder))
    assert "14 of 60 trials have finished; there is no verdict yet." in page.words
    assert "In progress. 46 of 60 trials have not run. Everything below is provisional." in page.words
    assert page.words.count("○ not yet run") == 46 + 1  # the button that leaves only these
    assert page.words.count("◆ not yet") == 11


def test_a_study_before_its_first_trial_has_a_page(tmp_path: Path) -> None:
    folder = write_example(tmp_path, done=0)
    page = Page(build_report(folder))
    assert f"No trial has finished yet: of {12 * len(SEEDS)} trials, 60 have not run." in page.words
    assert set(page.figures) == {"data-classes-data"}


def test_a_study_where_everything_failed_has_a_page(tmp_path: Path) -> None:
    tiny.write_ledger(tmp_path, ["a1"])
    page = Page(build_report(tmp_path))
    assert "No trial has finished yet: of 1 trial, 1 failed." in page.words
    assert "DivergedError: loss is nan" in page.words
    assert "How many videos are undecodable is not recorded." in page.words


def test_a_straddling_group_and_a_loud_placebo_are_flagged(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    tiny.write_study(folder, manifest={"straddling_groups": 2})
    tiny.write_effects(folder, tiny.effect_row(arm="placebo", factor="placebo", level="1", verdict="hurts"))
    text = Page(build_report(folder)).words
    assert "2 groups of videos lie on both sides of a split" in text
    assert "The placebo changes nothing, yet “hurts”" in text


def test_near_duplicates_and_unequal_budgets_are_flagged(page: Page, tmp_path: Path) -> None:
    assert "Near-duplicates on both sides of a splitnot checked" in page.words
    folder = tiny.write_tiny(tmp_path)
    tiny.write_study(folder, manifest={"near_duplicates": 3})
    tiny.write_effects(folder, tiny.effect_row(fair_budget=False))
    text = Page(build_report(folder)).words
    assert "3 pairs of near-duplicates lie on both sides of a split" in text
    assert "Unequal budgets: a=x trained for other epochs or clips than the baseline." in text


def test_an_arm_that_validation_likes_too_much_is_flagged(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.claim()
    entry = {"trial_id": "x0", "arm": "a=x", "factor": "a", "level": "x", "seed": 0}
    ledger.append(entry | {"status": "ok", "val_top1": 0.9, "test_top1": 0.7, "n_test": 100}, [], [])
    tiny.write_study(tmp_path, plan=[entry], manifest={"counts": {"val": 100, "test": 100}})
    text = Page(build_report(tmp_path)).words
    assert "Optimism: a=x, selected on validation, scores 20.0 points higher there than on test." in text


@pytest.mark.parametrize(
    ("counts", "cv"), [({"test": 100}, ""), ({"val": 100, "test": 100}, "5"), ({"train": 200}, "5")]
)
def test_where_chance_cannot_be_told_the_page_does_not_speak_of_it(
    tmp_path: Path, counts: dict[str, int], cv: str
) -> None:
    """Without validation videos, or where the manifest's are not those that folds selected on."""
    ledger = Ledger(tmp_path)
    ledger.claim()
    entry = {"trial_id": "x0", "arm": "a=x", "factor": "a", "level": "x", "seed": 0}
    row = entry | {"status": "ok", "val_top1": 0.9, "test_top1": 0.7, "n_test": 100}
    epochs = [{"epoch": 0, "split": "test", "metric": "top1", "value": 0.7}]
    ledger.append(row, epochs, [])
    study = {"metric": "top1", "base": {"data": {"cv": cv}}}
    tiny.write_study(tmp_path, plan=[entry], manifest={"counts": counts}, study=study)
    text = Page(build_report(tmp_path)).words
    assert "a=x, selected on validation, scores +20.0 points there against the test split. " in text
    assert "chance explains" not in text
    assert "Optimism: " not in text


def test_the_intervals_of_a_race_are_called_what_they_are(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    tiny.write_study(folder, looks=3)
    text = Page(build_report(folder)).words
    assert "98.3 % interval" in text.replace("\u202f", " ")
    assert "95 % interval" not in text.replace("\u202f", " ")
    assert "Arms are judged at up to 3 numbers of seeds, so p is multiplied by 3" in text
    table = (folder / "exports" / "verdicts.csv").read_text(encoding="utf-8")
    assert '"confidence"' in table.splitlines()[0]
    assert f"{1 - 0.05 / 3:.6f}" in table


def test_without_predictions_the_page_says_that_intervals_are_for_new_seeds(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    tiny.write_effects(folder, tiny.effect_row(n_videos=0, n_groups=0))
    text = Page(build_report(folder)).words
    assert SEEDS_ALONE in text
    assert ESTIMAND not in text
    tiny.write_effects(folder, tiny.effect_row(n_videos=4, n_groups=4))
    text = Page(build_report(folder)).words
    assert SEEDS_ALONE not in text
    assert ESTIMAND in text


def test_what_would_settle_a_verdict_is_beside_it(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    open_ = tiny.effect_row(verdict="inconclusive", more_seeds=4, n_videos=4, margin=0.02)
    tiny.write_effects(folder, open_)
    text = Page(build_report(folder)).words
    assert "● inconclusive +4 seeds" in text
    assert "“+4 seeds”: that many more would settle it" in text
    assert "Between the dashed lines, ± 2.0 points, a difference does not matter in practice." in text
    assert ESTIMAND in text
    tiny.write_effects(folder, open_ | {"more_seeds": None, "needs_videos": True})
    assert "● inconclusive + videos" in Page(build_report(folder)).words
    tiny.write_effects(folder, open_ | {"verdict": "no practical effect"})
    text = Page(build_report(folder)).words
    assert "■ no practical effect" in text
    assert "Of 2 changes, 0 hurt, 0 help, 1 is without practical effect and 1 is not judged yet" in text

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from scipy import stats

from actrec import cli_report
from actrec.report.comparison import compare
from actrec.report.page import build_comparison
from actrec.results.ledger import Ledger
from actrec.spec import TrialSpec, override
from tests.report import tiny

NASTY = "<script>alert(1)</script>"


def write(
    folder: Path,
    seeds: Mapping[int, Sequence[int]],
    verdict: str = "hurts",
    videos: Sequence[str] = ("v0", "v1", "v2", "v3"),
    epochs: int = 20,
) -> Path:
    """A baseline whose seeds predict the given classes, and the effect of one arm. Labels are 0, 0, 1, 1."""
    ledger = Ledger(folder)
    ledger.claim()
    names = ["zero", NASTY]
    plan = []
    for seed, predicted in seeds.items():
        own = {"trial_id": f"b{seed}", "arm": "baseline", "factor": "", "level": "", "seed": seed}
        plan.append(own)
        hits = [int(guess == label) for guess, label in zip(predicted, (0, 0, 1, 1), strict=True)]
        spec = json.dumps(override(TrialSpec(seed=seed), {"optim.epochs": epochs}).to_dict())
        rows = [
            {"video_id": v, "group": v, "fold": 0, "label": label, "scores": [1.0 - guess, float(guess)]}
            for v, guess, label in zip(videos, predicted, (0, 0, 1, 1), strict=True)
        ]
        ledger.append(own | {"status": "ok", "test_top1": sum(hits) / 4, "spec": spec}, [], rows)
    for seed in seeds:
        own = {"trial_id": f"a{seed}", "arm": NASTY, "factor": "a", "level": "x", "seed": seed}
        plan.append(own)
        ledger.append(own | {"status": "ok", "test_top1": 0.5}, [], [])
    tiny.write_study(folder, name=NASTY, plan=plan, manifest={"class_names": names})
    tiny.write_effects(folder, tiny.effect_row(arm=NASTY, n_seeds=len(seeds), verdict=verdict))
    return folder


def test_baselines_are_paired_by_seed_and_video(tmp_path: Path) -> None:
    ours = write(tmp_path / "ours", {0: (0, 0, 1, 1), 1: (0, 0, 1, 0)})  # 4 and 3 right of 4
    theirs = write(tmp_path / "theirs", {1: (0, 1, 1, 0), 0: (0, 1, 1, 1), 7: (0, 0, 0, 0)})  # 2 and 3
    found = compare(ours, theirs).baselines
    # Both seeds gain video v1 and nothing else: differences are 1/4 and 1/4, so seeds do not vary. Of the
    # groups, one video each, (d − 1/4) / 4 is 3/16 once and −1/16 three times; over 1 − 1/4 the squares add
    # up to (9 + 3) / 256 · 4/3 = 1/16, the standard error to 1/4, with 3 degrees of freedom.
    assert (found.difference, found.n_seeds, found.n_videos) == (0.25, 2, 4)
    half = 0.25 * stats.t.ppf(0.975, 3)
    assert found.low == pytest.approx(0.25 - half)
    assert found.high == pytest.approx(0.25 + half)
    assert found.ours == pytest.approx(3.5 / 4)
    assert found.theirs == pytest.approx(math.fsum((2, 3, 2)) / 3 / 4)


def test_what_cannot_be_paired_says_why(tmp_path: Path) -> None:
    ours = write(tmp_path / "ours", {0: (0, 0, 1, 1)})
    other = write(tmp_path / "other", {0: (0, 0, 1, 1)}, videos=("v0", "v1", "v2", "w"))
    found = compare(ours, other).baselines
    assert found.difference is None
    assert found.why == "their test videos are not the same: 4 and 4, of which 3 are in both with one class"
    late = write(tmp_path / "late", {5: (0, 0, 1, 1)})
    assert compare(ours, late).baselines.why == "they have no seed in common"
    same = compare(ours, ours).baselines
    assert (same.difference, same.low) == (0.0, None)
    assert same.why.startswith("one seed")


def test_settings_and_verdicts_that_differ(tmp_path: Path) -> None:
    seeds = {0: (0, 0, 1, 1), 1: (0, 0, 1, 0)}
    ours = write(tmp_path / "ours", seeds)
    theirs = write(tmp_path / "theirs", seeds, "inconclusive", epochs=7)
    found = compare(ours, theirs)
    assert found.settings == (("optim.epochs", 20, 7),)
    (pair,) = found.pairs
    assert (pair.arm, pair.ours.verdict, pair.theirs.verdict, pair.changed) == (
        NASTY, "hurts", "inconclusive", True,
    )  # fmt: skip
    assert (found.only_ours, found.only_theirs) == ((), ())
    assert not compare(ours, ours).pairs[0].changed
    (tmp_path / "tiny").mkdir()
    apart = compare(ours, tiny.write_tiny(tmp_path / "tiny"))
    assert (apart.pairs, apart.only_ours) == ((), (NASTY,))
    assert apart.only_theirs == ("placebo", "a=x", "a=y")


def test_names_tell_the_studies_apart(tmp_path: Path) -> None:
    seeds = {0: (0, 0, 1, 1)}
    ours, theirs = write(tmp_path / "one", seeds), write(tmp_path / "two", seeds)
    assert compare(ours, theirs).names == (f"{NASTY} (one)", f"{NASTY} (two)")
    beside = write(tmp_path / "more" / "one", seeds)
    assert compare(ours, beside).names == (f"{NASTY} ({ours})", f"{NASTY} ({beside})")
    tiny.write_study(theirs, name="another")
    assert compare(ours, theirs).names == (NASTY, "another")


def test_the_page_has_both_and_names_are_text(
    tmp_path: Path, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = {0: (0, 0, 1, 1), 1: (0, 0, 1, 0)}
    ours, theirs = write(tmp_path / "ours", seeds), write(tmp_path / "theirs", seeds, "helps")
    parser = argparse.ArgumentParser()
    cli_report.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["report", str(ours), "--against", str(theirs)])
    assert arguments.run(arguments) == 0
    path = build_comparison(ours, theirs)
    assert capsys.readouterr().out.strip() == str(path)
    said: list[str] = []
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto(path.as_uri())
    assert page.locator("h1").inner_text() == f"{NASTY} (ours) against {NASTY} (theirs)"
    assert "Of 1 arm in common, 1 changed the verdict" in page.locator(".answer").inner_text()
    assert page.locator("#arms tbody th").all_inner_texts() == [NASTY]
    assert page.locator("#arms tbody .pill").all_inner_texts() == ["▼ hurts", "▲ helps"]
    assert said == []
    page.close()

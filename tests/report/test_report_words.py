from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from actrec.report import words
from actrec.report.tables import load
from actrec.report.values import ONE_SEED, Effect, Report
from tests.report import tiny


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return load(tiny.write_tiny(tmp_path_factory.mktemp("tiny")))


def effect(arm: str, verdict: str, difference: float | None, half: float | None = None) -> Effect:
    return Effect(
        arm=arm,
        factor="f",
        level="l",
        metric="top1",
        n_seeds=5,
        n_failed=0,
        verdict=verdict,
        difference=difference,
        low=None if half is None or difference is None else difference - half,
        high=None if half is None or difference is None else difference + half,
    )


def test_the_answer_counts_every_change_and_the_placebo_apart(report: Report) -> None:
    assert words.answer(report) == (
        "Of 2 changes, 1 hurts (a=x, −25.0 points), 0 help and 1 is not judged yet; "
        "noise is ± 10.0 points (placebo: 0.0)."
    )


def test_the_answer_names_the_three_largest(report: Report) -> None:
    found = tuple(effect(f"a{i}", "helps", 0.1 - i / 100) for i in range(4))
    assert words.answer(dataclasses.replace(report, effects=found)) == (
        "Of 4 changes, 0 hurt and 4 help (a0, +10.0 points; a1, +9.0 points; a2, +8.0 points; 1 more)."
    )


def test_a_placebo_with_a_verdict_is_not_called_noise(report: Report) -> None:
    found = (effect("a", "inconclusive", 0.01), effect("placebo", "hurts", -0.08, half=0.046))
    answer = words.answer(dataclasses.replace(report, effects=found))
    assert answer.endswith("1 is inconclusive; noise is ± 4.6 points (placebo: −8.0, hurts!).")


def test_arms_that_took_no_effect_did_nothing(report: Report) -> None:
    found = (effect("a", "inconclusive", 0.01), *(effect(f"b{i}", "took no effect", 0.0) for i in range(2)))
    assert words.answer(dataclasses.replace(report, effects=found)) == (
        "Of 3 changes, 0 hurt, 0 help, 1 is inconclusive and 2 did nothing."
    )


def test_one_seed_judges_nothing(report: Report) -> None:
    alone = (effect("a", ONE_SEED, 0.2), effect("b", ONE_SEED, -0.1), effect("placebo", ONE_SEED, -0.03))
    assert words.answer(dataclasses.replace(report, effects=alone)) == (
        "Of 2 changes, none is judged: one seed cannot tell an effect from noise; "
        "the placebo moved −3.0 points."
    )
    mixed = (effect("a", ONE_SEED, 0.2), effect("b", "took no effect", 0.0))
    assert words.answer(dataclasses.replace(report, effects=mixed)) == (
        "Of 2 changes, 0 hurt, 0 help, 1 is not judged (one seed) and 1 did nothing."
    )


def test_the_answer_before_any_verdict(report: Report) -> None:
    pending = (effect("a", "not yet", None),)
    assert words.answer(dataclasses.replace(report, effects=pending)) == (
        "4 of 6 trials have finished; there is no verdict yet."
    )


def test_the_answer_before_any_trial(tmp_path: Path) -> None:
    tiny.write_study(tmp_path)
    assert words.answer(load(tmp_path)) == "No trial has finished yet: of 6 trials, 6 have not run."
    tiny.write_ledger(tmp_path, ["a1"])
    assert words.answer(load(tmp_path)) == (
        "No trial has finished yet: of 6 trials, 1 failed and 5 have not run."
    )


@pytest.mark.parametrize(
    ("metric", "difference", "text"),
    [
        ("top1", -0.1324, "−13.2"),
        ("top1", 0.004, "+0.4"),
        ("top1", -0.0004, "0.0"),
        ("top1", None, "–"),
        ("loss", 0.1234, "+0.123"),
        ("loss", -0.0001, "0.000"),
    ],
)
def test_differences_are_signed_in_their_unit(metric: str, difference: float | None, text: str) -> None:
    assert words.unit(metric).signed(difference) == text


def test_numbers_in_words() -> None:
    assert words.unit("top1").interval(-0.1, 0.05) == "[−10.0, +5.0]"
    assert words.unit("top1").interval(None, 0.05) == "–"
    assert words.percent(0.8764) == "87.6\u202f%"
    assert [words.count(n, "trial") for n in (0, 1, 1200)] == ["0 trials", "1 trial", "1,200 trials"]
    assert [words.duration(s) for s in (None, 2.44, 151.2, 7260.0)] == [
        "–",
        "2.4 s",
        "2 min 31 s",
        "2 h 1 min",
    ]
    assert [words.p_value(p) for p in (None, 0.0004, 0.0312, 1.0)] == ["–", "< 0.001", "0.031", "1.000"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-03-01T09:00:00+00:00", "2026-03-01 09:00:00 UTC"),
        ("2026-03-01T09:00:00.123456+02:00", "2026-03-01 07:00:00 UTC"),
        ("2026-03-01T09:00:00", "2026-03-01T09:00:00"),  # of no known zone
        ("yesterday", "yesterday"),
        ("", ""),
    ],
)
def test_a_time_is_told_in_utc(text: str, told: str) -> None:
    assert words.moment(text) == told

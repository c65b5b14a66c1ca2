from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import classification_report

from actrec.errors import LedgerError
from actrec.report.optimism import large_gap, selected
from actrec.report.record import at
from actrec.report.tables import load
from actrec.report.values import Report
from actrec.results.ledger import Ledger
from actrec.results.schema import table
from tests.report import tiny


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return load(tiny.write_tiny(tmp_path_factory.mktemp("tiny")))


def test_every_planned_trial_is_there_with_its_status(report: Report) -> None:
    assert {trial.trial_id: trial.status for trial in report.trials} == {
        "b0": "ok", "b1": "ok", "p0": "ok", "a0": "ok", "a1": "failed", "w0": "waiting",
    }  # fmt: skip
    assert (report.planned, report.count("ok"), report.count("failed"), report.count("waiting")) == (
        6,
        4,
        1,
        1,
    )
    assert (
        next(trial.error for trial in report.trials if trial.trial_id == "a1") == "DivergedError: loss is nan"
    )


def test_arms_keep_the_plans_order_after_baseline_and_placebo(report: Report) -> None:
    assert [arm.name for arm in report.arms] == ["baseline", "placebo", "a=x", "a=y"]
    assert [len(arm.finished) for arm in report.arms] == [2, 1, 1, 0]


def test_effects_name_every_arm_the_decided_first_and_the_placebo_last(report: Report) -> None:
    assert [(effect.arm, effect.verdict) for effect in report.effects] == [
        ("a=x", "hurts"),
        ("a=y", "not yet"),
        ("placebo", "inconclusive"),
    ]
    assert [(effect.metric, effect.difference) for effect in report.further] == [("loss", 0.125)]
    unjudged = report.effects[1]
    assert (unjudged.difference, unjudged.low, unjudged.p, unjudged.n_seeds) == (None, None, None, 0)


def test_curves_are_the_mean_and_the_range_over_seeds(report: Report) -> None:
    # Baseline, validation top-1: seeds 0.5, 0.8 and 0.3, 0.6.
    curve = next(curve for curve in report.curves if curve.arm == "baseline")
    assert (curve.split, curve.metric, curve.epoch) == ("val", "top1", (0, 1))
    assert curve.mean == pytest.approx((0.4, 0.7))
    assert (curve.low, curve.high) == ((0.3, 0.6), (0.5, 0.8))


def test_confusion_sums_the_seeds(report: Report) -> None:
    # Labels 0 0 1 2. Seed 0 predicts 0 0 1 2, all right; seed 1 predicts 0 1 1 1.
    baseline = report.outcomes["baseline"]
    assert baseline.confusion.tolist() == [[3, 1, 0], [0, 2, 0], [0, 1, 1]]
    assert baseline.recall.tolist() == [0.75, 1.0, 0.5]
    assert baseline.n_seeds == 2


def test_recall_of_a_class_without_videos_is_not_a_number() -> None:
    from actrec.report.values import Outcome

    recall = Outcome("baseline", 1, np.array([[2, 0], [0, 0]])).recall
    assert recall[0] == 1.0
    assert np.isnan(recall[1])


def test_class_report_is_the_mean_of_scikit_learns(report: Report) -> None:
    seeds = [
        classification_report(tiny.LABELS, predicted, output_dict=True, zero_division=0)
        for predicted in ((0, 0, 1, 2), (0, 1, 1, 1))
    ]
    found = report.class_reports["baseline"]
    named = [
        *zip("012", found.rows, strict=True),
        ("macro avg", found.macro),
        ("weighted avg", found.weighted),
    ]
    for name, row in named:
        for key, value in (("precision", row.precision), ("recall", row.recall), ("f1-score", row.f1)):
            assert value == pytest.approx(np.mean([seed[name][key] for seed in seeds])), (name, key)
        assert row.support == seeds[0][name]["support"]
    assert found.accuracy == pytest.approx((1.0 + 0.5) / 2)
    assert [row.name for row in found.rows] == list(tiny.CLASSES)


def test_the_best_change_is_selected_on_validation_and_is_no_placebo(report: Report) -> None:
    # The placebo's 0.99 is higher than a=x's 0.8, and does not count; baseline: (0.9 + 0.7) / 2.
    assert report.best is not None
    assert (report.best.arm, report.best.val_top1) == ("a=x", 0.8)
    assert report.best.baseline == pytest.approx(0.8)
    assert set(report.class_reports) == {"baseline", "a=x"}


def test_data_counts_all_videos(report: Report) -> None:
    assert report.data.videos == 3 + 2 + 2 + 2 + 1 + 1
    assert report.data.undecodable == ()
    assert report.data.straddling_groups is None


def test_counts_by_split_alone_are_understood(tmp_path: Path) -> None:
    tiny.write_study(tmp_path, manifest={"counts": {"train": 7, "test": 4, "unused": 0}})
    report = load(tmp_path)
    assert report.data.counts == {"train": {"": 7}, "test": {"": 4}}
    assert report.data.videos == 11


def test_a_ledger_alone_is_a_report(tmp_path: Path) -> None:
    tiny.write_ledger(tmp_path)
    report = load(tmp_path)
    assert report.planned == 5
    assert report.name == tmp_path.name
    assert report.class_names == ("class 0", "class 1", "class 2")
    assert report.data.undecodable is None


def test_trials_of_an_earlier_plan_are_kept_and_not_used(tmp_path: Path) -> None:
    tiny.write_ledger(tmp_path)
    plan = [{"trial_id": "b0", "arm": "baseline", "factor": "", "level": "", "seed": 0}]
    tiny.write_study(tmp_path, plan=plan)
    report = load(tmp_path)
    assert report.planned == 1
    assert [trial.trial_id for trial in report.trials if not trial.planned] == ["a0", "a1", "b1", "p0"]
    assert [arm.name for arm in report.arms] == ["baseline"]


def test_two_plans_in_one_folder_do_not_mix(tmp_path: Path) -> None:
    """The same study on data of 10 and of 6 classes: trials of two plans with the same names of arms."""
    for classes, prefix in ((10, "ten"), (6, "six")):
        ledger = Ledger(tmp_path)
        ledger.claim()
        for arm in ("baseline", "a=x", "a=only"):
            scores = [1.0] + [0.0] * (classes - 1)
            row = {"trial_id": f"{prefix}{arm[-1]}", "arm": arm, "factor": "a", "level": "x", "seed": 0}
            result = {"status": "ok", "val_top1": classes / 10, "test_top1": 1.0, "n_test": classes}
            prediction = {"video_id": "v", "group": "g", "fold": 0, "label": 0, "scores": scores}
            epoch = {"epoch": 1, "split": "val", "metric": "top1", "value": classes / 10}
            ledger.append(row | result, [epoch], [prediction])
        ledger.compact()
    plan = [
        {"trial_id": "sixe", "arm": "baseline", "factor": "", "level": "", "seed": 0},
        # Another design has the same trial as another arm: the plan says which.
        {"trial_id": "sixx", "arm": "b=y", "factor": "b", "level": "y", "seed": 3},
    ]
    tiny.write_study(tmp_path, plan=plan, manifest={"class_names": list("abcdef")})
    tiny.write_effects(
        tmp_path,
        tiny.effect_row(arm="a=only"),
        tiny.effect_row(arm="b=y", factor="old", level="old"),
    )
    report = load(tmp_path)
    assert report.class_names == tuple("abcdef")
    assert {name: outcome.confusion.shape for name, outcome in report.outcomes.items()} == {
        "baseline": (6, 6),
        "b=y": (6, 6),
    }
    assert {curve.arm: curve.mean for curve in report.curves} == {"baseline": (0.6,), "b=y": (0.6,)}
    assert [(e.arm, e.factor, e.level) for e in report.effects] == [("b=y", "b", "y")]
    assert [(t.arm, t.factor, t.level, t.seed) for t in report.trials if t.trial_id == "sixx"] == [
        ("b=y", "b", "y", 3)
    ]
    assert (report.planned, report.n_test, report.seeds) == (2, 6, [0, 3])
    assert sum(not trial.planned for trial in report.trials) == 4


def test_effects_of_more_seeds_than_have_finished_are_of_another_plan(tmp_path: Path) -> None:
    tiny.write_ledger(tmp_path, ["b0", "a0"])
    tiny.write_study(tmp_path)
    tiny.write_effects(tmp_path, tiny.effect_row(n_seeds=2))
    found = load(tmp_path).effects[0]
    assert (found.arm, found.verdict) == ("a=x", "not yet")


def test_an_arm_that_took_no_effect_has_no_interval(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    tiny.write_effects(folder, tiny.effect_row(difference=0.0, verdict="took no effect"))
    found = load(folder).effects[0]
    assert (found.verdict, found.difference) == ("took no effect", 0.0)
    assert (found.low, found.high, found.p, found.p_adjusted) == (None, None, None, None)


def test_one_seed_is_not_judged(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    nothing = {"low": None, "high": None, "p": None, "p_adjusted": None}
    tiny.write_effects(folder, tiny.effect_row(**nothing, verdict="inconclusive"))
    found = load(folder).effects[0]
    assert (found.verdict, found.difference) == ("not judged (one seed)", -0.25)


def test_further_metrics_have_a_fixed_order(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    sizes = {"loss": 0.9, "macro_f1": 0.1, "top5": 0.5}
    tiny.write_effects(folder, *(tiny.effect_row(metric=name, difference=d) for name, d in sizes.items()))
    assert [effect.metric for effect in load(folder).further] == ["top5", "macro_f1", "loss"]


def test_settings_are_those_that_the_baseline_ran_with(tmp_path: Path) -> None:
    tiny.write_study(tmp_path, study={"base": {"optim": {"lr": 0.1}}})
    assert load(tmp_path).settings == {"optim": {"lr": 0.1}}
    ledger = Ledger(tmp_path)
    ledger.claim()
    row = {"trial_id": "b0", "arm": "baseline", "factor": "", "level": "", "seed": 0, "status": "ok"}
    ledger.append(row | {"spec": '{"optim": {"lr": 0.5}}'}, [], [])
    assert load(tmp_path).settings == {"optim": {"lr": 0.5}}


def test_an_arm_whose_seeds_all_failed_has_no_result(tmp_path: Path) -> None:
    tiny.write_ledger(tmp_path, ["b0", "a1"])
    tiny.write_effects(
        tmp_path,
        tiny.effect_row(difference=None, low=float("nan"), high=None, p=None, p_adjusted=None, verdict=None),
    )
    (effect,) = load(tmp_path).effects
    assert (effect.arm, effect.verdict, effect.n_seeds, effect.n_failed) == ("a=x", "no result", 0, 1)


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="holds no study"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_study_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(LedgerError, match=r"study\.json"):
        load(tmp_path)


def test_broken_effects_are_named(tmp_path: Path) -> None:
    tiny.write_study(tmp_path)
    (tmp_path / "effects.parquet").write_text("not Parquet")
    with pytest.raises(LedgerError, match=r"effects\.parquet"):
        load(tmp_path)


def test_at_takes_the_default_for_a_missing_or_mistyped_value() -> None:
    study = {"git": {"revision": "abc"}, "manifest": None}
    assert at(study, "git.revision", str, "") == "abc"
    assert at(study, "git.dirty", bool, None) is None
    assert at(study, "git.revision", int, 0) == 0
    assert at(study, "manifest.digest", str, "-") == "-"


def test_the_fit_is_of_the_epoch_that_was_tested(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.claim()
    row = {"trial_id": "b0", "arm": "baseline", "factor": "", "level": "", "seed": 0, "status": "ok"}
    epochs = [
        {"epoch": epoch, "split": split, "metric": "top1", "value": value + epoch / 10}
        for split, value in (("train", 0.5), ("val", 0.3))
        for epoch in (1, 2, 3)
    ]
    ledger.append(row | {"best_epoch": 2, "epochs": 3, "test_top1": 0.45}, epochs, [])
    found = next(fit for fit in load(tmp_path).fits if fit.metric == "top1")
    assert (found.arm, found.train, found.val, found.test) == ("baseline", 0.7, 0.5, 0.45)


def test_the_folds_of_a_seed_count_as_one(tmp_path: Path) -> None:
    """Two folds, of 3 and of 1 test videos: their mean is weighted, and the seed is one dot of the spread."""
    ledger = Ledger(tmp_path)
    ledger.claim()
    plan = []
    for seed, fold, n, top1, predicted in ((0, 0, 3, 1.0, 0), (0, 1, 1, 0.0, 1), (1, 0, 3, 1.0, 0)):
        key = f"s{seed}f{fold}"
        own = {"trial_id": key, "arm": "baseline", "factor": "", "level": "", "seed": seed, "fold": fold}
        plan.append(own)
        scores = [float(k == predicted) for k in range(2)]
        videos = [
            {"video_id": f"{fold}-{i}", "group": "g", "fold": fold, "label": 0, "scores": scores}
            for i in range(n)
        ]
        ledger.append(own | {"status": "ok", "n_test": n, "test_top1": top1, "val_top1": 1.0}, [], videos)
    plan.append(plan[-1] | {"trial_id": "s1f1", "fold": 1})
    tiny.write_study(tmp_path, plan=plan)
    report = load(tmp_path)
    (arm,) = report.arms
    assert arm.values("test_top1") == [0.75]  # the second seed lacks a fold
    assert report.n_test == 4
    assert report.outcomes["baseline"].confusion.tolist() == [[3, 1], [0, 0]]
    assert report.outcomes["baseline"].n_seeds == 1


def test_figures_of_a_large_study_show_the_clearest_arms(tmp_path: Path) -> None:
    names = ["baseline", "placebo", *(f"a={i}" for i in range(60))]
    plan = [
        {"trial_id": f"t{i}", "arm": name, "factor": "a", "level": str(i), "seed": 0}
        for i, name in enumerate(names)
    ]
    ledger = Ledger(tmp_path)
    ledger.claim()
    for entry in plan[:1] + plan[42:]:
        ledger.append(entry | {"status": "ok", "val_top1": 0.9 if entry["arm"] == "a=59" else 0.5}, [], [])
    tiny.write_study(tmp_path, plan=plan)
    rows = [tiny.effect_row(arm=f"a={i}", difference=i / 1000, verdict="inconclusive") for i in range(40, 60)]
    tiny.write_effects(tmp_path, *rows, tiny.effect_row(arm="a=41", difference=0.001, verdict="helps"))
    report = load(tmp_path)
    assert len(report.arms) == 62
    shown = [arm.name for arm in report.focus]
    assert len(shown) == 30
    assert shown[:2] == ["baseline", "placebo"]
    assert {"a=41", "a=59"} <= set(shown)


def test_an_arm_that_was_settled_early_can_be_the_best(tmp_path: Path) -> None:
    """In a race arms have different numbers of seeds: whoever has all that were planned is compared."""
    ledger = Ledger(tmp_path)
    ledger.claim()
    plan = []
    for arm, seed, val in (("a=x", 0, 0.9), ("b=y", 0, 0.7), ("b=y", 1, 0.7)):
        entry = {"trial_id": f"{arm[0]}{seed}", "arm": arm, "factor": "f", "level": "l", "seed": seed}
        plan.append(entry)
        ledger.append(entry | {"status": "ok", "val_top1": val}, [], [])
    tiny.write_study(tmp_path, plan=plan)
    best = load(tmp_path).best
    assert best is not None
    assert best.arm == "a=x"


@pytest.mark.parametrize(("val", "large"), [(0.9, True), (0.72, False)])
def test_a_gap_that_chance_does_not_explain_is_large(tmp_path: Path, val: float, large: bool) -> None:
    # Of 100 and 100 videos, test 0.7: two standard errors are 2 √(0.9·0.1/100 + 0.7·0.3/100) = 0.11.
    ledger = Ledger(tmp_path)
    ledger.claim()
    entry = {"trial_id": "x0", "arm": "a=x", "factor": "a", "level": "x", "seed": 0}
    ledger.append(entry | {"status": "ok", "val_top1": val, "test_top1": 0.7, "n_test": 100}, [], [])
    tiny.write_study(tmp_path, plan=[entry], manifest={"counts": {"val": 100, "test": 100}})
    found = large_gap(load(tmp_path))
    assert found == (pytest.approx(0.2) if large else None)


def test_validation_selects_among_all_arms_but_the_placebo(report: Report, tmp_path: Path) -> None:
    # The baseline has (0.9 + 0.7) / 2, a=x has 0.8 and lacks a seed; the placebo's 0.99 does not count.
    chosen = selected(report)
    assert chosen is not None
    assert chosen.name == "baseline"
    ledger = Ledger(tmp_path)
    ledger.claim()
    plan = []
    for arm, val, top1 in (("baseline", 0.95, 0.7), ("augment=hflip", 0.9, 0.5)):
        entry = {"trial_id": arm[:1], "arm": arm, "factor": "augment", "level": "hflip", "seed": 0}
        plan.append(entry)
        ledger.append(entry | {"status": "ok", "val_top1": val, "test_top1": top1, "n_test": 100}, [], [])
    tiny.write_study(tmp_path, plan=plan, manifest={"counts": {"val": 100, "test": 100}})
    gap = large_gap(load(tmp_path))
    assert gap == pytest.approx(0.25)  # the baseline's, not the flip's 0.4


def test_contrasts_are_those_on_the_studys_metric(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    row = {"kind": "main", "factor": "a", "level": "x", "baseline": "o", "n_seeds": 2}
    other = {"other_factor": "", "other_level": "", "other_baseline": "", "confounded_with": ""}
    told = {"difference": 0.02, "low": float("nan"), "high": 0.03, "p": 0.1, "p_adjusted": 0.1}
    rows = [{**row, **other, **told, "metric": metric} for metric in ("top1", "loss")]
    pq.write_table(table("contrasts", rows), folder / "contrasts.parquet")
    (found,) = load(folder).contrasts
    assert (found.kind, found.difference, found.low, found.high) == ("main", 0.02, None, 0.03)
    assert not found.decided

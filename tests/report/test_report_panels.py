from __future__ import annotations

import json
from pathlib import Path

from actrec.report.page import build_report
from actrec.report.tables import load
from actrec.report.values import Mistake
from actrec.results.ledger import Ledger
from tests.report import tiny


def test_a_panel_is_of_the_first_finished_trial(tmp_path: Path) -> None:
    panels = {found.arm: found for found in load(tiny.write_tiny(tmp_path)).panels}
    assert list(panels) == ["baseline", "placebo", "a=x"]
    changed = panels["a=x"]
    # Labels 0, 0, 1, 2 were taken for 0, 0, 1, 0: one of four is wrong, with 0.8 for 0 and 0.1 for the rest.
    assert (changed.trial.trial_id, changed.videos, changed.right) == ("a0", 4, 3)
    (worst,) = changed.worst
    assert (worst.video_id, worst.label, worst.predicted) == ("v3", 2, 0)
    assert (round(worst.true, 6), round(worst.taken, 6)) == (0.1, 0.8)
    assert changed.confused == ((2, 0, 1),)
    assert [(curve.split, curve.mean) for curve in changed.curves] == [("val", (0.2, 0.9))]
    assert panels["baseline"].worst == ()


def test_the_worst_mistake_has_the_least_probability_of_the_truth(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.claim()
    scores = {"mild": [0.4, 0.6, 0.0], "bad": [0.1, 0.0, 0.9], "right": [0.9, 0.1, 0.0]}
    rows = [
        {"video_id": video, "group": "g", "fold": 0, "label": 0, "scores": own}
        for video, own in scores.items()
    ]
    entry = {"trial_id": "b0", "arm": "baseline", "factor": "", "level": "", "seed": 0}
    ledger.append(entry | {"status": "ok"}, [], rows)
    tiny.write_study(tmp_path, plan=[entry])
    (panel,) = load(tmp_path).panels
    assert [mistake.video_id for mistake in panel.worst] == ["bad", "mild"]
    assert panel.worst[0] == Mistake("bad", 0, 2, panel.worst[0].true, panel.worst[0].taken)
    assert panel.confused == ((0, 1, 1), (0, 2, 1))


def test_what_an_arm_changes_is_told_from_its_settings(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.claim()
    plan = []
    for arm, dropout in (("baseline", 0.0), ("a=x", 0.5)):
        entry = {"trial_id": f"{arm[0]}0", "arm": arm, "factor": "", "level": "", "seed": 0}
        plan.append(entry)
        spec = {"model": {"dropout": dropout, "name": "m"}, "seed": dropout}
        ledger.append(entry | {"status": "ok", "spec": json.dumps(spec)}, [], [])
    tiny.write_study(tmp_path, plan=plan)
    baseline, changed = load(tmp_path).panels
    assert baseline.changed == ()
    assert changed.changed == (("model.dropout", 0.0, 0.5),)
    text = build_report(tmp_path).read_text(encoding="utf-8")
    assert "What it sets otherwise than the baseline" in text

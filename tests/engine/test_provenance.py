"""study.json over several launches and several data sets."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from actrec.engine.cache import Filled
from actrec.engine.conditions import threads_note
from actrec.engine.folder import judged_at
from actrec.engine.provenance import joined_record, launch_record


def plan_part(digest: str, *unreadable: str) -> dict[str, Any]:
    rows = [{"video_id": name, "path": name, "reason": "probe"} for name in unreadable]
    return {"name": "x", "manifest": {"digest": digest, "undecodable": rows}}


def launch(digest: str, decoded: int, *undecodable: str) -> dict[str, Any]:
    bad = tuple((name, name, "decode") for name in undecodable)
    return launch_record("now", 2.0, digest, Filled(2, 20, decoded, bad), threads=2)


def test_launches_add_up() -> None:
    first = joined_record({}, plan_part("a"), {"command": "one"}, launch("a", 20))
    assert first["decodes"] == {"videos": 10, "clip_keys": 2, "decoded": 20, "reused": 0}
    second = joined_record(first, plan_part("a"), {"command": "two"}, launch("a", 0))
    assert second["decodes"] == {"videos": 10, "clip_keys": 2, "decoded": 20, "reused": 20}
    assert second["wall_seconds"] == 4.0
    assert second["command"] == "two"


def test_a_launch_has_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["experiments/x.py", "--set", "optim.lr=1 2"])
    assert launch("a", 20)["command"].endswith(" experiments/x.py --set 'optim.lr=1 2'")


def test_a_launch_that_runs_nothing_changes_the_plan_alone() -> None:
    first = joined_record({}, plan_part("a"), {"command": "one"}, launch("a", 20))
    again = joined_record(first, plan_part("a") | {"plan": ["other"]}, {}, None)
    assert again == first | {"plan": ["other"]}


def test_launches_on_other_data_are_kept_but_not_counted() -> None:
    first = joined_record({}, plan_part("a"), {}, launch("a", 20, "bad"))
    other = joined_record(first, plan_part("b"), {}, launch("b", 5))
    assert other["decodes"]["decoded"] == 5
    assert other["manifest"]["undecodable"] == []
    back = joined_record(other, plan_part("a"), {}, None)
    assert back["decodes"]["decoded"] == 20
    assert [video["video_id"] for video in back["manifest"]["undecodable"]] == ["bad"]
    assert len(back["launches"]) == 2


def test_a_video_is_undecodable_once_by_the_earliest_word() -> None:
    record = joined_record({}, plan_part("a", "bad"), {}, launch("a", 20, "bad", "worse"))
    assert {video["video_id"]: video["reason"] for video in record["manifest"]["undecodable"]} == {
        "bad": "probe",
        "worse": "decode",
    }


def test_another_number_of_threads_than_in_the_launch_before_is_said() -> None:
    launches = joined_record({}, plan_part("a"), {}, launch("a", 20))["launches"]
    note = threads_note(launches, "a", 1)
    assert note is not None
    assert "2 thread(s) a worker, further ones have 1" in note
    assert threads_note(launches, "a", 2) is None
    assert threads_note(launches, "other data", 1) is None
    assert threads_note([{"manifest": "a"}], "a", 1) is None, "of an older version"


def test_a_record_that_names_no_looks_has_those_of_its_schedule() -> None:
    assert judged_at({"study": {"seeds": [0, 1, 2, 3, 4], "max_seeds": 20}}) == {5: 3, 10: 3, 20: 3}
    assert judged_at({"study": {"seeds": [0, 1]}}) == {2: 1}
    assert judged_at({}) == {}
    assert judged_at({"study": {"seeds": [0]}, "judged_at": []}) == {}
    assert judged_at({"study": {"seeds": [0]}, "judged_at": [{"seeds": 3, "looks": 2}]}) == {3: 2}

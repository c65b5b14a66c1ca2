from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from actrec.errors import LedgerError
from actrec.report.figures.data import box_plots, class_counts
from actrec.report.frames import read_frames
from actrec.report.page import build_report
from actrec.report.videos import Box, constant, read_videos
from actrec.results.schema import table
from tests.report import tiny
from tests.report.example import write_example
from tests.report.exhibits import write_exhibits


def test_a_box_is_tukeys() -> None:
    # Of 1, 2, 3, 4, 5 and 20 the quartiles are 2.25, 3.5 and 4.75; 4.75 + 1.5 · 2.5 = 8.5 leaves out 20.
    box = Box.of("name", np.array([1.0, 2, 3, 4, 5, 20]))
    assert box == Box("name", 6, 1.0, 2.25, 3.5, 4.75, 5.0, 1.0, 20.0)


def test_only_what_all_videos_have_is_constant() -> None:
    same = Box.of("train", np.array([25.0, 25, 25, 25]))
    assert constant([same, Box.of("test", np.array([25.0]))]) == 25.0
    # Its whiskers and its box are at 25; one video is not.
    assert constant([Box.of("train", np.array([25.0, 25, 25, 25, 30]))]) is None
    assert constant([same, Box.of("test", np.array([30.0]))]) is None
    assert constant([]) is None


def test_videos_are_told_by_class_and_by_split(tmp_path: Path) -> None:
    row = {"block": "", "status": "ok", "fps": 25.0, "width": 320, "height": 240, "seconds": 2.0}
    rows = [
        row | {"video_id": "a", "class_name": "run", "group": "g", "split": "test", "seconds": 4.0},
        row | {"video_id": "b", "class_name": "run", "group": "g", "split": "train"},
        row | {"video_id": "c", "class_name": "sit", "group": "h", "split": "train", "height": 400},
        row | {"video_id": "d", "class_name": "sit", "group": "i", "split": "train", "status": "unreadable"},
        row | {"video_id": "e", "class_name": "sit", "group": "j", "split": "unused"},
    ]
    pq.write_table(table("videos", rows), tmp_path / "videos.parquet")
    found = read_videos(tmp_path)
    assert found is not None
    assert [(box.name, box.n, box.median) for box in found.seconds] == [("run", 2, 3.0), ("sit", 1, 2.0)]
    assert [(box.name, box.n, box.median) for box in found.sides] == [("train", 2, 280.0), ("test", 1, 240.0)]
    assert [box.name for box in found.rates] == ["train", "test"]
    assert (found.groups, found.trained) == (2, frozenset({"g", "h"}))


def test_a_damaged_table_of_videos_is_an_error(tmp_path: Path) -> None:
    assert read_videos(tmp_path) is None
    (tmp_path / "videos.parquet").write_bytes(b"PAR1")
    with pytest.raises(LedgerError, match=r"videos\.parquet cannot be read"):
        read_videos(tmp_path)


@pytest.mark.parametrize(
    "index", ["", "[]", "{}", '{"frames": {"v": 1}}', '{"frames": {"v": {"file": "x"}}}']
)
def test_pictures_without_a_sound_index_are_none(tmp_path: Path, index: str) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "index.json").write_text(index)
    assert read_frames(tmp_path) == {}


def test_a_picture_is_a_file_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    names = {"there": "ab12.jpg", "gone": "ab13.jpg", "outside": "../../x.jpg", "odd": "x.svg"}
    (tmp_path / "frames" / "ab12.jpg").touch()
    (tmp_path / "frames" / "x.svg").touch()
    frames = {video: {"file": name, "class": "c", "split": "test"} for video, name in names.items()}
    (tmp_path / "frames" / "index.json").write_text(json.dumps({"frames": frames}))
    assert {video: frame.src for video, frame in read_frames(tmp_path).items()} == {
        "there": "frames/ab12.jpg"
    }


def test_figures_of_the_data_hold_counts_and_quartiles() -> None:
    counts = {"train": {"few": 1, "many": 4}, "test": {"many": 2}}
    figure = class_counts(counts, ["few", "many"])
    assert list(figure.layout.yaxis.ticktext) == ["many", "few"]
    assert [(bar.name, list(bar.x)) for bar in figure.data] == [("train", [4, 1]), ("test", [2, 0])]
    boxes, beyond = box_plots([Box("a<b", 6, 1.0, 2.25, 3.5, 4.75, 5.0, 1.0, 20.0)], "seconds").data
    assert (boxes.q1[0], boxes.median[0], boxes.upperfence[0]) == (2.25, 3.5, 5.0)
    assert (beyond.x, beyond.y) == ((20.0,), (0,))


def test_the_page_shows_the_data(tmp_path: Path) -> None:
    folder = write_exhibits(write_example(tmp_path))
    markup = build_report(folder).read_text(encoding="utf-8")
    for ident in ("data-classes", "data-seconds", "data-rates"):
        assert f'id="{ident}"' in markup
    # All are as large: a line of text says so.
    assert 'id="data-sides"' not in markup
    assert "240 pixels, the shorter side" in markup
    # Two training videos of each of the ten classes, and one test video to make three.
    assert markup.count("<img ") >= 30
    tiny.write_study(folder, name="bare")
    assert "data-seconds" in build_report(folder).read_text(encoding="utf-8")

"""What every data-set layout must do, and the official facts of UCF101 and HMDB51."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from actrec.data.build import list_videos, paths_to_probe
from actrec.data.layouts import LAYOUTS
from actrec.data.layouts.base import Listing
from actrec.data.splits import complete_splits
from actrec.errors import LayoutError


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def write(folder: Path, **files: str) -> Path:
    """Text files, named ``name`` for ``name.txt``."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


def small_folder(folder: Path) -> Listing:
    root = touch(folder / "videos", "wave/a_1.avi", "wave/b_2.mp4", "run/c_1.avi", "run/d_2.MKV")
    return list_videos(root, "folder", group_regex=r"_(\d)\.")


def small_ucf(folder: Path) -> Listing:
    files = [
        "Archery/v_Archery_g01_c01.avi",
        "Archery/v_Archery_g02_c01.avi",
        "Bowling/v_Bowling_g01_c01.avi",
    ]
    lists = write(
        folder / "lists",
        classInd="1 Archery\r\n2 Bowling\r\n",
        trainlist01=f"{files[0]} 1\r\n{files[2]} 2\r\n",
        testlist01=f"{files[1]}\r\n",
    )
    return list_videos(touch(folder / "videos", *files), "ucf101", splits=lists)


def small_hmdb(folder: Path) -> Listing:
    files = {
        "wave": ["Film_wave_u_0.avi", "Other_wave_u_0.avi"],
        "run": ["Film_run_u_0.avi", "Film_run_u_1.avi"],
    }
    lists = write(
        folder / "lists",
        wave_test_split1=f"{files['wave'][0]} 1 \n{files['wave'][1]} 2 \n",
        run_test_split1=f"{files['run'][0]} 1 \n{files['run'][1]} 0 \n",
    )
    root = touch(folder / "videos", *(f"{name}/{file}" for name in files for file in files[name]))
    return list_videos(root, "hmdb51", splits=lists)


SMALL: dict[str, Callable[[Path], Listing]] = {
    "folder": small_folder,
    "ucf101": small_ucf,
    "hmdb51": small_hmdb,
}


def test_every_layout_is_in_the_contract() -> None:
    assert SMALL.keys() == LAYOUTS.keys()


@pytest.mark.parametrize("layout", LAYOUTS)
class TestContract:
    def test_entries_are_unique_and_their_files_exist(self, layout: str, tmp_path: Path) -> None:
        listing = SMALL[layout](tmp_path)
        assert len({entry.video_id for entry in listing.entries}) == len(listing.entries) > 0
        assert len(paths_to_probe(listing)) == len(listing.entries)
        assert all((tmp_path / "videos" / entry.path).is_file() for entry in listing.entries)

    def test_classes_are_those_of_the_entries(self, layout: str, tmp_path: Path) -> None:
        listing = SMALL[layout](tmp_path)
        assert set(listing.classes) == {entry.class_name for entry in listing.entries}
        assert len(set(listing.classes)) == len(listing.classes)

    def test_groups_are_named_and_shared(self, layout: str, tmp_path: Path) -> None:
        assert all(entry.group for entry in SMALL[layout](tmp_path).entries)

    def test_same_files_same_listing(self, layout: str, tmp_path: Path) -> None:
        assert SMALL[layout](tmp_path) == SMALL[layout](tmp_path)

    def test_root_must_be_a_folder(self, layout: str, tmp_path: Path) -> None:
        splits = (
            None if layout == "folder" else write(tmp_path / "lists", classInd="1 A", a_test_split1="x_a_y 1")
        )
        if layout == "ucf101":
            write(tmp_path / "lists", trainlist01="A/v_A_g01_c01.avi 1", testlist01="A/v_A_g02_c01.avi")
        with pytest.raises(LayoutError, match="nowhere: not a folder"):
            list_videos(tmp_path / "nowhere", layout, splits=splits)


def test_unknown_layout_names_the_valid_ones(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"'ucf'.*folder, ucf101, hmdb51"):
        list_videos(tmp_path, "ucf")


@pytest.mark.parametrize("layout", ["ucf101", "hmdb51"])
class TestOfficialLayouts:
    def test_need_lists(self, layout: str, tmp_path: Path) -> None:
        with pytest.raises(LayoutError, match="official split lists"):
            list_videos(tmp_path, layout)
        with pytest.raises(LayoutError, match="absent: not a folder"):
            list_videos(tmp_path, layout, splits=tmp_path / "absent")

    def test_refuse_a_group_regex(self, layout: str, tmp_path: Path) -> None:
        with pytest.raises(LayoutError, match="regex is for the layout 'folder'"):
            list_videos(tmp_path, layout, splits=tmp_path, group_regex="(.)")

    def test_name_a_split_that_does_not_exist(self, layout: str, shared_data: Path) -> None:
        with pytest.raises(LayoutError, match=r"trainlist04\.txt: no such file|split numbers there: 1, 2, 3"):
            list_videos(shared_data / "clips", layout, splits=shared_data / "splits" / layout, split=4)

    def test_none_of_the_videos_there(self, layout: str, shared_data: Path, tmp_path: Path) -> None:
        with pytest.raises(LayoutError, match=r"none of the \d+ videos"):
            list_videos(tmp_path, layout, splits=shared_data / "splits" / layout)


def official(shared_data: Path, layout: str, split: int) -> Listing:
    return list_videos(shared_data / "clips", layout, splits=shared_data / "splits" / layout, split=split)


def straddling(listing: Listing) -> tuple[int, int]:
    """Groups in both train and test, and groups in either."""
    splits: dict[str, set[str | None]] = defaultdict(set)
    for entry in listing.entries:
        if entry.split != "unused":
            splits[entry.group].add(entry.split)
    return sum(len(found) > 1 for found in splits.values()), len(splits)


class TestUCF101:
    @pytest.mark.parametrize(("split", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)])
    def test_counts_are_the_published_ones(
        self, shared_data: Path, split: int, train: int, test: int
    ) -> None:
        listing = official(shared_data, "ucf101", split)
        assert Counter(entry.split for entry in listing.entries) == {"train": train, "test": test}
        assert len(listing.classes) == 101
        assert (listing.classes[0], listing.classes[36]) == ("ApplyEyeMakeup", "HandstandPushups")

    def test_no_group_straddles(self, shared_data: Path) -> None:
        # 25 groups in each of 101 classes.
        assert straddling(official(shared_data, "ucf101", 1)) == (0, 2525)

    def test_missing_videos_keep_their_rows(self, shared_data: Path) -> None:
        listing = official(shared_data, "ucf101", 1)
        assert paths_to_probe(listing) == ["v_SoccerJuggling_g23_c01.avi", "v_SoccerJuggling_g24_c01.avi"]
        assert len(listing.entries) == 13320
        assert "8 video files are in no list" in listing.notes[0]

    def test_either_spelling_of_handstand_is_found(self, tmp_path: Path) -> None:
        listed = [
            "HandstandPushups/v_HandStandPushups_g01_c01.avi",
            "HandstandPushups/v_HandStandPushups_g02_c01.avi",
        ]
        lists = write(
            tmp_path / "lists",
            classInd="1 HandstandPushups",
            trainlist01=f"{listed[0]} 1",
            testlist01=listed[1],
        )
        root = touch(
            tmp_path / "videos",
            "HandStandPushups/v_HandstandPushups_g01_c01.avi",
            "HandStandPushups/v_HandStandPushups_g02_c01.mp4",
        )
        first, second = list_videos(root, "ucf101", splits=lists).entries
        assert (first.video_id, first.path) == (listed[0], "HandStandPushups/v_HandstandPushups_g01_c01.avi")
        assert (second.video_id, second.path) == (
            listed[1],
            "HandStandPushups/v_HandStandPushups_g02_c01.mp4",
        )
        assert (first.class_name, first.group) == ("HandstandPushups", "HandstandPushups_g01")

    def test_two_candidates_are_not_guessed_between(self, tmp_path: Path) -> None:
        lists = write(tmp_path / "lists", classInd="1 A", trainlist01="A/v_A_g01_c01.avi 1", testlist01="")
        root = touch(tmp_path / "videos", "A/v_A_g01_c01.mp4", "B/v_A_g01_c01.mkv")
        with pytest.raises(LayoutError, match=r"could be any of: A/v_A_g01_c01\.mp4, B/v_A_g01_c01\.mkv"):
            list_videos(root, "ucf101", splits=lists)

    @pytest.mark.parametrize(
        ("broken", "why"),
        [
            ({"classInd": "1 A\n3 B"}, "line 2 is '3 B'"),
            ({"trainlist01": "Aa/v_A_g01_c01.avi 1"}, r"unknown class 'Aa'; did you mean 'A'\? \(valid: A\)"),
            ({"trainlist01": "A/v_A_c01.avi 1"}, "does not end in _g<group>_c<clip>"),
            ({"testlist01": "A/v_A_g01_c01.avi"}, "name A/v_A_g01_c01.avi more than once"),
        ],
    )
    def test_broken_lists(self, tmp_path: Path, broken: dict[str, str], why: str) -> None:
        good = {"classInd": "1 A", "trainlist01": "A/v_A_g01_c01.avi 1", "testlist01": "A/v_A_g02_c01.avi"}
        root = touch(tmp_path / "videos", "A/v_A_g01_c01.avi")
        lists = write(tmp_path / "lists", **{**good, **broken})
        with pytest.raises(LayoutError, match=why):
            list_videos(root, "ucf101", splits=lists)

    def test_absent_list_names_those_there(self, tmp_path: Path) -> None:
        lists = write(tmp_path / "lists", classInd="1 A", trainlist1="")
        with pytest.raises(
            LayoutError, match=r"trainlist01\.txt: no such file \(in .*: classInd\.txt, trainlist1"
        ):
            list_videos(tmp_path, "ucf101", splits=lists)


class TestHMDB51:
    @pytest.mark.parametrize("split", [1, 2, 3])
    def test_counts_are_the_published_ones(self, shared_data: Path, split: int) -> None:
        listing = official(shared_data, "hmdb51", split)
        cells = Counter((entry.class_name, entry.split) for entry in listing.entries)
        assert len(listing.classes) == 51
        assert listing.classes == tuple(sorted(listing.classes))
        assert all(cells[name, "train"] == 70 and cells[name, "test"] == 30 for name in listing.classes)
        assert len(listing.entries) == 6766

    def test_films_that_straddle_split_1(self, shared_data: Path) -> None:
        assert straddling(official(shared_data, "hmdb51", 1)) == (134, 1350)

    def test_validation_never_shares_a_film_with_train(self, shared_data: Path) -> None:
        listing = official(shared_data, "hmdb51", 1)
        splits, cut = complete_splits(listing, seed=0)
        films = {
            part: {entry.group for entry, split in zip(listing.entries, splits, strict=True) if split == part}
            for part in ("train", "val")
        }
        assert cut == ("val",)
        assert films["val"]
        assert not films["train"] & films["val"]
        assert [split for split in splits if split in ("test", "unused")] == [
            entry.split for entry in listing.entries if entry.split in ("test", "unused")
        ]

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("Film_wave_u.avi 3", "must end in 0 .unused., 1 .train. or 2 .test."),
            ("Film_u.avi 1", "hold _wave_"),
        ],
    )
    def test_broken_lines(self, tmp_path: Path, line: str, why: str) -> None:
        lists = write(tmp_path / "lists", wave_test_split1=line)
        with pytest.raises(LayoutError, match=rf"wave_test_split1\.txt: {re.escape(repr(line))}.*{why}"):
            list_videos(tmp_path, "hmdb51", splits=lists)

    def test_a_class_that_one_split_lacks(self, tmp_path: Path) -> None:
        lists = write(tmp_path / "lists", wave_test_split1="", run_test_split2="", wave_test_split2="")
        with pytest.raises(LayoutError, match=r"no run_test_split1\.txt"):
            list_videos(tmp_path, "hmdb51", splits=lists)


class TestFolder:
    def test_groups_by_capture_by_name_and_without(self, tmp_path: Path) -> None:
        root = touch(tmp_path, "wave/17_3_0.avi", "run/2_3_1.avi")
        for regex in (r"_(\d+)_\d\.avi$", r"(\d+)_(?P<group>\d+)_"):
            assert {entry.group for entry in list_videos(root, "folder", group_regex=regex).entries} == {"3"}
        listing = list_videos(root, "folder")
        assert [entry.group for entry in listing.entries] == ["run/2_3_1.avi", "wave/17_3_0.avi"]

    @pytest.mark.parametrize(
        ("regex", "why"),
        [
            ("(", "unterminated|missing"),
            ("a", "has 0 capture groups"),
            ("(a)(b)", "has 2 capture groups"),
            ("(z)", r"finds no group in 'wave/a\.avi'"),
            ("(z*)a", r"finds no group in 'wave/a\.avi'"),
        ],
    )
    def test_bad_group_regex(self, tmp_path: Path, regex: str, why: str) -> None:
        with pytest.raises(LayoutError, match=why):
            list_videos(touch(tmp_path, "wave/a.avi"), "folder", group_regex=regex)

    def test_names_of_every_kind(self, tmp_path: Path) -> None:
        names = ["<script>/a b.avi", "Händeschütteln/ролик 1.mp4", "wave/it's #1 & 'two'.mkv"]
        listing = list_videos(touch(tmp_path, *names), "folder")
        assert [entry.path for entry in listing.entries] == sorted(names)
        assert "<script>" in listing.classes

    def test_what_is_passed_over_is_told(self, tmp_path: Path) -> None:
        root = touch(tmp_path, "wave/a.avi", "wave/notes.txt", "loose.avi", ".hidden/b.avi", "wave/._a.avi")
        listing = list_videos(root, "folder")
        assert [entry.path for entry in listing.entries] == ["wave/a.avi"]
        assert any("wave/notes.txt" in note for note in listing.notes)
        assert any("1 videos are in no class folder" in note for note in listing.notes)

    def test_no_videos(self, tmp_path: Path) -> None:
        with pytest.raises(LayoutError, match="one folder for each class"):
            list_videos(touch(tmp_path, "a.avi"), "folder")

    def test_links_to_folders_are_not_followed(self, tmp_path: Path) -> None:
        root = touch(tmp_path / "videos", "wave/a.avi")
        (root / "run").symlink_to(touch(tmp_path / "elsewhere", "b.avi"))
        with pytest.raises(LayoutError, match="run: links to folders are not followed"):
            list_videos(root, "folder")

    def test_lists(self, tmp_path: Path) -> None:
        root = touch(tmp_path / "videos", "run/a.avi", "run/b.avi", "run/c.avi", "skip/d.avi", "wave/e f.avi")
        lists = write(
            tmp_path / "lists", train2="run/a.avi\nwave/e f.avi\n", test2="run/b.avi\nwave/gone.avi"
        )
        listing = list_videos(root, "folder", splits=lists, split=2)
        assert {entry.path: (entry.split, entry.present) for entry in listing.entries} == {
            "run/a.avi": ("train", True),
            "run/b.avi": ("test", True),
            "run/c.avi": ("unused", True),
            "wave/e f.avi": ("train", True),
            "wave/gone.avi": ("test", False),
        }
        assert "left out: skip" in listing.notes[0]

    def test_lists_may_give_validation(self, tmp_path: Path) -> None:
        root = touch(tmp_path / "videos", "run/a.avi", "run/b.avi", "run/c.avi")
        lists = write(tmp_path / "lists", train="run/a.avi", val="run/b.avi", test="run/c.avi")
        assert complete_splits(list_videos(root, "folder", splits=lists), 0) == (["train", "val", "test"], ())

    @pytest.mark.parametrize("line", ["/etc/passwd", "../a.avi", "run/../../a.avi", "a.avi"])
    def test_lists_name_paths_within_the_root(self, tmp_path: Path, line: str) -> None:
        root = touch(tmp_path / "videos", "run/a.avi")
        with pytest.raises(LayoutError, match="is not a path <class>/<file> within the root"):
            list_videos(root, "folder", splits=write(tmp_path / "lists", train=line, test=""))

    def test_a_video_in_two_lists(self, tmp_path: Path) -> None:
        root = touch(tmp_path / "videos", "run/a.avi")
        with pytest.raises(LayoutError, match=r"name run/a\.avi more than once"):
            list_videos(root, "folder", splits=write(tmp_path / "lists", train="run/a.avi", test="run/a.avi"))

    def test_a_split_number_needs_lists(self, tmp_path: Path) -> None:
        with pytest.raises(LayoutError, match="split 1 needs the folder of split lists"):
            list_videos(tmp_path, "folder", split=1)

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from actrec import cli_report
from actrec.errors import LedgerError
from actrec.report.page import build_report
from actrec.report.sections.trials import reproduce
from actrec.report.tables import load
from actrec.results.ledger import Ledger
from actrec.results.schema import table
from actrec.spec import TrialSpec
from tests.report import tiny
from tests.report.example import write_example
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


def test_the_first_screen_has_the_answer_and_a_row_for_every_change(page: Page) -> None:
    assert "Of 10 changes, 1 hurts (augment=hflip, −" in page.words
    assert "0 help and 9 are inconclusive; noise is ±" in page.words
    assert "111 · one video is 0.9 points" in page.words
    assert page.words.count("● inconclusive") >= 10
    assert "▼ hurts" in page.words


def test_counts_of_what_went_wrong_are_always_there(page: Page, tmp_path: Path) -> None:
    assert "1 of 60 trials failed." in page.words
    assert "2 of 399 videos undecodable." in page.words
    assert "DivergedError: the training loss is nan in epoch 4" in page.words
    assert "moov atom not found" in page.words
    tiny.write_ledger(tmp_path, ["b0"])
    tiny.write_study(tmp_path)
    clean = Page(build_report(tmp_path)).words
    assert "0 of 6 trials failed." in clean
    assert "0 of 11 videos undecodable." in clean


def test_every_section_is_there_and_named(page: Page) -> None:
    sections = {attrs.get("id"): attrs for tag, attrs in page.elements if tag == "section"}
    assert list(sections) == [
        "answer", "setup", "arms", "fit", "curves", "confusion", "classes", "ranking", "cost", "failures",
        "trials", "panels", "data", "provenance",
    ]  # fmt: skip
    assert all(attrs["aria-labelledby"] == f"{ident}-title" for ident, attrs in sections.items())
    links = [attrs["href"] for tag, attrs in page.elements if tag == "a"]
    assert [f"#{ident}" for ident in sections] == links[1 : 1 + len(sections)]


def test_every_figure_has_a_label_and_traces(page: Page) -> None:
    canvases = [attrs for tag, attrs in page.elements if attrs.get("class") == "canvas"]
    arms, metrics, classes = 12, 2, 10
    fixed = {
        "effect-plot", "seeds-plot", "fit-top1", "fit-loss", "confusion-baseline", "confusion-best",
        "confusion-difference", "recall-plot", "recall-change", "cost-plot", "data-classes",
    }  # fmt: skip
    names = {str(attrs["id"]) for attrs in canvases}
    assert fixed <= names
    assert (
        len(names) == len(canvases) == len(fixed) + 2 * arms * metrics + classes
    )  # curves of arms and of single trials
    for attrs in canvases:
        assert attrs["aria-label"]
        assert json.loads(page.figures[f"{attrs['id']}-data"])["data"]


def test_tables_have_captions_and_scoped_headings(page: Page) -> None:
    tables = [attrs for tag, attrs in page.elements if tag == "figure" and attrs.get("class") == "table"]
    regions = [attrs for tag, attrs in page.elements if attrs.get("class") == "scroll"]
    assert page.count("table") == len(tables) == len(regions) > 5
    assert all(attrs["aria-label"] and attrs["tabindex"] == "0" for attrs in regions)
    assert page.count("figcaption") == page.count("figure")
    assert all(attrs.get("scope") in ("col", "row") for tag, attrs in page.elements if tag == "th")


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attrs in page.elements:
        for name in ("src", "href", "data", "action", "srcset", "poster"):
            value = attrs.get(name)
            assert (
                value is None
                or value.startswith("#")
                or value == "plotly.min.js"
                or re.fullmatch(r"data:,|\w+\.(parquet|json)|exports/\w+\.(csv|md|tex)", value)
            ), (tag, value)
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy


def test_links_lead_to_files_that_exist(page: Page, example: Path) -> None:
    links = [attrs["href"] or "" for tag, attrs in page.elements if tag == "a"]
    files = [link for link in links if not link.startswith("#")]
    assert files == [
        "exports/verdicts.csv", "exports/verdicts.md", "exports/verdicts.tex",
        "trials.parquet", "epochs.parquet", "predictions.parquet", "effects.parquet", "study.json",
        "exports/effects.csv", "exports/epochs.csv", "exports/trials.csv", "exports/verdicts.csv",
        "exports/verdicts.md", "exports/verdicts.tex",
    ]  # fmt: skip
    assert all((example / name).exists() for name in files)


def test_plotly_lies_beside_the_page_and_the_page_stays_small(example: Path, page: Page) -> None:
    markup = (example / "index.html").read_text(encoding="utf-8")
    licence = "Licensed under the MIT license\n*/\n(\n function(root, factory)"
    assert licence not in markup
    assert licence in (example / "plotly.min.js").read_text(encoding="utf-8")
    assert len(markup.encode()) < 500_000
    written = (example / "plotly.min.js").stat().st_mtime_ns
    build_report(example)
    assert (example / "plotly.min.js").stat().st_mtime_ns == written


def test_another_process_gives_the_same_bytes_without_torch_and_ray(example: Path) -> None:
    first = build_report(example).read_bytes()
    code = BUILD + "; print([name for name in ('torch', 'ray', 'jinja2') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(example)], check=True, timeout=60, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
    assert (example / "index.html").read_bytes() == first
    assert not list(example.glob(".aside*"))


def test_names_are_text_wherever_they_stand(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    tiny.write_study(
        folder,
        name=NASTY[0],
        command=NASTY[2],
        manifest={
            "class_names": list(NASTY),
            "counts": {NASTY[1]: {NASTY[0]: 3}},
            "undecodable": [{"video_id": NASTY[0], "path": NASTY[1], "reason": NASTY[2]}],
            "digest": NASTY[2],
        },
        versions={NASTY[0]: NASTY[2]},
    )
    tiny.write_effects(folder, tiny.effect_row(level=NASTY[0], baseline=NASTY[2]))
    page = Page(build_report(folder))
    assert page.count("img") == 0
    scripts = [attrs for tag, attrs in page.elements if tag == "script"]
    assert sum("type" not in attrs for attrs in scripts) == 2  # plotly.js and ours
    for name in NASTY:
        assert " ".join(name.split()) in page.words
    for figure in page.figures.values():
        assert "<" not in figure
        json.loads(figure)
    ticks = json.loads(page.figures["confusion-baseline-data"])["layout"]["yaxis"]["ticktext"]
    assert (
        ticks[0] == "&lt;script&gt;alert(1)&lt;/script&gt;"
    )  # plotly reads entities, and shows them as text


def test_a_factorial_study_has_main_effects_and_interactions(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    main = {"metric": "top1", "kind": "main", "factor": "a", "level": "x", "baseline": "o", "n_seeds": 2}
    main |= {"other_factor": "", "other_level": "", "other_baseline": "", "confounded_with": ""}
    other = {"kind": "interaction", "other_factor": "b", "other_level": "y", "other_baseline": "n"}
    lost = main | {"factor": "c", "confounded_with": "a × b"}
    rows = [main | {"difference": 0.02, "p_adjusted": 0.3}, main | other | {"difference": 0.01}, lost]
    pq.write_table(table("contrasts", rows), folder / "contrasts.parquet")
    page = Page(build_report(folder))
    assert {"main-effects-data", "interactions-data"} <= set(page.figures)
    assert "a: o → x × b: n → y" in page.words
    assert "1 effect is confounded: this design cannot tell it from others" in page.words


def test_a_factorial_study_has_parallel_coordinates(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.claim()
    for number, (rate, drop) in enumerate(((0.1, 0.0), (0.2, 0.0), (0.1, 0.5), (0.2, 0.5))):
        arm = "baseline" if number == 0 else f"arm {number}"
        spec = json.dumps({"optim": {"lr": rate}, "model": {"dropout": drop}, "seed": 3})
        row = {"trial_id": f"t{number}", "arm": arm, "factor": "f", "level": "l", "seed": 3, "status": "ok"}
        ledger.append(row | {"spec": spec, "val_top1": 0.5, "test_top1": 0.5}, [], [])
    figure = json.loads(Page(build_report(tmp_path)).figures["parallel-plot-data"])
    assert figure["layout"]["xaxis"]["ticktext"][:2] == ["optim.lr", "model.dropout"]


def test_energy_is_shown_where_devices_tell_it(page: Page, tmp_path: Path) -> None:
    assert "Energy" not in page.words
    ledger = Ledger(tmp_path)
    ledger.claim()
    for seed, joules in ((0, 3600.0), (1, 5400.0)):
        row = {"trial_id": f"b{seed}", "arm": "baseline", "factor": "", "level": "", "seed": seed}
        ledger.append(row | {"status": "ok", "seconds": 10.0, "joules": joules}, [], [])
    # 9,000 J are 2.5 Wh.
    assert "baseline10.0 s20.0 s2.5 Wh" in Page(build_report(tmp_path)).words
    for seed, known in ((0, {"joules": 3600.0}), (1, {})):  # a part is not given for the whole
        row = {"trial_id": f"a{seed}", "arm": "larger", "factor": "f", "level": "l", "seed": seed}
        ledger.append(row | {"status": "ok", "seconds": 10.0} | known, [], [])
    words = Page(build_report(tmp_path)).words
    assert "larger10.0 s20.0 s–" in words
    assert "all arms40.0 s–" in words
    assert "energy is what the whole devices took meanwhile by their own counters" in words


def test_other_metrics_are_folded_below(tmp_path: Path) -> None:
    text = Page(build_report(tiny.write_tiny(tmp_path))).words
    assert "The same for loss" in text
    assert "+0.125" in text


@pytest.mark.parametrize(
    ("command", "again"),
    [
        ("python a.py --data d.parquet", "python a.py --data d.parquet"),
        ("python a.py --out 'my reports/x' --cv 5", "python a.py --cv 5"),
        ("python a.py --data 'it'\"'\"'s' --out r", "python a.py --data 'it'\"'\"'s'"),
        ("python 'a.py --out r", "python 'a.py --out r"),
    ],
)
def test_a_trial_again_goes_to_a_folder_of_its_own(tmp_path: Path, command: str, again: str) -> None:
    tiny.write_study(tiny.write_tiny(tmp_path), name="x y", command=command)
    assert reproduce(load(tmp_path)) == f"{again} --only TRIAL --out 'reports/x y-again'"


def test_provenance_is_complete(page: Page) -> None:
    for expected in (
        "python experiments/ablate_regularization.py",
        "4f2a9c1d0b7e, clean",
        "9b1c6a2e07d4",
        "399 = 399 videos × 1 clip key; decoded 399, then 0",
        "Launches2026-03-01 09:00:00 UTC, 1 min 40 s: python experiments/ablate_regularization.py2026",
        "1 worker, cpu, clip cache",
        "1 node · 2 CPU cores · 0 GPUs · x86_64 · 4.0 GiB of memory · trials 2 at a time",
        "2 min 31 s",
        "torch 2.15.0",
    ):
        assert expected in page.words


def test_what_was_shared_is_told(page: Page, tmp_path: Path) -> None:
    line = "3 trials share the first 5 stages of i3d: 120 clips computed once instead of 1,440 times"
    ledger = tiny.write_ledger(tmp_path, ["b0"])
    row = {"trial_id": "a0", "arm": "a=x", "factor": "a", "level": "x", "seed": 0, "status": "ok"}
    ledger.append(row | {"test_top1": 0.5, "shared_stages": 5}, [], [])
    tiny.write_study(tmp_path, sharing={"lines": [line], "prefix_forwards": 120})
    words = Page(build_report(tmp_path)).words
    assert f"Frozen stages{line}1 of 2 finished trials trained on what 5 frozen stages made" in words
    assert "Frozen stages" not in page.words


def test_the_setup_is_in_plain_sight(page: Page) -> None:
    spec = TrialSpec()
    for expected in (
        f"Model{spec.model.name}",
        f"{spec.clip.num_frames} frames of {spec.clip.height} × {spec.clip.width} pixels",
        f"learning rate {spec.optim.lr:g}",
        f"{spec.optim.epochs}, all of them",
        f"{spec.optim.batch_size} clips",
        "Seeds0, 1, 2, 3, 4",
    ):
        assert expected in page.words


def test_what_selects_on_validation_is_said_only_where_it_does(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    sentence = "Early stopping selects"
    assert sentence not in Page(build_report(folder)).words
    tiny.write_study(folder, study={"base": {"optim": {"epochs": 9, "patience": 3}}})
    text = Page(build_report(folder)).words
    assert sentence in text
    assert "9 at most, stopped after 3 epochs without a better validation loss" in text


def test_small_studies_say_so(page: Page, tmp_path: Path) -> None:
    assert "Small study" not in page.words
    text = Page(build_report(tiny.write_tiny(tmp_path))).words
    assert "Small study: 2 seeds and 4 test videos. Only large effects can be told from noise." in text


def test_one_seed_is_said_everywhere(tmp_path: Path) -> None:
    tiny.write_ledger(tmp_path, ["b0", "a0"])
    plan = [
        {"trial_id": "b0", "arm": "baseline", "factor": "", "level": "", "seed": 0},
        {"trial_id": "a0", "arm": "a=x", "factor": "a", "level": "x", "seed": 0},
    ]
    tiny.write_study(tmp_path, plan=plan)
    nothing = {"low": None, "high": None, "p": None, "p_adjusted": None}
    tiny.write_effects(tmp_path, tiny.effect_row(**nothing, verdict="inconclusive"))
    text = Page(build_report(tmp_path)).words
    assert "Of 1 change, none is judged: one seed cannot tell an effect from noise." in text
    assert "◆ not judged (one seed)" in text
    assert "With one seed no effect can be told from noise: run more." in text
    assert "inconclusive" not in text
    assert "with their intervals" not in text


def test_the_command_builds_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    cli_report.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["report", str(tiny.write_tiny(tmp_path))])
    assert arguments.run(arguments) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "index.html")
    assert (tmp_path / "index.html").exists()


def test_the_page_stands_for_its_folder(tmp_path: Path) -> None:
    page = build_report(tiny.write_tiny(tmp_path))
    assert build_report(page) == page


def test_a_page_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    (folder / "index.html").mkdir()
    with pytest.raises(LedgerError, match="cannot write"):
        build_report(folder)
    assert not list(folder.glob(".aside*"))

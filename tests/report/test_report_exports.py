from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from actrec.report.exports import latex, markdown, summary, tex, write_exports
from actrec.report.tables import load
from actrec.report.values import Effect
from tests.report import tiny

NASTY = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny.write_tiny(tmp_path_factory.mktemp("tiny"))
    write_exports(load(folder), folder)
    return folder


def effect(verdict: str = "hurts", level: str = "50%_x", low: float | None = -0.16) -> Effect:
    names = {"arm": "a=x", "factor": "model.a_b", "level": level, "baseline": "o", "metric": "top1"}
    numbers = {"difference": -0.1324, "low": low, "high": -0.1, "p_adjusted": 0.0004}
    return Effect(n_seeds=5, n_failed=0, verdict=verdict, **names, **numbers)  # type: ignore[arg-type]


def test_pandas_reads_what_the_tables_hold(folder: Path) -> None:
    for name in ("trials", "epochs", "effects"):
        text = pd.read_csv(folder / "exports" / f"{name}.csv")
        columns = pd.read_parquet(folder / f"{name}.parquet")
        assert list(text.columns) == list(columns.columns)
        assert len(text) == len(columns) > 0
    trials = pd.read_csv(folder / "exports" / "trials.csv").set_index("trial_id")
    assert trials.loc["b1", "test_top1"] == 0.5
    assert trials.loc["a1", "error"] == "DivergedError: loss is nan"
    verdicts = pd.read_csv(folder / "exports" / "verdicts.csv").set_index("arm")
    assert verdicts.loc["a=x", "verdict"] == "hurts"
    assert verdicts.loc["a=x", "difference"] == -0.25
    assert verdicts["difference"].isna().to_dict() == {"a=x": False, "placebo": False, "a=y": True}
    assert not (folder / "exports" / "contrasts.csv").exists()


def test_latex_is_a_booktabs_table_and_escapes() -> None:
    lines = latex([effect(), effect("inconclusive", "a & b", low=None)], "top1").splitlines()
    assert lines[1:3] == ["\\begin{tabular}{llrrrl}", "\\toprule"]
    assert lines[-2:] == ["\\bottomrule", "\\end{tabular}"]
    # Half of −10 − −16 is 3 points; what is decided is bold, though it is the smaller of both.
    assert lines[5] == (
        "model.a\\_b & o $\\rightarrow$ 50\\%\\_x & $\\mathbf{-13.2 \\pm 3.0}$ & $<$ 0.001 & 5 "
        "& \\textbf{hurts} \\\\"
    )
    assert lines[6] == (
        "model.a\\_b & o $\\rightarrow$ a \\& b & $-13.2$ & $<$ 0.001 & 5 & inconclusive \\\\"
    )


def test_an_interval_is_of_the_level_that_is_written() -> None:
    # 1 − 0.05 / 3 = 98.33 %
    for looks, level in ((1, "95"), (3, "98.3")):
        assert f"$\\pm$ {level}\\,\\% interval" in latex([effect()], "top1", looks)
        assert f"(points, ± {level}\u202f% interval)" in markdown([effect()], "top1", looks)


def test_every_sign_of_tex_is_text() -> None:
    assert tex("_ & % $ # { } ~ ^ \\") == (
        r"\_ \& \% \$ \# \{ \} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )


def test_markdown_has_a_row_an_effect_and_no_markup_of_names() -> None:
    lines = markdown([effect(level=f"{NASTY}|*b*")], "top1").splitlines()
    assert len(lines) == 3
    assert lines[2] == (
        "| model.a\\_b | o → &lt;script&gt;alert(1)&lt;/script&gt;\\|\\*b\\* | **−13.2 ± 3.0** "
        "| &lt; 0.001 | 5 | **hurts** |"
    )


def test_the_summary_is_what_a_list_of_studies_needs(folder: Path) -> None:
    found = json.loads((folder / "exports" / "summary.json").read_text(encoding="utf-8"))
    assert found == json.loads(json.dumps(summary(load(folder))))
    assert (found["planned"], found["ok"], found["failed"]) == (6, 4, 1)
    assert found["baseline_top1"] == 0.75  # seeds of 1.0 and 0.5
    assert [row["arm"] for row in found["effects"]] == ["a=x", "placebo"]


def test_a_study_without_a_trial_has_no_empty_table(tmp_path: Path) -> None:
    tiny.write_study(tmp_path)
    write_exports(load(tmp_path), tmp_path)
    assert not (tmp_path / "exports" / "trials.csv").exists()
    assert (tmp_path / "exports" / "verdicts.tex").exists()

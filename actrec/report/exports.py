"""``exports/``: the tables for other programs and for papers, and a summary for the list of studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from actrec.report import words
from actrec.report.record import at
from actrec.report.values import BASELINE, PLACEBO, Dimension, Effect, Report, Search
from actrec.results.files import replacing, write_json
from actrec.results.reader import Reader
from actrec.stats.verdicts import ALPHA

FOLDER = "exports"
SUMMARY = f"{FOLDER}/summary.json"
MOST_ROWS = 200_000  # of a table that is written as text too
DRAWN = 12  # effects in the summary
# What TeX takes for a command.
_TEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": "-",
    "\u202f": "\\,",
    "→": r"$\rightarrow$",
    "\n": " ",
}
# What Markdown takes for a command within a table.
_MARKDOWN = {
    **{sign: f"\\{sign}" for sign in "\\`*_{}[]|~#$"},
    "<": "&lt;",
    ">": "&gt;",
    "&": "&amp;",
    "\n": " ",
}


def write_exports(report: Report, folder: Path) -> None:
    """Writes ``exports/`` in a study's folder; what the study lacks is not there.

    ``verdicts.csv``, ``verdicts.md`` and ``verdicts.tex`` hold the effects on the study's metric,
    ``search.csv`` the trials of a search with their place in its space;
    ``trials.csv``, ``epochs.csv``, ``effects.csv`` and ``contrasts.csv`` the tables of those names.

    Raises:
        LedgerError: if tables cannot be read or files cannot be written.
    """
    target = folder / FOLDER
    write_json(folder / SUMMARY, summary(report))
    _text(target / "verdicts.md", markdown(report.effects, report.metric, report.looks))
    _text(target / "verdicts.tex", latex(report.effects, report.metric, report.looks))
    _csv(
        target / "verdicts.csv",
        pa.Table.from_pylist([_plain(effect, report.looks) for effect in report.effects]),
    )
    if report.search is not None:
        _csv(target / "search.csv", pa.Table.from_pylist(searched(report.search)))
    results = Reader(folder)
    for name in ("trials", "epochs"):
        _csv(target / f"{name}.csv", results.read(name))
    for name in ("effects", "contrasts"):
        path = folder / f"{name}.parquet"
        _csv(target / f"{name}.csv", pq.read_table(path) if path.exists() else pa.table({}))


def written(folder: Path) -> list[str]:
    """The exports that are there, as paths within the folder, the summary apart."""
    return [
        f"{FOLDER}/{path.name}" for path in sorted((folder / FOLDER).glob("*.*")) if path.suffix != ".json"
    ]


def latex(effects: Sequence[Effect], metric: str, looks: int = 1) -> str:
    """The verdicts as a LaTeX table; it takes ``\\usepackage{booktabs}``.

    After ± is half the interval, whose level is 1 − 0.05 / looks. Bold is what helps or hurts, whatever is
    largest.
    """
    unit = words.unit(metric)
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{tabular}{llrrrl}",
        "\\toprule",
        f"Factor & Level & $\\Delta$ {tex(words.metric_name(metric))} ({unit.name}, $\\pm$ "
        f"{tex(words.level(looks))} interval) & $p$ adj. & Seeds "
        "& Verdict \\\\",
        "\\midrule",
    ]
    for effect in effects:
        difference = _number(effect, " \\pm ").replace(words.MINUS, "-").replace(words.DASH, "\\mbox{--}")
        difference = f"$\\mathbf{{{difference}}}$" if effect.decided else f"${difference}$"
        p = words.p_value(effect.p_adjusted).replace("< ", "$<$ ").replace(words.DASH, "--")
        cells = [tex(_factor(effect)), tex(_level(effect)), difference, p, str(effect.n_seeds)]
        verdict = tex(effect.verdict)
        cells.append(f"\\textbf{{{verdict}}}" if effect.decided else verdict)
        lines.append(" & ".join(cells) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def markdown(effects: Sequence[Effect], metric: str, looks: int = 1) -> str:
    """The verdicts as a Markdown table, with what :func:`latex` has; bold is what helps or hurts."""
    unit = words.unit(metric)
    lines = [
        f"| Factor | Level | Δ {words.metric_name(metric)} ({unit.name}, ± {words.level(looks)} interval) "
        "| p adj. | Seeds | Verdict |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for effect in effects:
        bold = "**" * effect.decided
        cells = [
            escaped(_factor(effect), _MARKDOWN),
            escaped(_level(effect), _MARKDOWN),
            f"{bold}{_number(effect, ' ± ')}{bold}",
            words.p_value(effect.p_adjusted).replace("<", "&lt;"),
            str(effect.n_seeds),
            f"{bold}{escaped(effect.verdict, _MARKDOWN)}{bold}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def tex(text: str) -> str:
    """Text as LaTeX shows it letter by letter."""
    return escaped(text, _TEX)


def escaped(text: str, signs: Mapping[str, str]) -> str:
    """``text`` with some of its signs replaced, each once."""
    return "".join(signs.get(sign, sign) for sign in text)


def summary(report: Report) -> dict[str, object]:
    """What a list of studies tells of one."""
    baseline = next((arm for arm in report.arms if arm.name == BASELINE), None)
    drawn = [effect for effect in report.effects if effect.difference is not None]
    return {
        "name": report.name,
        "answer": words.answer(report),
        "started": at(report.study, "started", str, ""),
        "planned": report.planned,
        "ok": report.count("ok"),
        "failed": report.count("failed"),
        "pruned": report.count("pruned"),
        "baseline_top1": baseline.mean("test_top1") if baseline else None,
        "metric": report.metric,
        "effects": [
            {name: getattr(effect, name) for name in ("arm", "difference", "low", "high", "verdict")}
            for effect in drawn[:DRAWN]
        ],
    }


def searched(search: Search) -> list[dict[str, object]]:
    """The trials of a search: number, status, objectives (one seed, on validation), and a column for every
    dimension, empty where it does not exist for a trial."""
    return [
        {"number": one.number, "trial_id": one.trial.trial_id, "status": one.trial.status}
        | dict(zip(search.objectives, one.values, strict=True))
        | {d.path: _text_if_mixed(d, one.params.get(d.path)) for d in search.space}
        for one in search.tried
    ]


def _text_if_mixed(dimension: Dimension, value: object) -> object:
    """Categories as text: a column of them may hold several types."""
    return str(value) if dimension.choices and value is not None else value


def _plain(effect: Effect, looks: int) -> dict[str, object]:
    """``confidence`` is the level of the interval from low to high."""
    names = ("factor", "level", "baseline", "metric", "difference", "low", "high", "p_adjusted", "n_seeds")
    return (
        {"arm": effect.arm}
        | {name: getattr(effect, name) for name in (*names, "verdict")}
        | {"confidence": 1 - ALPHA / looks}
    )


def _number(effect: Effect, plus_minus: str) -> str:
    """The difference, and half the width of its interval."""
    unit, low, high = words.unit(effect.metric), effect.low, effect.high
    half = "" if low is None or high is None else plus_minus + unit.size((high - low) / 2)
    return unit.signed(effect.difference) + half


def _factor(effect: Effect) -> str:
    return effect.factor or effect.arm


def _level(effect: Effect) -> str:
    if effect.arm == PLACEBO:
        return "no change"
    return f"{effect.baseline} → {effect.level}" if effect.baseline else effect.level


def _text(path: Path, text: str) -> None:
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def _csv(path: Path, table: pa.Table) -> None:
    if 0 < len(table) <= MOST_ROWS:
        with replacing(path) as aside:
            pc.write_csv(table, aside)
    else:
        path.unlink(missing_ok=True)

"""Runs every benchmark, one by one, and prints one table: each figure beside its aim.

    python benchmarks/table.py                     # `make bench`: about 75 minutes on 2 cores
    python benchmarks/table.py --quick             # about 30
    python benchmarks/table.py --only sweep scale  # these alone
    python benchmarks/table.py --record            # also keeps what was measured, in benchmarks/RESULTS.md

A benchmark that cannot run here says why. One that fails is a line of the table, and the exit status is
then 1; an aim that is missed is a figure, and no failure.
"""

from __future__ import annotations

import json
import operator
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.common import parser

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
SIGNS = {"≥": operator.ge, "≤": operator.le}
Result = Mapping[str, Any]  # what a benchmark printed


@dataclass(frozen=True)
class Aim:
    """A figure of a benchmark, and what it should come to.

    Attributes:
        key: where it is in the JSON object that the benchmark prints: keys and positions, dotted.
        sign, bound: a key of ``SIGNS``, and the value on its right.
        means: what the figure is, in words.
        se: where its standard error is, of a figure that is simulated. Such an aim is missed where the figure
            is beyond it by more than three of them.
    """

    key: str
    sign: str
    bound: float
    means: str
    se: str = ""

    def line(self, result: Result) -> tuple[str, str, str, str]:
        """What it is, what was measured, the aim, whether it is met."""
        value, error = find(result, self.key), find(result, self.se) if self.se else 0
        aim = f"{self.sign} {self.bound:,g}"
        if not isinstance(value, int | float):
            return self.means, "–", aim, "–"
        shown, compare = f"{value:,.4g}", SIGNS[self.sign]
        if compare(value, self.bound):
            met = "met"
        else:
            allowed = 3 * error if self.sign == "≥" else -3 * error
            met = "met within its error" if compare(value + allowed, self.bound) else "missed"
        return self.means, f"{shown} ± {error:.2g}" if self.se else shown, aim, met


def find(result: Result, dotted: str) -> Any:
    """What a result has at keys and positions, {} where it has nothing."""
    value: Any = result
    for key in dotted.split("."):
        value = value[int(key)] if isinstance(value, list) else (value or {}).get(key, {})
    return value


def simulated(key: str, sign: str, bound: float, means: str) -> Aim:
    """Of the second look of ``calibration.py``."""
    key = f"summary.second_look.{key}"
    return Aim(f"{key}.share", sign, bound, means, se=f"{key}.se")


BENCHMARKS: dict[str, tuple[Aim, ...]] = {
    "trial_overhead": (
        Aim("warm_s", "≤", 1, "a further trial of almost no work, 1 worker, s"),
        Aim("warm_2_workers_s", "≤", 1, "the same, 2 workers, s"),
        Aim("ratio", "≥", 20, "the Ray pattern's time over it"),
    ),
    "sweep": (
        Aim("vs_ray_pattern", "≥", 10, "the whole study: the Ray pattern's time over ours"),
        Aim("vs_optuna_dataloader", "≥", 3, "the whole study: Optuna and a DataLoader's time over ours"),
        Aim("of_limit", "≥", 0.85, "bare loops' time over ours, start-up apart"),
        Aim("startup_s", "≤", 25, "start-up, decoding included, s"),
    ),
    "pipeline": (
        Aim("fill_of_processes", "≥", 0.9, "filling the clip cache, against plain processes"),
        Aim("later_epochs", "≥", 5000, "later epochs, in memory, clips/s"),
        Aim("out_of_core", "≥", 1500, "an epoch from the disk, clips/s"),
    ),
    "frozen_prefix": (Aim("ratio", "≥", 20, "trial time without sharing over that with it"),),
    "scale": (
        Aim("plan_s", "≤", 30, "10,000 trials: planning, s"),
        Aim("append_s", "≤", 30, "10,000 trials: the ledger takes them, s"),
        Aim("resume_killed_s", "≤", 30, "10,000 trials: resuming after a kill, s"),
        Aim("resume_done_s", "≤", 30, "10,000 trials: the same command when all is done, s"),
        Aim("report_s", "≤", 30, "10,000 trials: the report, s"),
        Aim("report_mb", "≤", 15, "10,000 trials: the report, MB"),
    ),
    "opening": (Aim("opens_s", "≤", 2, "a report of 208 trials opens in Chromium, s"),),
    "search_quality": (
        Aim("engine.differing", "≤", 0, "searches on Ray under kills: trials that are not the expected ones"),
        Aim("vs_workers.0", "≤", 1.1, "regret over that of Optuna alone, 4 side by side"),
    ),
    "chaos": (
        Aim("lost", "≤", 0, "sweeps under kills of every kind: trials lost"),
        Aim("duplicated", "≤", 0, "the same: trials there twice"),
        Aim("differing", "≤", 0, "the same: trials with another result"),
    ),
    "gpu": (Aim("of_device_loop", "≥", 0.9, "R3D-18 on a GPU: clips/s, against tensors on the device"),),
    "calibration": (
        simulated("coverage.least", "≥", 0.93, "95 % intervals: least coverage, arms vary alike"),
        simulated("coverage.greatest", "≤", 0.985, "the greatest"),
        Aim(
            "summary.coverage_4_times_noisier.baseline.0",
            "≥",
            0.93,
            "the least where the baseline varies four times as much as the arms",
        ),
        simulated("family_error", "≤", 0.05, "wrong verdict in the worst null study, arms vary alike"),
        simulated("family_error_4_times_noisier", "≤", 0.05, "the same, some vary four times as much"),
        simulated("family_error_with_margin", "≤", 0.05, "wrong verdict in a study with a margin"),
        Aim("summary.power_over_peers_that_cover", "≥", 1, "power over that of the best test that covers"),
    ),
}


TABLES = {"calibration": ("--markdown",)}  # arguments for tables beside the JSON object


def run(name: str, words: Sequence[str]) -> Result:
    """What the benchmark printed: its JSON object, and as ``tables`` what followed that in Markdown.

    Lists of objects are left out: what they hold is in such tables. {"failed": why} if it printed no object.
    """
    start = time.monotonic()
    script = [sys.executable, str(HERE / f"{name}.py"), *words, *TABLES.get(name, ())]
    done = subprocess.run(script, stdout=subprocess.PIPE, stderr=sys.stderr, text=True, check=False)
    try:
        # From the line that it begins on: Ray may have warned on the same stream before.
        told = done.stdout[f"\n{done.stdout}".index("\n{") :]
        printed, end = json.JSONDecoder().raw_decode(told)
    except ValueError:
        return {"failed": f"exit status {done.returncode}"}
    result = {key: value for key, value in printed.items() if not _is_rows(value)}
    result |= {"seconds": round(time.monotonic() - start), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    return {**result, "tables": told[end:].strip()}


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def lines(results: Mapping[str, Result]) -> Iterator[tuple[str, str, str, str, str]]:
    """The table: benchmark, what, measured, aim, met or missed."""
    for name, result in results.items():
        for key in ("failed", "skipped"):
            if key in result:
                yield name, f"{key}: {result[key]}", "–", "–", "–"
                break
        else:
            for aim in BENCHMARKS.get(name, ()):
                yield name, *aim.line(result)


def text(results: Mapping[str, Result]) -> str:
    """The table for a terminal."""
    rows = [("benchmark", "what", "measured", "aim", ""), *lines(results)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in shown)


def page(results: Mapping[str, Result]) -> str:
    """``RESULTS.md``: the same table, then all that each benchmark printed, which :func:`recorded` reads."""
    rows = ["| benchmark | what | measured | aim | |", "| --- | --- | --- | --- | --- |"]
    rows += [f"| {' | '.join(line)} |" for line in lines(results)]
    head = (
        "# Benchmarks\n\nWritten by `python benchmarks/table.py --record`: machine, date and every figure.\n"
    )
    return "\n".join([head, *rows, "", *(_section(name, result) for name, result in results.items())])


def _section(name: str, result: Result) -> str:
    figures = {key: value for key, value in result.items() if key != "tables"}
    shown = json.dumps(figures, indent=1, ensure_ascii=False)
    tables = result.get("tables")
    return f"## {name}\n\n```json\n{shown}\n```\n" + (f"\n{tables}\n" if tables else "")


def recorded(markdown: str) -> dict[str, Result]:
    """The results that are in a ``RESULTS.md``."""
    found: dict[str, Result] = {}
    for section in markdown.split("\n## ")[1:]:
        name, _, rest = section.partition("\n\n```json\n")
        figures, _, tables = rest.partition("\n```\n")
        found[name] = {**json.loads(figures), "tables": tables.strip()}
    return found


def main() -> int:
    arguments = parser(__doc__)
    names = [name for name in BENCHMARKS if (HERE / f"{name}.py").exists()]
    arguments.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    arguments.add_argument("--record", action="store_true", help=f"write them to {RESULTS.name}")
    options = arguments.parse_args()
    results = {}
    for name in options.only:
        print(f"{name} …", file=sys.stderr, flush=True)
        results[name] = run(name, ["--quick"] if options.quick else [])
    print(text(results))
    if options.record:
        earlier = recorded(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        all_of_them = {**earlier, **results}
        ordered = {name: all_of_them[name] for name in BENCHMARKS if name in all_of_them}
        RESULTS.write_text(page(ordered), encoding="utf-8")
    return 1 if any("failed" in result for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

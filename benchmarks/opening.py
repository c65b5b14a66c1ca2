"""How long a report takes to open in Chromium, from the file system.

    python benchmarks/opening.py                   # half a minute on 2 cores

The default study with 16 seeds, 208 trials: nothing is trained, the rows that its trials would have left are
made up (those of ``scale.py``). Each opening is by a new context, so without anything kept from the last; the
window is 1280×800. Without Chromium it prints why it was skipped.

Prints one JSON object: ``opens_s``, the median time from the address to a page whose first screen is drawn;
``opens_at_most_s``, the greatest; ``blank_s``, the same of an empty page; ``page_mb`` without plotly.js.
"""

from __future__ import annotations

import shutil
import statistics
import time
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from actrec.data import synthetic
from actrec.data.manifest import Manifest
from actrec.engine.run import with_data
from actrec.report.page import build_report
from actrec.results.ledger import Ledger
from actrec.study.rounds import current
from benchmarks.common import emit, parser, scratch
from benchmarks.scale import launch, rows_of
from experiments.ablate_regularization import study

SEEDS, TIMES = 16, 7
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Figures near the screen are drawn at once, the others when they come near.
DRAWN = """() => [...document.querySelectorAll('.canvas')].every(
    canvas => canvas.data || canvas.getBoundingClientRect().top > innerHeight)"""


def report(folder: Path, seeds: int) -> tuple[Path, int]:
    """The page of a study, and how many trials it has."""
    path = synthetic.build(folder / "videos", videos=48, size=32, frames=(6, 10))
    manifest = Manifest.read(path)
    made = with_data(replace(study(), seeds=tuple(range(seeds))), str(path), manifest)
    trials = current(made, ()).trials
    ledger = Ledger(folder / "out")
    ledger.claim()
    for trial in trials:
        ledger.append(*rows_of(trial))
    launch(made, manifest, folder / "out")
    return build_report(folder / "out"), len(trials)


def openings(browser: Browser, page: Path) -> list[float]:
    """Seconds of each opening."""
    found = []
    for _ in range(TIMES):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        tab = context.new_page()
        start = time.perf_counter()
        tab.goto(page.as_uri())
        tab.wait_for_function(DRAWN)
        found.append(time.perf_counter() - start)
        context.close()
    return found


def main() -> None:
    options = parser(__doc__).parse_args()
    if CHROMIUM is None:
        emit({"skipped": "no Chromium here"})
        return
    with scratch() as folder, sync_playwright() as playwright:
        page, trials = report(folder, 4 if options.quick else SEEDS)
        empty = folder / "empty.html"
        empty.write_text("<!doctype html><title>empty</title>")
        with playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as browser:
            blank, opened = openings(browser, empty), openings(browser, page)
        emit(
            {
                "trials": trials,
                "opens_s": statistics.median(opened),
                "opens_at_most_s": max(opened),
                "blank_s": statistics.median(blank),
                "page_mb": page.stat().st_size / 1e6,
            }
        )


if __name__ == "__main__":
    main()

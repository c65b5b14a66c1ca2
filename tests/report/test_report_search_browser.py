"""The pages of a search in a real browser, from the file system."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from actrec.report.page import build_report
from tests.report import tiny_search
from tests.report.searched import searching, write_search

DRAWN = "() => [...document.querySelectorAll('.canvas')].every(c => !c.checkVisibility() || c.data)"


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One with a nasty name of a category and two objectives, one with everything else, one under way, one
    that trained a population."""
    root = tmp_path_factory.mktemp("searches")
    nasty = tiny_search.whole(root / "nasty", objectives=["val_top1", "seconds"])
    full = write_search(root / "full", searching(stopping="asha"))
    running = write_search(root / "running", searching(stopping="asha"), until=14)
    population = write_search(root / "population", searching(sampler="pbt", confirm=0))
    return {folder.name: build_report(folder) for folder in (nasty, full, running, population)}


@pytest.fixture(params=[("nasty", 1280), ("full", 390), ("running", 390), ("population", 390)], ids=str)
def silent(request: pytest.FixtureRequest, browser: Browser, studies: dict[str, Path]) -> Iterator[Page]:
    """A page at a width with all its figures drawn; it must be silent and ask for nothing."""
    name, width = request.param
    page = browser.new_page(viewport={"width": width, "height": 20_000})
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.on("request", lambda sent: asked.append(sent.url))
    page.goto(studies[name].as_uri())
    page.wait_for_function(DRAWN)
    yield page
    page.close()
    assert said == []
    here = studies[name].parent.as_uri()
    assert [url.removeprefix(here) for url in asked if not url.startswith("data:")] == [
        "/index.html",
        "/plotly.min.js",
    ]


def test_every_figure_is_drawn_and_nothing_sticks_out(silent: Page) -> None:
    counts = silent.evaluate(
        "() => Object.fromEntries([...document.querySelectorAll('.canvas')]"
        ".filter(c => c.checkVisibility()).map(c => [c.id, c.data.length]))"
    )
    assert {"history-plot", "slice-0"} <= counts.keys()
    assert all(counts.values())
    viewport = silent.viewport_size
    assert viewport is not None
    assert silent.evaluate("document.documentElement.scrollWidth") == viewport["width"]


@pytest.fixture
def full(browser: Browser, studies: dict[str, Path]) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    page.goto(studies["full"].as_uri())
    yield page
    context.close()


def test_the_generations_of_a_population_are_drawn_and_told(
    browser: Browser, studies: dict[str, Path]
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 20_000})
    page.goto(studies["population"].as_uri())
    page.wait_for_function(DRAWN)
    plot = page.locator("#generations-plot")
    expect(plot).to_have_attribute("aria-label", re.compile("^Validation top-1 of 24 trials by generation"))
    points = plot.locator(".scatterlayer .points path")
    expect(points).to_have_count(24)
    points.last.hover(force=True)  # the trial that failed, a cross
    expect(plot.locator(".hoverlayer")).to_contain_text("#9, goes on from #1")
    expect(plot.locator(".hoverlayer")).to_contain_text("optim.lr = ")
    expect(page.locator("#generations tbody tr")).to_have_count(3)
    page.goto(studies["full"].as_uri())
    expect(page.locator("#generations")).to_have_count(0)
    page.close()


def test_a_category_is_text(browser: Browser, studies: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 20_000})
    page.goto(studies["nasty"].as_uri())
    page.wait_for_function(DRAWN)
    assert tiny_search.KIND in page.locator("#slice-1 .xaxislayer-above text").all_text_contents()
    expect(page.locator("#tried td", has_text=tiny_search.KIND)).to_have_count(2)
    expect(page.locator("header .answer")).to_contain_text(tiny_search.KIND)
    page.close()


def test_trials_of_the_search_sort_and_filter(full: Page) -> None:
    section = full.locator("#tried")
    numbers = section.locator("tbody th")
    section.locator("thead th", has_text="Top-1, val").locator("button").click()
    section.locator("thead th", has_text="Top-1, val").locator("button").click()
    values = [text for text in section.locator("tbody td:nth-child(5)").all_inner_texts() if text != "–"]
    shares = [float(text.split()[0]) for text in values]
    assert shares == sorted(shares, reverse=True)
    section.locator(".chip", has_text="failed").click()
    expect(numbers).to_have_text(["#9"])
    section.locator(".chip", has_text="failed").click()
    section.locator("input[type=search]").fill("won")
    expect(numbers).to_have_count(1)


def test_a_trial_of_the_search_copies_its_command(full: Page) -> None:
    copy = full.locator("#tried .copy").first
    copy.click()
    expect(copy).to_have_class("copy copied")
    told = full.evaluate("navigator.clipboard.readText()")
    assert told.startswith("python experiments/search_regularization.py --search 24 --only ")
    assert copy.inner_text() in told

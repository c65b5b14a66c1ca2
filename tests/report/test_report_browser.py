"""The page in a real browser, from the file system."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from actrec.report.page import build_report
from actrec.report.tables import load
from tests.report.example import write_example
from tests.report.exhibits import write_exhibits

NASTY = ("<script>alert(1)</script>", "quote \"double\" & 'single'", "</script><img src=x onerror=alert(2)>")
DRAWN = "() => [...document.querySelectorAll('.canvas')].every(c => !c.checkVisibility() || c.data)"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "study"
    names = (*NASTY, *map(str, range(7)))
    return build_report(write_exhibits(write_example(folder, class_names=names), names)).parent


@pytest.fixture(scope="module")
def loaded(browser: Browser, study: Path) -> Iterator[Page]:
    """The page with everything near the screen, so that everything is drawn; it must be silent."""
    context = browser.new_context(viewport={"width": 1280, "height": 20_000})
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((study / "index.html").as_uri())
    page.wait_for_function(DRAWN)
    yield page
    context.close()
    assert said == []
    files = [url.removeprefix(study.as_uri()) for url in asked if not url.startswith(("data:", "blob:"))]
    assert [name for name in files if not re.fullmatch(r"/frames/\w+\.jpg", name)] == [
        "/index.html",
        "/plotly.min.js",
    ]


def rows(page: Page, section: str) -> list[str]:
    """The first cells of the rows that the first table of a section shows."""
    return page.locator(f"#{section} table").first.locator("tbody th").all_inner_texts()


def test_every_figure_has_its_traces(loaded: Page) -> None:
    counts = loaded.evaluate(
        "() => Object.fromEntries([...document.querySelectorAll('.canvas')]"
        ".filter(c => c.checkVisibility()).map(c => [c.id, c.data.length]))"
    )
    arms = 12
    assert counts["effect-plot"] == arms - 1 + 1  # an effect each, and the simultaneous intervals
    assert counts["fit-top1"] == 4  # training, validation, test and the lines between
    assert counts["confusion-difference"] == 1
    assert counts["ranking-0"] == 2
    assert counts["cost-plot"] == 2
    assert sum(name.startswith("curve-top1-") for name in counts) == arms
    assert all(counts.values())
    # What Plotly was given is on the page as shapes.
    assert loaded.locator("#effect-plot .scatterlayer .trace").count() == arms


def test_names_are_text(loaded: Page) -> None:
    assert loaded.locator("img:not([src^='frames/'], .lens)").count() == 0
    for name in NASTY:
        expect(loaded.locator("#data tbody th", has_text=name)).to_have_count(1)
    ticks = loaded.locator("#confusion-baseline .yaxislayer-above text").all_text_contents()
    assert NASTY[0] in ticks


def test_a_point_of_the_map_shows_its_video(loaded: Page) -> None:
    lens = loaded.locator("#map-0 .lens")
    expect(lens).to_be_hidden()
    loaded.locator("#map-0 .point").first.hover(force=True)
    expect(lens).to_be_visible()
    assert (lens.get_attribute("src") or "").startswith("frames/")
    assert lens.evaluate("async image => { await image.decode(); return image.naturalWidth }") == 120
    loaded.locator("#map-title").hover()
    expect(lens).to_be_hidden()
    classes = loaded.locator("#map-0 .legend .legendtext").all_text_contents()
    assert set(classes) == {*NASTY, *map(str, range(7))}


def test_a_trial_unfolds_with_curves_and_mistakes(loaded: Page) -> None:
    panel = loaded.locator("#panels details").nth(2)
    assert panel.locator(".canvas[data-drawn]").count() == 0
    panel.locator("summary").click()
    assert "augment" in panel.locator("table").first.inner_text()
    loaded.wait_for_function(DRAWN)
    assert panel.locator(".canvas .trace").count() > 0
    assert panel.locator("img").first.get_attribute("src", timeout=1000) is not None
    panel.locator("summary").click()


@pytest.mark.parametrize("format", ["png", "svg"])
def test_a_figure_can_be_saved_without_a_network(loaded: Page, format: str) -> None:
    loaded.locator("#effect-plot").hover()
    with loaded.expect_download() as download:
        loaded.locator(f"#effect-plot .modebar-btn[data-title='Download as {format.upper()}']").click()
    content = download.value.path().read_bytes()
    assert download.value.suggested_filename == f"effect-plot.{format}"
    assert content.startswith(b"\x89PNG") if format == "png" else b"<svg" in content[:200]


def test_a_heading_sorts_up_and_down(loaded: Page) -> None:
    loaded.locator("#trials .more").click()  # 60 trials, of which the page shows 50
    heading = loaded.locator("#trials thead th", has_text="Top-1, test").locator("button")
    shares = loaded.locator("#trials tbody td:nth-child(6)")
    heading.click()
    upward = [float(text.split()[0]) for text in shares.all_inner_texts() if "–" not in text]
    heading.click()
    downward = [float(text.split()[0]) for text in shares.all_inner_texts() if "–" not in text]
    assert upward == sorted(upward)
    assert downward == upward[::-1]
    # The failed trial has no value, and is last both ways.
    assert shares.all_inner_texts()[-1] == "–"


def test_a_table_filters_by_text_and_by_verdict(loaded: Page) -> None:
    everything = rows(loaded, "answer")
    search = loaded.locator("#answer input[type=search]").first
    search.fill("DROPOUT 4 of 5")
    assert rows(loaded, "answer") == ["model.dropout"]
    expect(loaded.locator("#answer output").first).to_have_text("1 of 11 rows")
    search.fill("")
    hurts = loaded.locator("#answer .chip", has_text="hurts").first
    hurts.click()
    assert rows(loaded, "answer") == ["augment"]
    assert hurts.get_attribute("aria-pressed") == "true"
    hurts.click()
    assert rows(loaded, "answer") == everything


def test_a_trials_id_copies_its_command(browser: Browser, study: Path) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto((study / "index.html").as_uri())
    copy = page.locator("#trials .copy").first
    copy.click()
    expect(copy).to_have_class("copy copied")
    command = page.evaluate("navigator.clipboard.readText()")
    context.close()
    first = load(study).trials[0].trial_id
    assert command.startswith(f"python experiments/ablate_regularization.py --only {first} --out ")


def test_a_long_table_shows_the_first_rows_and_finds_them_all(browser: Browser, tmp_path: Path) -> None:
    folder = write_example(tmp_path / "long", seeds=range(20), done=0)  # 240 trials
    page = browser.new_page()
    page.goto(build_report(folder).as_uri())
    assert len(rows(page, "trials")) == 50
    expect(page.locator("#trials output")).to_have_text("240 rows, the first 50 shown")
    page.locator("#trials input").fill("placebo")
    assert rows(page, "trials") == ["placebo"] * 20
    page.locator("#trials input").fill("")
    page.get_by_role("button", name="Show more").click()
    assert len(rows(page, "trials")) == 200
    page.close()


def test_the_navigation_marks_the_section_that_is_read(browser: Browser, study: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto((study / "index.html").as_uri())
    for name in ("Provenance", "Verdicts"):
        link = page.locator("nav a", has_text=name)
        link.click()
        expect(page.locator("nav [aria-current]")).to_have_text(name)
        expect(link).to_be_in_viewport(ratio=1)
    page.close()


def test_the_buttons_that_save_a_figure_are_seen_when_they_have_the_focus(loaded: Page) -> None:
    bar = loaded.locator("#effect-plot .modebar-container")
    loaded.locator("h1").hover()
    expect(bar).to_have_css("opacity", "0")
    loaded.locator("#effect-plot .modebar-btn").first.focus()
    expect(bar).to_have_css("opacity", "1")
    loaded.evaluate("document.activeElement.blur()")


def test_every_class_is_named_beside_and_below_a_matrix(loaded: Page) -> None:
    for axis in ("xaxislayer-above", "yaxislayer-above"):
        assert loaded.locator(f"#confusion-baseline .{axis} .{axis[0]}tick text").count() == 10


def test_paper_holds_whole_tables_and_says_where_rows_are_left_out(browser: Browser, tmp_path: Path) -> None:
    folder = write_example(tmp_path / "long", seeds=range(6), done=72)
    page = browser.new_page(viewport={"width": 703, "height": 900})  # A4 less 12 mm on both sides
    page.goto(build_report(folder).as_uri())
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    widths = "() => [...document.querySelectorAll('table')].map(table => table.scrollWidth)"
    assert max(page.evaluate(widths)) <= 703
    expect(page.locator("#trials output")).to_be_visible()
    expect(page.locator("#arms output")).to_be_hidden()
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_of_the_page(browser: Browser, study: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((study / "index.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()

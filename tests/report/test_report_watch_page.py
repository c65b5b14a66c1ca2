"""The page of ``actrec watch --serve``: by HTTP, and in a real browser."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, expect

from actrec import cli
from actrec.report.page import build_report
from actrec.report.watch.follow import Watch
from actrec.report.watch.server import serving
from tests.report.tiny import CLASSES, write_ledger, write_study, write_tiny

NASTY = "<script>alert(1)</script>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study in progress beside a file that is nobody's business."""
    (tmp_path / "secret.txt").write_text("secret")
    study = tmp_path / "study"
    study.mkdir()
    plan = [{"trial_id": key, "arm": NASTY, "seed": seed} for seed, key in enumerate(["b0", "b1", "p0"])]
    write_study(study, name=f"of {NASTY}", plan=plan)
    write_ledger(study, ["b0"])
    (study / "owner.txt").write_text("not of the report")
    return study


@pytest.fixture
def served(folder: Path) -> Iterator[tuple[str, Watch]]:
    watch = Watch(folder)
    with serving(folder, lambda: watch.latest) as url:
        yield url, watch


def status(url: str, path: str, host: str | None = None) -> int:
    """Of a request whose path is sent as it stands."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host or address.netloc)
    connection.endheaders()
    found = connection.getresponse().status
    connection.close()
    return found


def test_the_page_is_for_this_machine_and_asks_nobody_else(served: tuple[str, Watch]) -> None:
    url, _ = served
    assert url.startswith("http://127.0.0.1:")
    with urlopen(url, timeout=10) as answer:
        markup = answer.read().decode()
        policy = answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "://" not in markup
    assert NASTY not in markup
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in markup


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/../../etc/passwd",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "//etc/passwd",
        "/etc/passwd",
        "/owner.txt",
        "/owner.json",
        "/parts/b0/trials.parquet",
        "/exports/../../secret.txt",
        "/exports/link.csv",
        "/frames",
        "http://[/index.html",
    ],
)
def test_nothing_but_the_report_can_be_had(served: tuple[str, Watch], folder: Path, path: str) -> None:
    (folder / "exports").mkdir()
    (folder / "exports" / "link.csv").symlink_to(folder.parent / "secret.txt")
    assert status(served[0], path) == 404


def test_the_studys_own_report_is_served(served: tuple[str, Watch], folder: Path) -> None:
    build_report(folder)
    for name, kind in [
        ("index.html", "text/html; charset=utf-8"),
        ("plotly.min.js", "text/javascript; charset=utf-8"),
        ("exports/trials.csv", "text/plain; charset=utf-8"),
    ]:
        with urlopen(served[0] + name, timeout=10) as answer:
            assert answer.headers["Content-Type"] == kind
            assert answer.read() == (folder / name).read_bytes()
    with urlopen(served[0], timeout=10) as answer:
        assert b'href="index.html"' in answer.read()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", ""])
def test_another_host_is_refused(served: tuple[str, Watch], host: str) -> None:
    with pytest.raises(HTTPError) as error:
        urlopen(Request(served[0], headers={"Host": host}), timeout=10)
    assert error.value.code == 403
    error.value.close()


def test_a_forwarded_port_is_not(served: tuple[str, Watch]) -> None:
    assert status(served[0], "/", host="localhost:9000") == 200


def test_a_browser_shows_names_as_text_and_refreshes_itself(
    served: tuple[str, Watch], folder: Path, browser: Browser
) -> None:
    url, watch = served
    build_report(folder)
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.goto(url)
    expect(page.locator("h1")).to_have_text("1 of 3 trials ok, 2 waiting")
    expect(page.locator("tbody td", has_text=NASTY).first).to_be_visible()
    write_ledger(folder, ["b1"])
    watch.look()
    expect(page.locator("h1")).to_have_text("2 of 3 trials ok, 1 waiting")
    expect(page).to_have_title(f"2/3 · of {NASTY} · actrec")
    expect(page.locator("#lost")).to_be_hidden()
    page.get_by_role("link", name="The study's report").click()
    expect(page.locator("#trials")).to_be_visible()
    page.wait_for_function("() => document.querySelector('.canvas').data")
    context.close()
    assert said == []


def test_a_page_that_is_left_behind_says_so(folder: Path, browser: Browser) -> None:
    watch = Watch(folder)
    page = browser.new_page()
    with serving(folder, lambda: watch.latest) as url:
        page.goto(url)
    expect(page.locator("#lost")).to_be_visible()
    expect(page.locator("h1")).to_have_text("1 of 3 trials ok, 2 waiting")
    page.close()


def test_a_class_is_text_on_the_report_too(tmp_path: Path, browser: Browser) -> None:
    write_tiny(tmp_path)
    write_study(tmp_path, manifest={"class_names": [NASTY, *CLASSES[1:]]})
    build_report(tmp_path)
    watch = Watch(tmp_path)
    with serving(tmp_path, lambda: watch.latest) as url:
        page = browser.new_page()
        said: list[str] = []
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.goto(url + "index.html")
        expect(page.locator("#classes tbody th", has_text=NASTY).first).to_be_visible()
        page.close()
    assert said == []


def test_a_port_that_is_taken_is_told(
    served: tuple[str, Watch], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(urlsplit(served[0]).port)
    assert cli.main(["watch", str(folder), "--serve", port]) == 2
    assert f"--serve {port}: Address already in use" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["watch", str(folder), "--serve", "70000"])
    assert "must be in [0, 65535]" in capsys.readouterr().err

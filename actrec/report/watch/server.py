"""The page of a running study, for browsers on this machine."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer
from typing import Any
from urllib.parse import unquote

from actrec.report.watch import page
from actrec.report.watch.snapshot import Snapshot

HERE = "127.0.0.1"  # nobody else's machine can connect
NAMES = (HERE, "localhost")
# What a study's report is made of, by patterns within its folder. Nothing else can be asked for.
FILES = (
    "index.html",
    "comparison.html",
    "plotly.min.js",
    "study.json",
    "*.parquet",
    "exports/*",
    "frames/*.jpg",
)
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".jpg": "image/jpeg",
    ".parquet": "application/octet-stream",
}
PLAIN = "text/plain; charset=utf-8"
TIMEOUT_S = 10.0
POLL_S = 0.1  # between two looks whether to stop


@contextmanager
def serving(folder: Path, latest: Callable[[], Snapshot], port: int = 0) -> Iterator[str]:
    """Serves the page and the study's report meanwhile; gives the address.

    Args:
        latest: the snapshot to show.
        port: 0 takes one that is free.

    Raises:
        OSError: if the port cannot be had.
    """
    with _Server((HERE, port), partial(_Handler, folder, latest)) as server:
        thread = threading.Thread(
            target=server.serve_forever, args=(POLL_S,), name="actrec-watch", daemon=True
        )
        thread.start()
        try:
            yield f"http://{HERE}:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a browser that went away is none of ours
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    timeout = TIMEOUT_S  # of a browser that connects and says nothing
    server_version, sys_version = "actrec", ""

    def __init__(
        self, folder: Path, latest: Callable[[], Snapshot], request: Any, client: Any, server: BaseServer
    ) -> None:
        self._folder, self._latest = folder, latest
        super().__init__(request, client, server)

    def do_GET(self) -> None:
        # A page elsewhere may let its own name point here (DNS rebinding), and would then be let read this.
        if self.headers.get("Host", "").partition(":")[0] not in NAMES:
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        path = unquote(self.path.partition("?")[0]).removeprefix("/")
        report = (self._folder / "index.html").is_file()
        if path == "":
            self._send(page.document(self._latest(), report=report), page.policy())
        elif path == page.STATUS:
            self._send(page.status(self._latest(), report=report))
        else:
            self._file(path)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal shows the study."""

    def _send(self, markup: str, policy: str = "default-src 'none'") -> None:
        content = markup.encode()
        self._begin(HTTPStatus.OK, TYPES[".html"], len(content), policy)
        self.wfile.write(content)

    def _file(self, path: str) -> None:
        """One of the report's files. The request is compared with what there is, and makes no path itself."""
        root = self._folder.resolve()
        there = {
            file.relative_to(self._folder).as_posix(): file
            for one in FILES
            for file in self._folder.glob(one)
        }
        file = there.get(path)
        if file is None or not file.is_file() or not file.resolve().is_relative_to(root):
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        with file.open("rb") as content:
            size = file.stat().st_size
            # A page of the report has a policy of its own, within.
            self._begin(HTTPStatus.OK, TYPES.get(file.suffix, PLAIN), size, "frame-ancestors 'none'")
            shutil.copyfileobj(content, self.wfile)

    def _refuse(self, status: HTTPStatus) -> None:
        content = f"{status.value} {status.phrase}\n".encode()
        self._begin(status, PLAIN, len(content), "default-src 'none'")
        self.wfile.write(content)

    def _begin(self, status: HTTPStatus, kind: str, size: int, policy: str) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(size),
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

"""``actrec watch DIR``: a study's state while another process runs it, on the terminal and as a page."""

from __future__ import annotations

import argparse
import sys
import threading
from contextlib import ExitStack
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command ``watch``; its default ``run`` takes the arguments and returns the exit status."""
    parser = subparsers.add_parser(
        "watch",
        help="show how far a study is, while it runs",
        description="Show how far a study is, until its driver ends: exit status 0 if all is done, 1 if "
        "it was stopped or is gone. It may run on another machine that sees the folder. Nothing is changed.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a study's folder, such as reports/NAME")
    parser.add_argument("--once", action="store_true", help="print the state now, and end")
    parser.add_argument(
        "--serve",
        type=_port,
        nargs="?",
        const=0,
        metavar="PORT",
        help="serve it as a page too, to browsers on this machine alone, until Ctrl-C (default: a free port)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shows the study until its driver ends; with ``--serve`` until Ctrl-C."""
    # Here, so that other commands do not load them.
    from rich.console import Console
    from rich.live import Live

    from actrec.report.watch.follow import Watch
    from actrec.report.watch.server import serving
    from actrec.report.watch.terminal import render

    console = Console(highlight=False)
    whole = arguments.once or not console.is_terminal
    watch = Watch(arguments.folder)
    if arguments.once:
        console.print(render(watch.latest, console, whole=whole))
        return 0
    with ExitStack() as stack:
        if arguments.serve is not None:
            try:
                url = stack.enter_context(serving(arguments.folder, lambda: watch.latest, arguments.serve))
            except OSError as error:
                print(f"error: --serve {arguments.serve}: {error.strerror}", file=sys.stderr)
                return 2
            console.print(url)
        with Live(console=console, auto_refresh=False) as live:
            for found in watch.follow():
                live.update(render(found, console, whole=whole), refresh=True)
        if not console.is_terminal:
            console.line()
        if arguments.serve is not None:
            console.print("the page stays until Ctrl-C")
            threading.Event().wait()
    return 0 if watch.latest.state == "done" else 1


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{number}: must be in [0, 65535]")
    return number

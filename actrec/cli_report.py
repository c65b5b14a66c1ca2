"""``actrec report DIR``: rebuilds a study's page from its tables."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command ``report``; its default ``run`` takes the arguments and returns the exit status."""
    parser = subparsers.add_parser(
        "report",
        help="rebuild index.html from a study's tables",
        description="Rebuild index.html from the tables and study.json of a study's folder.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a study's folder, such as reports/NAME")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Builds the page and prints its path."""
    from actrec.report.page import build_report  # here, so that other commands do not load plotly

    print(build_report(arguments.folder))
    return 0

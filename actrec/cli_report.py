"""``actrec report DIR``: rebuilds a study's page, or those of a folder of studies; compares two studies."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command ``report``; its default ``run`` takes the arguments and returns the exit status."""
    parser = subparsers.add_parser(
        "report",
        help="rebuild index.html from a study's tables",
        description="Rebuild index.html from the tables and study.json of a study's folder; of a folder of "
        "studies, all of them and their list.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a study's folder, such as reports/NAME")
    parser.add_argument(
        "--against", type=Path, metavar="DIR2", help="write comparison.html: this study against that in DIR2"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Builds the pages and prints their paths."""
    # Here, so that other commands do not load plotly.
    from actrec.report.index import is_list, studies, write_index
    from actrec.report.page import build_comparison, build_report

    if arguments.against is not None:
        print(build_comparison(arguments.folder, arguments.against))
        return 0
    if not is_list(arguments.folder):
        print(build_report(arguments.folder))
        return 0
    for study in studies(arguments.folder):
        print(build_report(study))
    print(write_index(arguments.folder))
    return 0

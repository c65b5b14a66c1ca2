"""``actrec models``: the architectures of the zoo, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
from typing import Any

_CLASSES = 51  # parameters are counted with HMDB51's classes, as the reports to reproduce do


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command; its ``run`` default takes the parsed arguments and returns the exit code."""
    text = "list the architectures, their sizes, options and stages"
    parser = subparsers.add_parser("models", help=text, description=text)
    parser.add_argument("--json", action="store_true", help="print JSON rather than a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the zoo."""
    rows = describe()
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
    return 0


def describe() -> list[dict[str, Any]]:
    """One mapping an architecture: name, parameters (at 51 classes), frames, options, stages, summary."""
    import torch  # here, so that `actrec --help` does not wait for it

    from actrec.models.zoo import ZOO, build
    from actrec.spec import ModelSpec

    rows = []
    for card in ZOO.values():
        with torch.device("meta"):  # shapes alone: no memory, no random numbers
            model = build(ModelSpec(name=card.name), num_classes=_CLASSES, num_frames=card.num_frames)
        rows.append(
            {
                "name": card.name,
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "frames": card.num_frames,
                "options": dict(card.options),
                "stages": list(card.stages),
                "summary": card.summary,
            }
        )
    return rows


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_lines=True)
    table.add_column("name", no_wrap=True)
    table.add_column(f"parameters\n(K={_CLASSES})", justify="right", no_wrap=True)
    table.add_column("frames", justify="right", no_wrap=True)
    table.add_column("summary, options with defaults, stages")
    for row in rows:
        options = ", ".join(f"{option}={default}" for option, default in row["options"].items())
        about = "\n".join([row["summary"], options, " → ".join(row["stages"])])
        table.add_row(row["name"], f"{row['parameters']:,}", str(row["frames"]), about)
    Console().print(table)

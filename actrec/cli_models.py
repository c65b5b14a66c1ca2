"""``actrec models``: the architectures of the zoo, all as a table or one in detail, or as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

from actrec.errors import ModelError

if TYPE_CHECKING:  # torch is imported when a command runs: `actrec --help` does not wait for it
    from actrec.models.card import ModelCard

_CLASSES = 51  # parameters are counted with HMDB51's classes, as the reports to reproduce do


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the sub-command; its ``run`` default takes the parsed arguments and returns the exit code."""
    text = "list the architectures, their sizes, options, stages and published weights"
    parser = subparsers.add_parser("models", help=text, description=text)
    parser.add_argument("name", nargs="?", metavar="NAME", help="show one in detail")
    parser.add_argument("--json", action="store_true", help="print JSON rather than a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the zoo, or one model of it.

    Raises:
        SpecError: on an unknown name.
    """
    from actrec.models.zoo import ZOO, find

    rows = [describe(find(args.name).name)] if args.name else [describe(name) for name in ZOO]
    if args.json:
        print(json.dumps(rows, indent=2))
    elif args.name:
        _print_detail(rows[0])
    else:
        _print_table(rows)
    return 0


def describe(name: str) -> dict[str, Any]:
    """What the card of a model says, its parameters in all and by stage (at 51 classes), and for each of its
    published weights where the file is on this machine, or why it cannot be used."""
    import torch

    from actrec.models.zoo import build, find
    from actrec.spec import ModelSpec

    card = find(name)
    with torch.device("meta"):  # shapes alone: no memory, no random numbers
        model = build(ModelSpec(name=name), num_classes=_CLASSES, num_frames=card.num_frames)
    sizes = {key: value.numel() for key, value in model.named_parameters()}
    return {
        "name": name,
        "parameters": sum(sizes.values()),
        "frames": card.num_frames,
        "stride": card.stride,
        "crop": card.crop,
        "options": dict(card.options),
        "stages": {
            stage: sum(size for key, size in sizes.items() if re.fullmatch(pattern, key))
            for stage, pattern in card.stages.items()
        },
        "weights": {weights: _where(card, weights) for weights in card.weights},
        "summary": card.summary,
    }


def _where(card: ModelCard, name: str) -> dict[str, Any]:
    """What a card says of weights, with ``found``: the path, or None and the reason as ``why``."""
    from actrec.models import weights

    said = dataclasses.asdict(card.weights[name])
    try:
        return said | {"found": str(weights.find(card, name)), "why": ""}
    except ModelError as error:
        return said | {"found": None, "why": str(error)}


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_lines=True)
    table.add_column("name", no_wrap=True)
    table.add_column(f"parameters\n(K={_CLASSES})", justify="right", no_wrap=True)
    table.add_column("frames", justify="right", no_wrap=True)
    table.add_column("summary, options with defaults, stages, weights")
    for row in rows:
        about = [row["summary"], _options(row), " → ".join(row["stages"])]
        about += [
            f"weights {name}: {'found' if weights['found'] else 'not here'}"
            for name, weights in row["weights"].items()
        ]
        table.add_row(row["name"], f"{row['parameters']:,}", str(row["frames"]), "\n".join(about))
    Console().print(table)


def _print_detail(row: dict[str, Any]) -> None:
    print(f"{row['name']}: {row['summary']}")
    print(f"made for {row['frames']} frames at stride {row['stride']}, {row['crop']}×{row['crop']} pixels")
    print(f"options: {_options(row)}")
    print(f"{row['parameters']:,} parameters for {_CLASSES} classes, by stage:")
    for stage, size in row["stages"].items():
        print(f"  {stage:<16}{size:>12,}")
    for name, weights in row["weights"].items():
        print(f"weights {name}: {weights['source']} ({weights['classes']} classes)")
        print(f"  {weights['file']}, sha256 {weights['sha256']}")
        print(f"  {weights['found'] or weights['why']}")
    if not row["weights"]:
        print("weights: none")


def _options(row: dict[str, Any]) -> str:
    return ", ".join(f"{option}={default}" for option, default in row["options"].items())

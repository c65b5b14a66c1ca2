"""``actrec``: what is not a study. Studies are scripts, in ``experiments/``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from actrec import cli_cache, cli_data, cli_models, cli_report, cli_watch
from actrec.errors import ActrecError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status (2: the command or its input is wrong)."""
    parser = argparse.ArgumentParser(
        prog="actrec", description="Ablations for video action recognition. Studies are run as scripts."
    )
    commands = parser.add_subparsers(metavar="COMMAND")
    for module in (cli_data, cli_cache, cli_models, cli_report, cli_watch):
        module.add_parser(commands)
    arguments = parser.parse_args(argv)
    if not hasattr(arguments, "run"):
        parser.print_help()
        return 2
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        return 130
    except ActrecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

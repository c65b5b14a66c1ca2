"""A driver as a process of its own: does to a ledger what the lines of its input say, and answers each.

``claim <folder> <beat_s>`` · ``put <trial_id>`` · ``release``
"""

from __future__ import annotations

import sys

from actrec.errors import LedgerError
from actrec.results.ledger import Ledger
from tests.results.rows import put


def main() -> None:
    ledger: Ledger | None = None
    for line in sys.stdin:
        command, *given = line.split()
        try:
            if command == "claim":
                ledger = Ledger(given[0])
                ledger.claim(beat_s=float(given[1]))
            assert ledger is not None
            if command == "put":
                put(ledger, given[0])
            if command == "release":
                ledger.release()
            print("done", flush=True)
        except LedgerError as error:
            print(error, flush=True)


if __name__ == "__main__":
    main()

"""A ledger of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from actrec.results.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "study")
    made.claim()
    return made

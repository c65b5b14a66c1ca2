"""The table of faults keeps to what is tested."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rows() -> list[tuple[str, str]]:
    """Fault and test of each row of the tables in ``docs/faults.md``."""
    lines = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines()
    cells = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    found = [(fault.strip(), test.strip()) for fault, _, test in cells]
    return [(fault, test) for fault, test in found if fault not in ("Fault", "---")]


def test_every_fault_has_a_test_that_exists() -> None:
    assert len(rows()) > 20
    for fault, test in rows():
        named = re.fullmatch(r"`(tests/\S+\.py)::(test_\w+)`", test)
        assert named, f"{fault}: {test}"
        tree = ast.parse((ROOT / named[1]).read_text(encoding="utf-8"))
        assert named[2] in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


def test_every_test_of_a_fault_is_in_the_table() -> None:
    listed = {test.strip("`") for _, test in rows()}
    for path in Path(__file__).parent.glob("test_faults*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and path != Path(__file__):
                assert f"{path.relative_to(ROOT)}::{node.name}" in listed

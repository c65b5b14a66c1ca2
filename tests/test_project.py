"""What the repository promises about itself: a lock that can be trusted, no strays, a README that is true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Assembled, so that this file does not name them itself.
INDEX_HOSTS = [
    ".".join(parts) for parts in [("pypi", "org"), ("pythonhosted", "org"), ("download", "pytorch")]
]


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def lock() -> str:
    return (ROOT / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Every file that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(lock: str) -> dict[str, str]:
    """Normalised name → its whole entry, continuation lines joined."""
    entries = re.sub(r"\\\n\s*", "", lock).splitlines()
    pinned = [entry for entry in entries if entry and not entry.lstrip().startswith("#")]
    return {normalised(re.split(r"[=\[; ]", entry, maxsplit=1)[0]): entry for entry in pinned}


def test_the_lock_holds_no_address_and_no_option(lock: str) -> None:
    assert "://" not in lock
    assert not re.search(r"^\s*(--(?!hash=)|-[a-zA-Z]\b)", lock, re.MULTILINE)


def test_every_locked_requirement_is_pinned_and_has_a_hash(lock: str) -> None:
    entries = locked(lock)
    assert len(entries) > 50
    for name, entry in entries.items():
        assert re.match(r"[\w.\[\]-]+==\S+", entry), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), name


def test_every_dependency_is_locked(pyproject: dict[str, Any], lock: str) -> None:
    project = pyproject["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {normalised(re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]) for requirement in wanted}
    assert names - locked(lock).keys() == set()


def imported(source: str) -> set[str]:
    """The packages that a module imports, wherever in it, by name or by ``import_module``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {alias.name.split(".")[0] for alias in names}
            case ast.ImportFrom(module=str(name), level=0):
                found.add(name.split(".")[0])
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name))]):
                found.add(name.split(".")[0])
    return found


def test_every_import_is_of_a_declared_dependency(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    wanted = sum(project["optional-dependencies"].values(), project["dependencies"])
    declared = {normalised(re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]) for requirement in wanted}
    names = set().union(*(imported(file.read_text()) for file in (ROOT / "actrec").rglob("*.py")))
    names -= {*sys.stdlib_module_names, "actrec"}
    assert {"sklearn", "threadpoolctl", "torch", "yaml"} <= names
    # Of what is not installed nothing but the name of its module is known.
    packages = {"umap": ["umap-learn"], "mlflow": ["mlflow-skinny"], **packages_distributions()}
    assert {n for n in names if declared.isdisjoint(map(normalised, packages.get(n, [n])))} == set()


def test_there_is_no_second_lock(tracked: list[Path]) -> None:
    assert not (ROOT / "uv.lock").exists()
    assert "uv.lock" not in {file.name for file in tracked}


def test_no_file_names_a_package_index(tracked: list[Path]) -> None:
    named = [
        f"{file.relative_to(ROOT)}: {host}"
        for file in tracked
        for host in INDEX_HOSTS
        if host.encode() in file.read_bytes()
    ]
    assert named == []


def test_the_readme_names_only_targets_that_the_makefile_has(readme: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", readme + (ROOT / "CONTRIBUTING.md").read_text()))
    assert {"ablate", "test"} <= named
    assert named - targets == set()


def test_the_readme_annotates_every_top_level_entry(readme: str, tracked: list[Path]) -> None:
    entries = {file.relative_to(ROOT).parts[0] for file in tracked}
    tree = readme.split("## The tree")[1].split("```")[1]
    listed = {line.split()[0].rstrip("/") for line in tree.splitlines() if line and not line[0].isspace()}
    assert listed == entries


def test_the_readmes_study_runs_as_it_stands(readme: str, tmp_path: Path) -> None:
    script = tmp_path / "study.py"
    script.write_text(readme.split("```python\n")[1].split("```")[0])
    done = subprocess.run(
        [sys.executable, script, "--dry-run"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "30 trials = 6 arms × 5 seeds" in done.stdout  # baseline, 2 + 2 levels, placebo


def test_the_readmes_flags_are_those_of_a_study(readme: str) -> None:
    table = readme.split("| flag of a study's script")[1].split("\n\n")[0]
    first = " ".join(line.split("|")[1] for line in table.splitlines()[2:])  # the second column is prose
    parser = (ROOT / "actrec" / "arguments.py").read_text()
    assert set(re.findall(r"--[a-z-]+", first)) == set(re.findall(r'"(--[a-z-]+)"', parser))


def test_every_link_of_the_readme_to_a_file_leads_to_one(readme: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", readme) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_licence_is_the_one_that_the_package_declares(pyproject: dict[str, Any]) -> None:
    assert pyproject["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert text.split()[:5] == ["Apache", "License", "Version", "2.0,", "January"]
    assert "END OF TERMS AND CONDITIONS" in text


def test_ci_runs_the_readmes_commands(readme: str) -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    for target in ("lint", "test", "test-faults"):
        assert f"make {target}" in readme
    assert "for target in lint test test-faults" in script.read_text()

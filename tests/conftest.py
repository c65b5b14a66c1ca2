"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real videos, official split lists and weights, which lie beside the project where they exist at all."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data beside the project (real videos and split lists)")
    return folder


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray of two CPUs, which all tests of the session share.

    Its processes have ``ACTREC_TESTS`` in their environment, which no other Ray's have.
    """
    from actrec.engine.cluster import connect

    os.environ["ACTREC_TESTS"] = secrets.token_hex(8)
    with connect("local", num_cpus=2):
        yield

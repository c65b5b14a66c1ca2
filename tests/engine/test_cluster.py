"""Which cluster is joined, and how. Each case is a process of its own: Ray keeps state."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from actrec.engine.cluster import to_come

HEAD = {"CPU": 8.0}
WORKER = {"CPU": 16.0, "GPU": 1.0}


def run(code: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code with no Ray settings but the given ones, in a home of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=clean | {"HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


DECIDE = """
import os
from actrec.engine import cluster
cluster._authenticate(joining={joining})
print(os.environ["RAY_AUTH_MODE"], len(os.environ.get("RAY_AUTH_TOKEN", "")))
"""


@pytest.mark.parametrize(
    ("joining", "environment", "token_file", "expected"),
    [
        (False, {}, False, "token 64"),  # a local cluster: on, with a token of its own
        (True, {}, False, "disabled 0"),  # a cluster without authentication is joined without
        (True, {}, True, "token 0"),  # a token at hand is used
        (True, {"RAY_AUTH_TOKEN": "t" * 40}, False, "token 40"),
        (False, {"RAY_AUTH_MODE": "disabled"}, False, "disabled 0"),  # what the user has set stands
    ],
)
def test_authentication_is_set_on_purpose(
    tmp_path: Path, joining: bool, environment: dict[str, str], token_file: bool, expected: str
) -> None:
    if token_file:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("t" * 64)
    done = run(DECIDE.format(joining=joining), tmp_path, **environment)
    assert done.stdout.strip() == expected, done.stderr
    assert token_file or not (tmp_path / ".ray").exists()


LOCAL = """
from actrec.engine.cluster import connect
with connect("local", num_cpus=1) as found:
    import ray
    from ray._private.authentication.authentication_utils import is_token_auth_enabled
    assert found.address == "local" and found.logs.is_dir() and found.nodes[0]["CPU"] == 1
    print(is_token_auth_enabled(), ray.is_initialized())
print(ray.is_initialized())
"""


def test_a_local_cluster_is_authenticated_quiet_and_ended(tmp_path: Path) -> None:
    done = run(LOCAL, tmp_path)
    assert done.stdout.split() == ["True", "True", "False"], done.stderr
    assert done.stderr == ""
    assert not (tmp_path / ".ray").exists()


def test_an_address_where_nothing_answers_is_an_error_that_names_it(tmp_path: Path) -> None:
    code = """
from actrec.engine.cluster import connect
from actrec.errors import ClusterError
try:
    with connect("127.0.0.1:1"):
        pass
except ClusterError as error:
    print(error)
"""
    done = run(code, tmp_path, RAY_gcs_rpc_server_connect_timeout_s="1", RAY_NUM_REDIS_GET_RETRIES="1")
    assert done.stdout.startswith("no Ray cluster answers at 127.0.0.1:1: "), done.stderr


def bootstrap(folder: Path, **changes: Any) -> Path:
    config = {
        "max_workers": 4,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 8}, "max_workers": 0},
            "gpu_worker": {"resources": {"CPU": 16, "GPU": 1}, "max_workers": 3},
        },
    }
    path = folder / "bootstrap.yaml"
    path.write_text(yaml.safe_dump(config | changes))
    return path


def test_nodes_that_scale_from_zero_count(tmp_path: Path) -> None:
    assert to_come([HEAD], bootstrap(tmp_path)) == (WORKER,) * 3
    assert to_come([HEAD, WORKER], bootstrap(tmp_path)) == (WORKER,) * 2
    assert to_come([HEAD, *[WORKER] * 3], bootstrap(tmp_path)) == ()


def test_the_clusters_own_limit_holds(tmp_path: Path) -> None:
    assert to_come([HEAD], bootstrap(tmp_path, max_workers=2)) == (WORKER,) * 2
    assert to_come([HEAD], bootstrap(tmp_path, max_workers=0)) == ()


def test_away_from_the_head_only_what_is_up_counts(tmp_path: Path) -> None:
    assert to_come([HEAD], tmp_path / "missing.yaml") == ()

"""ray_cluster.yaml: accepted by Ray, safe, and the same project at the same place on every node."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    return loaded


def start(config: dict[str, Any], role: str) -> str:
    """The command that starts Ray on nodes of ``role``."""
    (command,) = [line for line in config[f"{role}_start_ray_commands"] if "ray start" in line]
    return str(command)


def test_it_is_valid_against_the_schema_that_ray_ships(config: dict[str, Any]) -> None:
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    schema = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(config, schema)


def test_rays_own_loader_takes_it(config: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(config)  # fills in AWS's defaults; asks AWS nothing
    validate_config(prepared)
    assert prepared["available_node_types"].keys() == {"head", "gpu_worker"}  # none of the defaults' own


def test_gpu_workers_scale_from_zero_and_the_head_asks_for_no_gpu(config: dict[str, Any]) -> None:
    nodes = config["available_node_types"]
    workers = {name: node for name, node in nodes.items() if name != config["head_node_type"]}
    assert config["max_workers"] > 0
    assert workers
    for node in workers.values():
        assert node["min_workers"] == 0
        assert node["max_workers"] > 0
        assert re.match(r"[gp]\d", node["node_config"]["InstanceType"])  # AWS's GPU families are g and p
    head = nodes[config["head_node_type"]]
    assert "GPU" not in head["resources"]
    assert re.match(r"[cmr]\d", head["node_config"]["InstanceType"])
    assert head["max_workers"] == 0


@pytest.mark.parametrize("role", ["head", "worker"])
def test_authentication_is_on_in_every_start_command(config: dict[str, Any], role: str) -> None:
    command = start(config, role)
    assert command.index("export RAY_AUTH_MODE=token;") < command.index("ray start")


def test_drivers_on_the_head_authenticate_too(config: dict[str, Any]) -> None:
    assert any("RAY_AUTH_MODE=token" in line and "profile.d" in line for line in config["setup_commands"])


def test_every_node_gets_the_same_token_and_none_is_written_here(config: dict[str, Any]) -> None:
    # ~/.ray/auth_token is where Ray looks when RAY_AUTH_TOKEN and RAY_AUTH_TOKEN_PATH are unset.
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    text = (ROOT / "ray_cluster.yaml").read_text()
    assert "RAY_AUTH_TOKEN=" not in text
    assert not re.search(r"\b[0-9a-f]{32,}\b", text)  # what `ray get-auth-token --generate` prints is longer


def test_nothing_listens_to_the_world(config: dict[str, Any]) -> None:
    assert "--dashboard-host=127.0.0.1" in start(config, "head")
    text = re.sub(r"#.*", "", (ROOT / "ray_cluster.yaml").read_text())
    assert "0.0.0.0" not in text
    assert "::/0" not in text
    # Ray would otherwise make a security group that opens SSH to 0.0.0.0/0.
    for node in config["available_node_types"].values():
        assert node["node_config"]["SecurityGroupIds"] == config["metadata"]["security_groups"]


def test_the_project_lies_at_one_path_on_all_nodes_and_every_file_it_takes_exists(
    config: dict[str, Any],
) -> None:
    # file_mounts go to the head, and from there to the same paths on the workers.
    project = {remote: local for remote, local in config["file_mounts"].items() if "auth_token" not in remote}
    for remote, local in project.items():
        assert remote == f"~/actrec/{local}"
        assert (ROOT / local).exists()
    assert {"actrec", "experiments", "Makefile", "pyproject.toml", "requirements.lock"} <= set(
        project.values()
    )
    assert all("worker_setup_commands" not in node for node in config["available_node_types"].values())


def test_nodes_install_requirements_lock_with_its_hashes(config: dict[str, Any]) -> None:
    assert any("make setup" in line for line in config["setup_commands"])
    recipe = subprocess.run(
        ["make", "--dry-run", "--always-make", "setup"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "--require-hashes -r requirements.lock" in recipe


def test_cache_and_reports_are_on_storage_that_all_nodes_mount(config: dict[str, Any]) -> None:
    assert config["metadata"]["mount"] in config["initialization_commands"]
    assert config["metadata"]["mount"].endswith(":/ /shared")
    setup = "\n".join(config["setup_commands"])
    assert "ACTREC_CACHE=/shared/cache" in setup
    assert "ln -sfn /shared/reports ~/actrec/reports" in setup

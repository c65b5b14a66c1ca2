"""Finding a Ray cluster, with authentication set on purpose and Ray kept quiet."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import yaml
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actrec.errors import ClusterError
from actrec.models import weights

# Set before any Ray process starts; each has a reason.
_ENVIRONMENT = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process a group; trials are retried anyway
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "1200",  # machines that scale from zero take minutes
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",  # a killed worker is noticed sooner
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # workers keep the driver's folder: relative paths mean the same
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the ledger is the record, not Tune's JSON and CSV files
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "100000",  # the ledger resumes a study, not Tune's own state
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DEDUP_LOGS": "0",
}
BOOTSTRAP = Path.home() / "ray_bootstrap_config.yaml"
_TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connection to Ray.

    Attributes:
        address: of its control service, or ``local``.
        nodes: the resources of each node that is up, then of those that its autoscaler may still start.
        up: how many are up.
        logs: where Ray writes its logs on this machine.
        found: how it was found, in words.
    """

    address: str
    nodes: tuple[dict[str, float], ...]
    up: int
    logs: Path
    found: str = ""

    def __str__(self) -> str:
        return f"{self.address}{self.found}, logs in {self.logs}"


@contextlib.contextmanager
def connect(address: str | None = None, *, num_cpus: int | None = None) -> Iterator[Cluster]:
    """Connects to ``address``, else ``RAY_ADDRESS``, else a cluster that ``ray start`` or ``ray up`` runs on
    this machine, else starts a local one, which ends with the context.

    A connection that already exists in this process is used as it is, and left open.

    Args:
        address: ``host:port``, or ``local`` to start one in any case.
        num_cpus: of a cluster started here; None takes this machine's.

    Raises:
        ClusterError: if the named cluster cannot be reached, or none can be started; says why.
    """
    here = None if address or os.environ.get("RAY_ADDRESS") else _running_here()
    target = address or os.environ.get("RAY_ADDRESS") or here or "local"
    if target.startswith("ray://"):
        raise ClusterError(
            f"{target}: a Ray Client connection cannot run a study; run the script on the cluster's head "
            "(ray exec), or submit it there (ray job submit)"
        )
    if ray.is_initialized():
        yield _describe("connected already")
        return
    if target != "local":
        _check_listening(target)
    os.environ.update({name: os.environ.get(name, value) for name, value in _ENVIRONMENT.items()})
    _authenticate(joining=target != "local")
    quiet()
    own: dict[str, Any] = {"include_dashboard": False, "num_cpus": num_cpus}
    # A cluster that runs already has its own environment, which our processes on it must not depend on.
    ours = {name: os.environ[name] for name in _ENVIRONMENT} | {weights.VARIABLE: str(weights.folder())}
    there = {"runtime_env": {"env_vars": ours}}
    try:
        ray.init(
            address=target,
            logging_level=logging.ERROR,
            log_to_driver=False,
            configure_logging=False,
            **(own if target == "local" else there),
        )
    except Exception as error:  # Ray raises bare ones too, when a busy machine is slow to start it
        what = "no local Ray could be started" if target == "local" else f"no Ray cluster answers at {target}"
        raise ClusterError(f"{what}: {(str(error).splitlines() or [type(error).__name__])[0]}") from error
    try:
        found = _describe(target, BOOTSTRAP if target != "local" else None)
        if here:
            found = dataclasses.replace(
                found, found=" (it runs on this machine; --address local starts one of its own)"
            )
        yield found
    finally:
        ray.shutdown()


def check_shared(folders: Sequence[Path]) -> None:
    """Makes sure that every node sees these folders of this machine.

    Raises:
        ClusterError: naming the folder and the node.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if len(nodes) < 2:
        return
    notes = [folder / f".seen-{secrets.token_hex(8)}" for folder in folders]
    try:
        for note in notes:
            note.parent.mkdir(parents=True, exist_ok=True)
            note.touch()
        missing = ray.remote(_missing)
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            for unseen in ray.get(missing.options(num_cpus=0, scheduling_strategy=there).remote(notes)):
                raise ClusterError(
                    f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']}) does not see "
                    f"{unseen.parent}: results and clip cache (ACTREC_CACHE) must lie on storage that every "
                    "node sees"
                )
    finally:
        for note in notes:
            note.unlink(missing_ok=True)


def check_node() -> None:
    """Makes sure that this driver's own node of the cluster is there. Without it nothing can be started, on
    whatever other nodes, and Ray says so in no other way: it waits.

    Raises:
        ClusterError: if it is lost.
    """
    own = ray.get_runtime_context().get_node_id()
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["NodeID"] == own and not node["Alive"]:
            raise ClusterError(
                f"the Ray node that this driver is on ({node['NodeManagerAddress']}) is lost: its raylet "
                "ended; the same command goes on, on a cluster that is sound"
            )


def _missing(paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if not path.exists()]


def quiet() -> None:
    """Leaves Ray's chatter to its log files: users see our progress instead."""
    for name in ("ray", "ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a trial's error is a row of ours, no traceback


def _describe(address: str, config: Path | None = None) -> Cluster:
    nodes = tuple(
        dict(node["Resources"])
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    )
    session = ray._private.worker._global_node
    logs = Path(session.get_logs_dir_path()) if session else Path("/tmp/ray/session_latest/logs")
    coming = to_come(nodes, config) if config else ()
    return Cluster(address, nodes + coming, len(nodes), logs)


def to_come(nodes: Sequence[Mapping[str, float]], config: Path) -> tuple[dict[str, float], ...]:
    """The nodes that the autoscaler may still start, by the configuration that ``ray up`` leaves on the head.

    A cluster whose GPU nodes scale from zero has none when a study is planned; trials that ask for them bring
    them up. Away from the head there is no such file, and only what is up counts.
    """
    if not config.is_file():
        return ()
    found = yaml.safe_load(config.read_text(encoding="utf-8"))
    head = found.get("head_node_type")
    types = {name: kind for name, kind in found.get("available_node_types", {}).items() if name != head}
    free = int(found.get("max_workers", 0)) - (len(nodes) - 1)
    coming = []
    for kind in types.values():
        shape = {name: float(amount) for name, amount in kind.get("resources", {}).items()}
        alike = sum(all(node.get(name) == shape.get(name) for name in ("CPU", "GPU")) for node in nodes)
        coming += [shape] * max(0, int(kind.get("max_workers", free)) - alike)
    return tuple(coming[: max(0, free)])


def _running_here() -> str | None:
    """The address of the cluster that ``ray start`` left in Ray's own note, if it still answers."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        address = ray._private.utils.read_ray_address(None)
        host, _, port = (address or "").rpartition(":")
        if host:
            with socket.create_connection((host, int(port)), timeout=2):
                return str(address)
    return None


def _check_listening(address: str) -> None:
    """Ray itself would try for minutes, aloud."""
    host, _, port = address.rpartition(":")
    if address == "auto" or not host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ClusterError(f"no Ray cluster answers at {address}: {error}") from error


def _authenticate(*, joining: bool) -> None:
    """Decides Ray's authentication, where the user has not.

    A local cluster has it on, with a token that lives in this process and its children only; for a cluster
    that is joined, it is on if a token is at hand.

    Left to itself Ray would write a token into the user's home on the first local start, and clusters
    started later would refuse clients that do not know it.
    """
    if "RAY_AUTH_MODE" not in os.environ:
        home = Path.home() / ".ray" / "auth_token"
        at_hand = any(os.environ.get(name) for name in _TOKEN_VARIABLES) or home.is_file()
        if not at_hand and not joining:
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
            at_hand = True
        os.environ["RAY_AUTH_MODE"] = "token" if at_hand else "disabled"
    # Ray reads the mode when it is imported, and has no public way to read it again.
    ray._raylet.Config.initialize("")  # type: ignore[attr-defined]

"""What a report must know of a run beside its tables: ``study.json``."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from actrec.data import duplicates
from actrec.data.manifest import Manifest
from actrec.engine.cache import Filled
from actrec.results.schema import SCHEMA_VERSION
from actrec.study.factors import Study
from actrec.study.race import chance_of_any
from actrec.study.rounds import Round

PLANNED = ("trial_id", "arm", "factor", "level", "seed", "fold", "stage", "number")
PACKAGES = ("actrec", "ray", "torch", "torchvision", "optuna", "decord", "av", "numpy", "pyarrow", "plotly")


def plan_record(study: Study, now: Round, data: Mapping[str, Any]) -> dict[str, Any]:
    """The study as it is now, on the ``data`` of :func:`data_record`."""
    return {
        "schema": SCHEMA_VERSION,
        "name": study.name,
        "study": study.to_dict(),
        "plan": [{name: getattr(trial, name) for name in PLANNED} for trial in now.trials],
        "search": None if now.search is None else dataclasses.asdict(now.search),
        "path": list(now.path),
        "looks": now.looks,
        "judged_at": [{"seeds": size, "looks": looks} for size, looks in now.judged_at.items()],
        "chance_of_any": chance_of_any(now.judged_at),
        "manifest": dict(data),
    }


def data_record(study: Study, manifest: Manifest) -> dict[str, Any]:
    """The study's data."""
    counts = manifest.counts()
    path = study.base.data.manifest
    return {
        "path": path,
        "digest": manifest.digest,
        "layout": manifest.layout,
        "class_names": list(manifest.class_names),
        "counts": {split: dict(classes) for split, classes in counts.videos.items()},
        "undecodable": [
            {"video_id": video.video_id, "path": video.path, "reason": video.reason}
            for video in counts.undecodable
        ],
        "straddling_groups": 0 if study.cv else len(counts.straddling),  # folds keep groups whole
        "near_duplicates": _near_duplicates(study, path, manifest.digest),
        "split_source": f"cross-validation ({study.cv})"
        if study.cv
        else ("builtin" if path == "builtin" else manifest.split_source),
    }


def _near_duplicates(study: Study, path: str, digest: str) -> int | None:
    """Pairs on two sides of a split, or in two groups, which folds may part; None if nobody has looked."""
    pairs = duplicates.noted(path, digest)
    if pairs is None:
        return None
    return sum(len(set(pair.groups if study.cv else pair.splits)) > 1 for pair in pairs)


def run_record() -> dict[str, Any]:
    """What runs, from when on."""
    return {
        "command": _command(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | _versions(),
        "git": _git(),
    }


def _command() -> str:
    return shlex.join([Path(sys.executable).name, *sys.argv])


def launch_record(started: str, seconds: float, digest: str, filled: Filled, threads: int) -> dict[str, Any]:
    """One launch, on the manifest of that digest: the threads of its workers, and what it decoded."""
    return {
        "started": started,
        "command": _command(),
        "seconds": seconds,
        "manifest": digest,
        "threads": threads,
        "videos": filled.videos // max(1, filled.clip_keys),
        "clip_keys": filled.clip_keys,
        "decoded": filled.decoded,
        "reused": filled.reused,
        "undecodable": [
            {"video_id": video_id, "path": path, "reason": why} for video_id, path, why in filled.undecodable
        ],
    }


def joined_record(
    earlier: Mapping[str, Any],
    plan_part: Mapping[str, Any],
    run_part: Mapping[str, Any],
    launch: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """``study.json``: the plan as it is now, and what all launches on its data came to.

    Args:
        earlier: what the file held before this launch; one folder may hold trials on several data sets.
        plan_part: of :func:`plan_record`.
        run_part: of :func:`run_record`; empty if nothing runs.
        launch: this one; None if nothing runs.
    """
    manifest = dict(plan_part["manifest"])
    launches = [*earlier.get("launches", []), *([launch] if launch else [])]
    ours = [entry for entry in launches if entry["manifest"] == manifest["digest"]]
    found = {video["video_id"]: video for entry in ours for video in entry["undecodable"]}
    known = {video["video_id"]: video for video in manifest["undecodable"]}
    manifest["undecodable"] = list((found | known).values())
    record = {**earlier, **plan_part, **run_part, "manifest": manifest, "launches": launches}
    counts = ("videos", "clip_keys", "decoded", "reused")
    last = {name: ours[-1][name] for name in counts} if ours else dict.fromkeys(counts, 0)
    record["decodes"] = last | {"decoded": sum(entry["decoded"] for entry in ours)}
    record["wall_seconds"] = sum(entry["seconds"] for entry in ours)
    return record


def hardware(nodes: Sequence[dict[str, float]], allocation: str) -> dict[str, Any]:
    """The cluster, and this machine's processor and GPU."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none here"
    return {
        "nodes": len(nodes),
        "cpus": sum(node.get("CPU", 0) for node in nodes),
        "gpus": sum(node.get("GPU", 0) for node in nodes),
        "gpu": gpu,
        "processor": _processor(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "trials": allocation,
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _git() -> dict[str, Any]:
    """The revision of the code that runs, where it runs from a checkout."""

    def ask(*words: str) -> str | None:
        try:
            here = Path(__file__).parent
            done = subprocess.run(
                ["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    revision, changes = ask("rev-parse", "HEAD"), ask("status", "--porcelain", "--untracked-files=no")
    return {} if revision is None else {"revision": revision, "dirty": bool(changes)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()

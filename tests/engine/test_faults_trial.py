"""What befalls one trial on one worker, without Ray: real deaths, and disks and memory that are full."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from actrec.data.manifest import Manifest
from actrec.engine import faults
from actrec.spec import ClipSpec, OptimSpec, override
from actrec.study.factors import Study
from tests.engine.disk import Disk
from tests.engine.one_trial import clip_set

pytestmark = pytest.mark.faults
SCRIPT = Path(__file__).with_name("one_trial.py")
ROOM_MB = 450  # between what batches of 16 and of 32 large clips take
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def prepared(small_study: Callable[..., Study], manifest: Manifest, root: Path, **changes: Any) -> Run:
    """Starts processes that train one trial: ``run(folder, **options of one_trial.main)``."""
    spec = small_study(**changes).base
    clips = clip_set(manifest, spec, root)

    def run(
        folder: Path, environment: dict[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        given = {"spec": override(spec, options.pop("changes", {})).to_dict(), "clips": str(clips.folder)}
        given |= {"folder": str(folder), "class_names": manifest.class_names, **options}
        command = [sys.executable, str(SCRIPT), json.dumps(given)]
        env = os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {})
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def run(
    small_study: Callable[..., Study], manifest: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A trial of five epochs."""
    return prepared(small_study, manifest, tmp_path_factory.mktemp("clips"), optim__epochs=5)


@pytest.fixture(scope="module")
def run_large(
    small_study: Callable[..., Study], manifest: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A trial whose batch of 32 takes some 600 MB."""
    clip = ClipSpec(sampling="uniform", num_frames=16, height=128, width=128)
    optim = OptimSpec(epochs=1, batch_size=32)
    return prepared(small_study, manifest, tmp_path_factory.mktemp("large"), clip=clip, optim=optim)


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def undisturbed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    found = told(run(tmp_path_factory.mktemp("undisturbed")))
    assert found["notes"] == []
    return str(found["essence"])


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
def test_a_torn_checkpoint_is_passed_over_for_the_one_before_it(
    run: Run, undisturbed: str, tmp_path: Path, name: str
) -> None:
    assert run(tmp_path, die_after=3).returncode == -signal.SIGKILL
    (folder,) = (tmp_path / "checkpoints").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-00002", "epoch-00003"]
    cut_in_half(folder / "epoch-00003" / name)
    found = told(run(tmp_path))
    (note,) = found["notes"]
    assert re.match(f"trial {folder.name}: checkpoint passed over: epoch-00003: .", note)
    assert found["essence"] == undisturbed


def test_a_full_disk_for_checkpoints_costs_no_trial_and_is_told(
    run: Run, undisturbed: str, small_disk: Callable[[Path, int], Disk], tmp_path: Path
) -> None:
    small_disk(tmp_path / "checkpoints", 16 * 1024)
    found = told(run(tmp_path))
    assert found["essence"] == undisturbed
    assert len(set(found["notes"])) == 1
    assert f"no checkpoint can be written to {tmp_path}/checkpoints: No space left" in found["notes"][0]


def test_a_trial_out_of_memory_fails_in_clear_words(run_large: Run, tmp_path: Path) -> None:
    found = told(run_large(tmp_path, {"MALLOC_ARENA_MAX": "1"}, headroom_mb=ROOM_MB))
    assert re.match("out of memory at batch size 32: .*--halve-batch", found["error"])


def test_a_batch_is_halved_by_leave_and_the_row_says_so(run_large: Run, tmp_path: Path) -> None:
    leave = {"halve_batch": True}
    found = told(run_large(tmp_path / "short", {"MALLOC_ARENA_MAX": "1"}, headroom_mb=ROOM_MB, station=leave))
    size = json.loads(found["essence"])[0]["batch_size"]
    assert size in (1, 2, 4, 8, 16)
    assert f"ran out of memory: its batch size is now {size}" in found["notes"][-1]
    # Begun anew, not gone on with: what it comes to is what the smaller batch comes to.
    smaller = told(run_large(tmp_path / "smaller", changes={"optim.batch_size": size}))
    assert found["essence"] == smaller["essence"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_out_of_memory_is_the_trials_fault_and_not_the_gpus() -> None:
    with pytest.raises(torch.OutOfMemoryError) as raised:
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
    assert faults.out_of_memory(raised.value)
    assert not faults.lost_device(raised.value)
    assert "1048576.00 GiB" in faults.told(raised.value, batch_size=8)


# Every look at the calendar clock finds it an hour further back.
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    static long looks;
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, now);
    if (id == CLOCK_REALTIME) now->tv_sec -= 3600 * ++looks;
    return code;
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler, to set the clock of one process")
def test_a_clock_that_is_set_back_changes_nothing(run: Run, undisturbed: str, tmp_path: Path) -> None:
    library = tmp_path / "clock.so"
    command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library), "-ldl"]
    subprocess.run(command, input=CLOCK, text=True, check=True)
    preloaded = {"LD_PRELOAD": str(library)}
    look = "import time; first = time.time(); print(time.time() < first)"
    seen = subprocess.check_output([sys.executable, "-c", look], env=os.environ | preloaded, text=True)
    assert seen.strip() == "True"
    found = told(run(tmp_path / "out", preloaded))
    assert found["essence"] == undisturbed
    assert 0 < found["seconds"] < 300


# With Python's lock held: no other thread of Python's can run.
HANG = """
import ctypes
from actrec.engine import watchdog
watchdog.GRACE_S = 0.5
with watchdog.watching(0.5):
    if {hangs}:
        ctypes.PyDLL(None).sleep(600)
ctypes.PyDLL(None).sleep(2)
"""


@pytest.mark.parametrize("hangs", [True, False])
def test_a_process_that_hangs_with_pythons_lock_ends_itself_and_says_where(hangs: bool) -> None:
    command = [sys.executable, "-c", HANG.format(hangs=hangs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == hangs
    assert ("Timeout (0:00:01)!" in done.stderr) == hangs
    assert ('File "<string>", line 7 in <module>' in done.stderr) == hangs

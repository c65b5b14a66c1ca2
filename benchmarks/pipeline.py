"""How fast clips reach a worker: decoding them once, then reading the clip cache, against the peers.

    python benchmarks/pipeline.py                  # about 4 minutes on 2 cores; --quick: 2

Videos of 320×240 in MPEG-4, made here; clips of 16×112×112, uint8. All figures are clips a second.

- ``fill``: decoding into the clip cache by the engine, in plain tasks of Ray; ``processes``: as many
  plain processes as cores that decode the same videos and keep nothing. By turns, in 3 rounds:
  ``fill_of_processes`` is the median ratio of a round, ``fills_of_processes`` has all.
- ``first_epoch`` and ``later_epochs``: shuffled batches of 32 from the cache to one worker, in memory.
- ``out_of_core``: the same after the system was told to forget the files' pages (``posix_fadvise``).
  ``out_of_core_from_disk`` is the share of the bytes that the process really fetched from the disk.
- ``dataloader``: a torch DataLoader with the same decoder in as many workers as cores, after its first batch.
- ``memory``: the limit: the same batches, copied from an array in memory.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import statistics
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from actrec.data.clipset import ClipSet
from actrec.data.manifest import Manifest
from actrec.data.video_clips import UInt8, Video, decode_video
from actrec.engine.cache import ClipKey, clip_keys, fill
from actrec.engine.cluster import connect
from actrec.seeding import numpy_rng
from actrec.spec import ClipSpec, TrialSpec
from actrec.training.batch import Batch
from actrec.training.feed import CachedFeed
from benchmarks.common import CORES, emit, parser, scratch
from benchmarks.peers import Videos, loader

WIDTH, HEIGHT, FRAMES, FPS = 320, 240, 40, 25
DISTINCT = 24  # videos that are encoded; the others are links to them under other names
ROUNDS = 3
WARM_UP = 8 * CORES  # videos that start the workers, before anything is timed
CLIP = ClipSpec(sampling="uniform", num_frames=16, height=112, width=112)
BATCH = 32


def make_videos(folder: Path, count: int) -> Manifest:
    """A manifest of ``count`` videos, all for training but a tenth each for validation and test."""
    folder.mkdir()
    rng = numpy_rng(0, "pipeline")
    rows = []
    for number in range(count):
        path = folder / f"{number:05}.mp4"
        if number < DISTINCT:
            encode(path, rng)
        else:
            os.link(folder / f"{number % DISTINCT:05}.mp4", path)
        split = {0: "val", 1: "test"}.get(number % 10, "train")
        rows.append({"video_id": path.stem, "path": path.name, "group": path.stem, "split": split})
    each: dict[str, Any] = {
        "label": 0,
        "class_name": "noise",
        "num_frames": FRAMES,
        "fps": float(FPS),
        "width": WIDTH,
        "height": HEIGHT,
        "seconds": FRAMES / FPS,
        "status": "ok",
        "reason": "",
    }
    columns = {name: [{**each, **row}[name] for row in rows] for name in {**rows[0], **each}}
    return Manifest.from_columns(folder, columns, layout="pipeline", cut=("val", "test"))


def encode(path: Path, rng: np.random.Generator) -> None:
    """A still picture of soft noise, which moves: as costly to decode as a natural one."""
    small = rng.integers(0, 256, (HEIGHT // 8 + 8, WIDTH // 8 + 8, 3), np.uint8)
    picture = np.kron(small, np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS, options={"qscale": "3"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for shift in range(FRAMES):
            frame = np.ascontiguousarray(picture[shift : shift + HEIGHT, shift : shift + WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def rate(clips: Iterable[int]) -> float:
    """Clips a second, from the numbers of clips as they come."""
    start = time.perf_counter()
    return sum(clips) / (time.perf_counter() - start)


def sizes(batches: Iterable[Batch]) -> Iterator[int]:
    """The number of clips of each batch."""
    return (len(batch) for batch in batches)


def key_of(manifest: Manifest, cache: Path, clip: ClipSpec = CLIP) -> ClipKey:
    """Where the clips of a manifest lie in a cache."""
    return clip_keys(manifest, [TrialSpec(clip=clip)], cache)[0]


def filling(manifest: Manifest, folder: Path) -> tuple[list[float], list[float], ClipKey]:
    """Clips a second of each round, into a cache of its own and of plain processes; the key of the last
    cache, which stays. Other clips warm the workers first."""
    # Else Ray's workers yield to whatever runs beside them, which plain processes do not.
    os.environ.setdefault("RAY_worker_niceness", "0")
    fills, plain, keys = [], [], [key_of(manifest, folder / str(number)) for number in range(ROUNDS)]
    with connect("local", num_cpus=CORES):
        fill([key_of(manifest, folder / "warm-up", ClipSpec(sampling="middle", height=16, width=16))])
        for key in keys:
            fills.append(rate(fill([each]).decoded for each in [key]))
            plain.append(processes(list(key.videos)))
            if key is not keys[-1]:
                shutil.rmtree(key.folder)
    return fills, plain, keys[-1]


def decode_some(videos: list[Video]) -> int:
    """Decodes and forgets them."""
    return sum(len(decode_video(video, CLIP)) for video in videos)


def processes(videos: list[Video]) -> float:
    """Clips a second of plain processes of one thread, which have all begun before they are timed."""
    parts = [videos[first : first + 8] for first in range(0, len(videos), 8)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(CORES, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        pool.map(decode_some, [videos[:1]] * WARM_UP, chunksize=1)
        return rate(pool.imap_unordered(decode_some, parts))


def read_one(video: Video, clip: ClipSpec) -> UInt8:
    """The same decoder for the DataLoader."""
    clips = decode_video(video, clip)
    return clips.reshape(clips.shape[1:])


def dataloader(videos: list[Video]) -> float:
    """Clips a second of one epoch, from its second batch on: the start of its workers is left out."""
    batches = iter(loader(Videos(videos, CLIP, read_one), BATCH, CORES, shuffle=0))
    next(batches)
    return rate(len(labels) for _, labels, _ in batches)


def forget(folder: Path) -> None:
    """Asks the system to drop the pages of a clip set."""
    for path in folder.glob("*.npy"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def fetched() -> int:
    """Bytes that this process has had fetched from disks up to now."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["read_bytes"])


def out_of_core(folder: Path) -> tuple[float, float]:
    """Clips a second from a set whose pages are forgotten, and the share of its bytes that the disk gave."""
    forget(folder)
    clips = ClipSet.open(folder)  # opened anew: pages that are mapped are not forgotten
    before = fetched()
    found = rate(sizes(CachedFeed(clips).train(0, 0, BATCH)))
    size = len(clips.videos("train")) * clips.gather(np.zeros(1, np.int64)).nbytes
    return found, (fetched() - before) / size


def memory(clips: ClipSet) -> float:
    """Clips a second, gathered in random order from an array in memory."""
    rows = len(clips.videos("train"))
    pixels = clips.gather(np.arange(rows))
    order = numpy_rng(0, "memory").permutation(rows)
    parts = [order[first : first + BATCH] for first in range(0, rows, BATCH)]
    return max(rate(len(pixels[part]) for part in parts) for _ in range(3))


def measure(folder: Path, count: int) -> dict[str, Any]:
    """All figures."""
    manifest = make_videos(folder / "videos", count)
    fills, plain, key = filling(manifest, folder / "caches")
    clips = ClipSet.open(key.folder)
    first, *later = (rate(sizes(CachedFeed(clips).train(0, epoch, BATCH))) for epoch in range(4))
    remembered = memory(clips)
    del clips
    cold, share = out_of_core(key.folder)
    ratios = [filled / alone for filled, alone in zip(fills, plain, strict=True)]
    return {
        "videos": count,
        "set_mb": sum(path.stat().st_size for path in key.folder.glob("*.npy")) / 1e6,
        "fill": statistics.median(fills),
        "processes": statistics.median(plain),
        "fill_of_processes": statistics.median(ratios),
        "fills_of_processes": ratios,
        "first_epoch": first,
        "later_epochs": sum(later) / len(later),
        "out_of_core": cold,
        "out_of_core_from_disk": share,
        "dataloader": dataloader(list(key.videos)),
        "memory": remembered,
    }


def main() -> None:
    options = parser(__doc__).parse_args()
    with scratch() as folder:
        emit(measure(folder, 640 if options.quick else 1600))


if __name__ == "__main__":
    main()

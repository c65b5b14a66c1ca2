"""How near a trial on a GPU comes to a loop over tensors that are on it already; what packing trials gives.

    python benchmarks/gpu.py                       # about 3 minutes on one GPU
    python benchmarks/gpu.py --device cpu --tiny   # the same code anywhere; its figures say nothing

R3D-18, clips of 16×112×112, bf16, batches of 32; training steps alone, after a first epoch that is not
counted. Without CUDA it prints why it was skipped.

Prints one JSON object: ``clips_per_s`` of a trial fed from the clip cache, ``device_loop_clips_per_s`` of a
plain loop over a tensor on the device, ``of_device_loop`` their ratio, ``busy`` the share of the trial's time
in which kernels ran. Of trials of a small model: ``alone_clips_per_s`` of one, ``packed_clips_per_s`` of four
that share the GPU, all together, ``packing`` their ratio.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from actrec.data import clipset
from actrec.data.clipset import ClipSet
from actrec.data.video_clips import UInt8, Video
from actrec.engine.trainable import AHEAD
from actrec.models.zoo import build, resolve
from actrec.seeding import numpy_rng, torch_rng
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.training.feed import CachedFeed, task_of
from actrec.training.trial import TrialRun
from benchmarks.common import emit, parser, scratch

CLASSES = tuple(f"class {number}" for number in range(10))
PACK = 4


@dataclass(frozen=True)
class Size:
    """How much is done: a large trial and a small one, the clips of both, epochs that are timed."""

    large: TrialSpec
    small: TrialSpec
    clips: int
    epochs: int


FULL = Size(
    TrialSpec(
        clip=ClipSpec(num_frames=16, height=112, width=112),
        model=ModelSpec(name="r3d_18"),
        optim=OptimSpec(epochs=100, batch_size=32),
    ),
    TrialSpec(
        clip=ClipSpec(num_frames=8, height=32, width=32),
        model=ModelSpec(name="frame_transformer", motion=True),
        optim=OptimSpec(epochs=100, batch_size=32),
    ),
    clips=2048,
    epochs=3,
)
_TINY = dataclasses.replace(FULL.small, clip=ClipSpec(num_frames=4, height=16, width=16))
TINY = Size(_TINY, _TINY, clips=64, epochs=1)


def make_clips(folder: Path, count: int, clip: ClipSpec) -> ClipSet:
    """A clip set of noise, which no video was decoded for; every sixteenth clip is for validation."""
    videos = [
        Video(
            video_id=f"{number:05}",
            path="",
            label=number % len(CLASSES),
            group="",
            split="val" if number % 16 == 0 else "train",
            num_frames=clip.num_frames,
            fps=25.0,
            size=0,
        )
        for number in range(count)
    ]
    shards = clipset.cut_into_shards(videos, clip)

    def noise(video: Video, clip: ClipSpec) -> UInt8:
        rng = numpy_rng(int(video.video_id), "noise")
        return rng.integers(0, 256, (1, clip.num_frames, clip.height, clip.width, 3), np.uint8)

    clipset.begin(folder, clip, {})
    for number, shard in enumerate(shards):
        clipset.write_shard(folder, number, shard, clip, noise)
    clipset.finish(folder, shards)
    return ClipSet.open(folder)


class Trial:
    """A trial on one device, fed from the clip cache as a worker is."""

    def __init__(self, spec: TrialSpec, clips: ClipSet, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self.run = TrialRun(spec, task_of(clips, CLASSES), device=device)
        self.feed = CachedFeed(clips, ahead=AHEAD if on_gpu else 0, pinned=on_gpu)

    def epoch(self) -> float:
        """Clips a second of the training steps of one more epoch."""
        size = self.run.spec.optim.batch_size
        batches = self.feed.train(0, self.run.epoch, size)
        stats = self.run.train_epoch(batches, steps=self.feed.steps(self.run.epoch, size))
        self.run.finish_epoch(self.run.evaluate(self.feed.evaluate("val", size)))
        return stats.clips / stats.seconds


def device_loop(spec: TrialSpec, clips: ClipSet, device: torch.device, epochs: int) -> float:
    """Clips a second of the loop that people write, with all clips on the device."""
    rows = clips.videos("train")
    pixels = torch.from_numpy(clips.gather(clips.first[rows])).to(device)
    labels = torch.from_numpy(clips.labels[rows]).to(device)
    frames = spec.clip.num_frames
    model = build(resolve(spec.model), num_classes=len(CLASSES), num_frames=frames).to(device).train()
    if device.type == "cuda":
        model = model.to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    mean, std = (torch.full((3,), value, device=device) for value in (0.45, 0.225))
    size, loss = spec.optim.batch_size, torch.zeros((), device=device)

    def one_epoch(number: int) -> None:
        nonlocal loss
        order = torch.randperm(len(rows), generator=torch_rng(0, "order", number)).to(device)
        for part in torch.split(order, size):
            inputs = ((pixels[part].float() / 255 - mean) / std).permute(0, 4, 1, 2, 3)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                logits = model(inputs)
            loss = torch.nn.functional.cross_entropy(logits.float(), labels[part])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    one_epoch(0)
    loss.item()
    start = time.perf_counter()
    for number in range(epochs):
        one_epoch(1 + number)
    loss.item()  # waits for the device
    return epochs * len(rows) / (time.perf_counter() - start)


def busy(trial: Trial) -> float:
    """The share of one epoch's time in which the device computed."""
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        rate = trial.epoch()
    clips = trial.run.history[-1].train.clips
    kernels = sum(float(event.self_device_time_total) for event in found.key_averages()) / 1e6
    return kernels / (clips / rate)


def packed(spec: TrialSpec, folder: Path, device: str, count: int, epochs: int) -> float:
    """Clips a second of ``count`` trials at once, a process each, all together."""
    context = multiprocessing.get_context("spawn")
    found: Queue[float] = context.Queue()
    ready = context.Barrier(count)
    crew = [
        context.Process(target=_packed_process, args=(spec, folder, device, epochs, ready, found))
        for _ in range(count)
    ]
    for process in crew:
        process.start()
    total = sum(found.get() for _ in crew)
    for process in crew:
        process.join()
    return total


def _packed_process(
    spec: TrialSpec, folder: Path, device: str, epochs: int, ready: Barrier, found: Queue[float]
) -> None:
    torch.set_num_threads(1)
    trial = Trial(spec, ClipSet.open(folder), torch.device(device))
    trial.epoch()
    ready.wait()
    rates = [trial.epoch() for _ in range(epochs)]
    ready.wait()  # nobody goes while another still computes
    found.put(sum(rates) / len(rates))


def measure(folder: Path, size: Size, device: torch.device) -> Iterator[tuple[str, Any]]:
    """(key, figure) one after another."""
    clips = make_clips(folder / "large", size.clips, size.large.clip)
    trial = Trial(size.large, clips, device)
    trial.epoch()
    rates = [trial.epoch() for _ in range(size.epochs)]
    ours, loop = sum(rates) / len(rates), device_loop(size.large, clips, device, size.epochs)
    yield from {"clips_per_s": ours, "device_loop_clips_per_s": loop, "of_device_loop": ours / loop}.items()
    if device.type == "cuda":
        yield "busy", busy(trial)
    del trial
    make_clips(folder / "small", size.clips, size.small.clip)
    alone, together = (
        packed(size.small, folder / "small", device.type, count, 2 * size.epochs) for count in (1, PACK)
    )
    yield from {
        "alone_clips_per_s": alone,
        "packed_clips_per_s": together,
        "packing": together / alone,
    }.items()


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    arguments.add_argument("--tiny", action="store_true", help="a small model on a few small clips")
    options = arguments.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        emit({"skipped": "no CUDA device here"})
        return
    size = TINY if options.tiny else dataclasses.replace(FULL, epochs=1) if options.quick else FULL
    with scratch() as folder:
        emit(dict(measure(folder, size, torch.device(options.device))))


if __name__ == "__main__":
    main()

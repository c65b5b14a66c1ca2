"""What the report shows of single videos: ``videos.parquet``, and small pictures in ``frames/``.

::

    <study>/videos.parquet        one row a video of the manifest
            frames/index.json     which picture is of which video; written last
            frames/<hash>.jpg     the first, middle and last third of a clip, side by side

No result depends on them: what cannot be read or written is a note, never the end of a study.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from actrec.data.clipset import ClipSet, is_complete
from actrec.data.manifest import Manifest
from actrec.data.video_clips import UInt8
from actrec.errors import ActrecError
from actrec.files import reason
from actrec.results import parquet
from actrec.results.files import write_json
from actrec.results.schema import TABLES, table

SIDE = 80  # pixels of a frame's longer side
FRAMES = 3
MOST_TESTED = 2000  # pictures of test videos
EXAMPLES = 6  # of each class of the training videos


def write(
    folder: Path, manifest: Manifest, clips: Path, *, say: Callable[[str], object], all_tested: bool = False
) -> None:
    """Writes the table of videos, and the pictures that are missing.

    Args:
        folder: the study's.
        clips: a clip set; where it is not complete nothing is drawn.
        say: takes a note of what went wrong.
        all_tested: every video is a test video in turn, as in a cross-validation.
    """
    try:
        rows = manifest.table.select(TABLES["videos"].names)
        parquet.replace(folder / "videos.parquet", table("videos", rows))
        if is_complete(clips):
            _draw(folder / "frames", ClipSet.open(clips), manifest.class_names, all_tested)
    except (ActrecError, OSError) as error:
        say(f"note: the report lacks pictures of the videos: {reason(error)}")


def drawn(folder: Path, clips: Path) -> bool:
    """Whether a study has all its pictures, which were drawn of this clip set or a sample of it."""
    frames = folder / "frames"
    entries = _entries(frames, _about(clips))
    return bool(entries) and all((frames / entry["file"]).exists() for entry in entries.values())


def _draw(frames: Path, clips: ClipSet, class_names: Sequence[str], all_tested: bool) -> None:
    decoded = np.flatnonzero(clips.count > 0).tolist()
    videos = [(clips.video_ids[place], int(clips.labels[place]), clips.splits[place]) for place in decoded]
    about = _about(clips.folder)
    earlier = _entries(frames, about)
    entries: dict[str, dict[str, str]] = {}
    for position in sorted(decoded[place] for place in chosen(videos, all_tested=all_tested)):
        video = clips.video_ids[position]
        # The clip set is in the name: other pixels of a video are another file.
        name = hashlib.sha256(json.dumps([about, video]).encode()).hexdigest()[:16] + ".jpg"
        entries[video] = {
            "file": name,
            "class": class_names[clips.labels[position]],
            "split": clips.splits[position],
        }
        if entries[video] != earlier.get(video) or not (frames / name).exists():
            frames.mkdir(exist_ok=True)
            middle = clips.first[position] + clips.count[position] // 2
            (frames / name).write_bytes(picture(clips.gather(np.array([middle]))[0]))
    if entries == earlier:
        return
    write_json(frames / "index.json", about | {"frames": entries})
    kept = {entry["file"] for entry in entries.values()}
    for path in frames.glob("*.jpg"):
        if path.name not in kept:
            path.unlink(missing_ok=True)


def _about(clips: Path) -> dict[str, Any]:
    """What pictures are of. A sample's folder has the name of its clip set."""
    return {"clips": clips.name, "side": SIDE}


def _entries(frames: Path, about: dict[str, Any]) -> dict[str, Any]:
    """What an earlier launch drew of these clips."""
    try:
        found = json.loads((frames / "index.json").read_text(encoding="utf-8"))
        return dict(found["frames"]) if about.items() <= found.items() else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def chosen(videos: Sequence[tuple[str, int, str]], *, all_tested: bool = False) -> list[int]:
    """The places of the videos to draw, of (video id, label, split): test videos, and a few examples of each
    class.

    Where there are too many it is those whose ids hash lowest, so that no class comes last; in that order.
    """

    def rank(place: int) -> str:
        return hashlib.sha256(videos[place][0].encode()).hexdigest()

    ranked = sorted(range(len(videos)), key=rank)
    tested = [place for place in ranked if all_tested or videos[place][2] == "test"][:MOST_TESTED]
    taken: Counter[int] = Counter()
    examples = []
    for place in ranked:
        _, label, split = videos[place]
        if not all_tested and split == "train" and taken[label] < EXAMPLES:
            taken[label] += 1
            examples.append(place)
    return sorted([*tested, *examples], key=rank)


def picture(clip: UInt8) -> bytes:
    """A clip uint8 (T, H, W, 3) as a JPEG of three of its frames side by side; of one where T is 1."""
    count = min(FRAMES, len(clip))
    frames = []
    for index in range(count):
        frame = Image.fromarray(clip[len(clip) * (2 * index + 1) // (2 * count)])
        frame.thumbnail((SIDE, SIDE))
        frames.append(frame)
    width, height = frames[0].size
    strip = Image.new("RGB", (count * width, height))
    for index, frame in enumerate(frames):
        strip.paste(frame, (index * width, 0))
    encoded = BytesIO()
    strip.save(encoded, "JPEG", quality=82)
    return encoded.getvalue()

"""What a study of :mod:`tests.report.example` shows of single videos: their table, pictures, embeddings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from actrec.results.schema import table
from actrec.seeding import numpy_rng
from tests.report.example import ARMS, CLASSES, LABELS, SEEDS, trial_key

DIMENSIONS = 8


def write_exhibits(folder: Path, class_names: Sequence[str] = CLASSES) -> Path:
    """Adds to a study in ``folder``: two training videos a class, all test videos; half of the groups of the
    test videos are trained on."""
    rng = numpy_rng(0, "exhibits")
    trained = [
        (f"t{k}-{i}", k, f"g{2 * k + 20 * i:02d}", "train") for k in range(len(CLASSES)) for i in (0, 1)
    ]
    tested = [(f"v{i:03d}", int(label), f"g{i // 4:02d}", "test") for i, label in enumerate(LABELS)]
    rows, frames = [], {}
    (folder / "frames").mkdir(parents=True)
    for video, label, group, split in trained + tested:
        seconds = 2 + label / 3 + rng.random()
        rows.append(
            {
                "video_id": video,
                "class_name": class_names[label],
                "group": group,
                "block": "",
                "split": split,
                "status": "ok",
                "num_frames": round((25 + 5 * (label % 2)) * seconds),
                "fps": 25.0 + 5 * (label % 2),
                "width": 320,
                "height": 240,
                "seconds": seconds,
            }
        )
        name = hashlib.sha256(video.encode()).hexdigest()[:16] + ".jpg"
        pixels = np.full((30, 120, 3), [25 * label, 200 - 15 * label, 120], np.uint8)
        Image.fromarray(pixels).save(folder / "frames" / name)
        frames[video] = {"file": name, "class": class_names[label], "split": split}
    pq.write_table(table("videos", rows), folder / "videos.parquet")
    (folder / "frames" / "index.json").write_text(json.dumps({"frames": frames}), encoding="utf-8")
    (folder / "embeddings").mkdir()
    centres = rng.normal(size=(len(CLASSES), DIMENSIONS))
    for arm in ARMS:
        key = trial_key(arm[0], SEEDS[0])
        vectors = centres[LABELS] + 0.4 * rng.normal(size=(len(LABELS), DIMENSIONS))
        embedded = [
            {"trial_id": key, "video_id": f"v{i:03d}", "vector": vector} for i, vector in enumerate(vectors)
        ]
        pq.write_table(table("embeddings", embedded), folder / "embeddings" / f"{key}.parquet")
    return folder

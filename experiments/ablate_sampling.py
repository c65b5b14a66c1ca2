"""Which frames does a model need? Ways of sampling a clip, against frames spread evenly, over five seeds.

    python experiments/ablate_sampling.py
    python experiments/ablate_sampling.py --data M.parquet            # your own videos

Cost: 6 arms × 5 seeds = 30 trials of 15 epochs on 220 training videos, clips of 8×32×32; about 75 seconds on
2 cores without a GPU. Each way of sampling is a clip key of its own: 400 videos × 5 keys = 2,000 decodes the
first time, and none the next.

Expect, on the built-in videos (test top-1, mean of 5 seeds; chance is 0.10):

    baseline: 8 frames over the whole video   0.92
    one middle frame                          0.10   hurts: the class is the motion
    one random clip of 8 frames in a row      0.74   hurts: it sees a part of the motion
    8 frames of the centred second            0.88   inconclusive
    two clips of 8 frames, averaged           0.93   inconclusive
    placebo                                   the baseline's; what it moves is noise
"""

from __future__ import annotations

import sys

from actrec.launch import main
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.factors import Factor, Study


def study() -> Study:
    """The study: frame sampling, each way with clips of its own in the cache."""
    return Study(
        name="ablate_sampling",
        base=TrialSpec(
            clip=ClipSpec(
                num_frames=8,
                height=32,
                width=32,
                draws=4,  # of the random clip
                clips=2,  # of the uniform ones
                seconds=1.0,  # of the centred one
            ),
            model=ModelSpec(name="frame_transformer", motion=True),
            optim=OptimSpec(epochs=15, batch_size=32, lr=2e-3),
        ),
        factors=(
            Factor("clip.sampling", levels=("middle", "random", "clips", "centre"), baseline="uniform"),
        ),
        seeds=(0, 1, 2, 3, 4),
    )


if __name__ == "__main__":
    sys.exit(main(study, __doc__))

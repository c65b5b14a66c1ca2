"""How much of a network should be trained: everything, its last stage and its head, or its head alone?

    python experiments/ablate_freezing.py
    python experiments/ablate_freezing.py --data M.parquet            # your own videos

Cost: 4 arms × 5 seeds = 20 trials of 15 epochs on 220 training clips of 8×32×32; 1 to 3 minutes on 2 cores
without a GPU. Decodes 400 videos once, and none the next time. The frozen stages are too small to be worth
computing apart: each trial does it by itself.

Expect, on the built-in videos (test top-1, mean of 5 seeds; chance is 0.10):

    baseline: everything is trained   0.92
    last stage and head               0.10   hurts
    head alone                        0.10   hurts
    placebo                           the baseline's; what it moves is noise

The model starts from random weights, so there is nothing to keep: what is frozen is noise. With weights that
know something of videos it is another question, which ablate_freezing_i3d.py asks.
"""

from __future__ import annotations

import sys

from actrec.launch import main
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.factors import Factor, Study


def study() -> Study:
    """The study: how many stages of a small transformer over frames are trained, from random weights."""
    return Study(
        name="ablate_freezing",
        base=TrialSpec(
            clip=ClipSpec(sampling="uniform", num_frames=8, height=32, width=32),
            model=ModelSpec(name="frame_transformer", motion=True),
            optim=OptimSpec(epochs=15, batch_size=32, lr=2e-3),
        ),
        factors=(Factor("freeze", levels=("last_stage", "head_only"), baseline="none"),),
        seeds=(0, 1, 2, 3, 4),
    )


if __name__ == "__main__":
    sys.exit(main(study, __doc__))

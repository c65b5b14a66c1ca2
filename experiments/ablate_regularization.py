"""Which regularisers help? One factor at a time, against one baseline, over five seeds.

    python experiments/ablate_regularization.py
    python experiments/ablate_regularization.py --data M.parquet      # your own videos

Cost: 13 arms × 5 seeds = 65 trials of 15 epochs on 220 training clips of 8×32×32; under 2 minutes on 2 cores
without a GPU, 20 seconds of it until the first trial. Decodes 400 videos once, and none the next time.

Expect, on the built-in videos (test top-1, mean of 5 seeds; chance is 0.10):

    baseline                  0.92
    horizontal flip           0.75   hurts: it makes left right, and clockwise counter-clockwise
    no attention              0.84   inconclusive: -7.7 points [-13.6, -1.8] alone, not after the correction
    first convolution frozen  0.71   hurts
    backbone frozen           0.10   hurts: nothing was trained before, so there is nothing to keep
    everything else           0.88 to 0.94, inconclusive with five seeds: intervals are ± 3 to 6 points
    placebo                   the baseline's; what it moves is noise
"""

from __future__ import annotations

import sys

from actrec.launch import main
from actrec.spec import ClipSpec, FreezeSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.factors import Factor, Study


def study() -> Study:
    """The study: regularisers of a small transformer over frames."""
    return Study(
        name="ablate_regularization",
        base=TrialSpec(
            clip=ClipSpec(sampling="uniform", num_frames=8, height=32, width=32),
            model=ModelSpec(name="frame_transformer", motion=True),
            freeze=FreezeSpec(k=1),  # under "first_k": the first convolution
            optim=OptimSpec(epochs=15, batch_size=32, lr=2e-3),
        ),
        factors=(
            Factor("augment", levels=("hflip", "crop", "jitter"), baseline="none"),
            Factor("loss.class_weights", levels=("balanced", "sqrt"), baseline="none"),
            Factor("model.dropout", levels=(0.0, 0.5), baseline=0.1),
            Factor("model.attention_heads", levels=(0, 8), baseline=4),
            Factor("freeze.strategy", levels=("first_k", "backbone"), baseline="none"),
        ),
        seeds=(0, 1, 2, 3, 4),
    )


if __name__ == "__main__":
    sys.exit(main(study, __doc__))

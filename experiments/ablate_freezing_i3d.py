"""How much of a pretrained I3D should be trained: its head alone, its last stage too, or everything?

    python experiments/ablate_freezing_i3d.py --data M.parquet --weights-dir DIR

DIR holds i3d_rgb_kinetics400.safetensors; `actrec models i3d` says its sha256.

Cost: 4 arms × 3 seeds = 12 trials of 12 epochs. A clip takes 0.12 s of one core forward and 0.26 s forward
and backward. So on UT-Interaction (72 training, 24 validation and 24 test clips) a trial that trains
everything takes 5 to 9 minutes, one of the last stage 6 seconds and one of the head less than one, on the
features of the frozen stages: 10 to 17 minutes in all on 2 cores without a GPU. Clips of 224×224
(--set clip.height=224 --set clip.width=224) take 4.7 times as long.

Expect, on UT-Interaction (test top-1; chance is 0.17, and one video of 24 is 4 points):

    baseline: head alone   0.85
    last stage and head    0.82
    everything             0.86, at thousands of times the cost: inconclusive with so few videos
"""

from __future__ import annotations

import sys

from actrec.launch import main
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.factors import Factor, Study


def study() -> Study:
    """The study: how many stages of Inception-I3D are trained, from its Kinetics-400 weights."""
    return Study(
        name="ablate_freezing_i3d",
        base=TrialSpec(
            clip=ClipSpec(sampling="uniform", num_frames=16, height=112, width=112),
            model=ModelSpec(name="i3d", weights="kinetics400"),
            optim=OptimSpec(epochs=12, batch_size=8, lr=1e-3),
        ),
        factors=(Factor("freeze", levels=("last_stage", "none"), baseline="head_only"),),
        seeds=(0, 1, 2),
    )


if __name__ == "__main__":
    sys.exit(main(study, __doc__))

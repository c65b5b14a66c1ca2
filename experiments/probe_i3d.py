"""How far does a linear classifier on frozen I3D features go, and how many frames does it need?

    actrec data build --layout folder --root ut_interaction --group-regex '_(\\d+)_\\d+\\.avi$' \\
        --blocks blocks.csv --out ut.parquet
    python experiments/probe_i3d.py --data ut.parquet --weights-dir DIR --cv leave-one-group-out

DIR holds i3d_rgb_kinetics400.safetensors; `actrec models i3d` says its sha256. In UT-Interaction a sequence
is a group; the field leaves one out at a time, within each of the data set's two parts, which blocks.csv
names (columns: group, block).

Cost: 3 arms × 3 seeds × 20 folds = 180 trials on features that are computed once: 240 clips through I3D, 3
minutes on 2 cores without a GPU, and then 2 minutes for all trials.

Expect, on UT-Interaction (test top-1 over all folds; chance is 0.17):

    baseline: 64 frames     56 of 60 in the first part, 54 or 55 of 60 in the second
    16 frames               about 50 and 46: hurts, by 12 points
"""

from __future__ import annotations

import sys

from actrec.launch import main
from actrec.spec import ClipSpec, FreezeSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.factors import Factor, Study


def study() -> Study:
    """The study: a linear head on Inception-I3D with its Kinetics-400 weights, on two lengths of clips."""
    return Study(
        name="probe_i3d",
        base=TrialSpec(
            clip=ClipSpec(sampling="uniform", num_frames=64, height=224, width=224),
            model=ModelSpec(name="i3d", weights="kinetics400", dropout=0.0),
            freeze=FreezeSpec(strategy="head_only"),
            optim=OptimSpec(epochs=100, batch_size=16, lr=1e-2),
        ),
        factors=(Factor("clip.num_frames", levels=(16,), baseline=64),),
        seeds=(0, 1, 2),
    )


if __name__ == "__main__":
    sys.exit(main(study, __doc__))

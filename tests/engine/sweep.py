"""A small sweep as a script of its own, for tests that kill it: ``python sweep.py --data M --out DIR``."""

from __future__ import annotations

import sys

from actrec.launch import main
from actrec.spec import ClipSpec, ModelSpec, OptimSpec, TrialSpec
from actrec.study.factors import Factor, Study

STUDY = Study(
    name="sweep",
    base=TrialSpec(
        clip=ClipSpec(sampling="uniform", num_frames=4, height=16, width=16),
        model=ModelSpec(name="frame_transformer", width=16, layers=1, attention_heads=2),
        optim=OptimSpec(epochs=60, batch_size=8),
    ),
    factors=(Factor("loss.class_weights", levels=("balanced", "sqrt"), baseline="none"),),
    seeds=(0, 1, 2),
    placebo=False,
)

if __name__ == "__main__":
    sys.exit(main(lambda: STUDY, __doc__))

"""What the page shows, as plain frozen values. Shares are in [0, 1]; the page writes percent and points."""

from actrec.report.values.effects import ALPHA, ONE_SEED, Contrast, Effect
from actrec.report.values.outcomes import (
    ClassReport,
    ClassRow,
    Curve,
    Fit,
    Mistake,
    Outcome,
    Panel,
    PrecisionRecall,
)
from actrec.report.values.report import Report
from actrec.report.values.study import Data, Launch
from actrec.report.values.trials import BASELINE, PLACEBO, Arm, Best, Conditions, Status, Trial

__all__ = [
    "ALPHA",
    "BASELINE",
    "ONE_SEED",
    "PLACEBO",
    "Arm",
    "Best",
    "ClassReport",
    "ClassRow",
    "Conditions",
    "Contrast",
    "Curve",
    "Data",
    "Effect",
    "Fit",
    "Launch",
    "Mistake",
    "Outcome",
    "Panel",
    "PrecisionRecall",
    "Report",
    "Status",
    "Trial",
]

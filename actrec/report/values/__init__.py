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
from actrec.report.values.search import (
    DEFAULT,
    Confirmed,
    Dimension,
    Importances,
    Search,
    Stage,
    Tried,
)
from actrec.report.values.study import Data, Launch
from actrec.report.values.trials import (
    ABLATE,
    BASELINE,
    CONFIRM,
    PLACEBO,
    SEARCH,
    Arm,
    Best,
    Conditions,
    Status,
    Trial,
)

__all__ = [
    "ABLATE",
    "ALPHA",
    "BASELINE",
    "CONFIRM",
    "DEFAULT",
    "ONE_SEED",
    "PLACEBO",
    "SEARCH",
    "Arm",
    "Best",
    "ClassReport",
    "ClassRow",
    "Conditions",
    "Confirmed",
    "Contrast",
    "Curve",
    "Data",
    "Dimension",
    "Effect",
    "Fit",
    "Importances",
    "Launch",
    "Mistake",
    "Outcome",
    "Panel",
    "PrecisionRecall",
    "Report",
    "Search",
    "Stage",
    "Status",
    "Trial",
    "Tried",
]

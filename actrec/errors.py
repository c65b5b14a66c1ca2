"""Every exception the package raises on purpose.

::

    ActrecError
    ├── SpecError(ValueError)       a trial specification: unknown path, wrong type, value out of range
    ├── StudyError(ValueError)      a study: factors, levels, designs, arms that do not differ
    ├── DataError(ValueError)       what the user's data is
    │   ├── ManifestError           a manifest that is missing, malformed or unsafe
    │   ├── LayoutError             a folder that is not the data-set layout it was said to be
    │   └── DecodeError             one video file that does not decode (path, why)
    ├── ModelError(ValueError)      a model that cannot be built or loaded as asked
    ├── TrialError(RuntimeError)    one trial's own fault: recorded as its row, the sweep goes on
    │   └── DivergedError           its loss stopped being finite
    ├── LedgerError(RuntimeError)   results that cannot be written or read back
    └── EngineError(RuntimeError)   the machinery under the trials
        ├── ClusterError            no cluster could be reached or started
        ├── PlacementError          a plan that the cluster's resources can never place
        └── WorkerLostError         a training worker died; its trial is retried

What a user gave wrongly derives from ``ValueError``; what broke while running, from ``RuntimeError``.
What we promised ourselves is an ``assert``.
"""

from __future__ import annotations

from pathlib import Path


class ActrecError(Exception):
    """Base of every exception of this package."""


class SpecError(ActrecError, ValueError):
    """A trial specification names an unknown path, or a value of the wrong type or range."""


class StudyError(ActrecError, ValueError):
    """A study is inconsistent: its factors, levels, design or arms."""


class DataError(ActrecError, ValueError):
    """The data is not what it was said to be."""


class ManifestError(DataError):
    """A manifest is missing, malformed or names files outside its root."""


class LayoutError(DataError):
    """A folder does not have the layout it was said to have."""


class DecodeError(DataError):
    """One video does not decode.

    Attributes:
        path: the file.
        why: the reason, in one line.
    """

    def __init__(self, path: str | Path, why: str) -> None:
        self.path = Path(path)
        self.why = " ".join(str(why).split())
        super().__init__(f"{self.path}: {self.why}")

    def __reduce__(self) -> tuple[type[DecodeError], tuple[str, str]]:
        # The default would call __init__ with the joined message alone when it crosses processes.
        return type(self), (str(self.path), self.why)


class ModelError(ActrecError, ValueError):
    """A model cannot be built or its weights cannot be loaded as asked."""


class TrialError(ActrecError, RuntimeError):
    """One trial failed through its own fault."""


class DivergedError(TrialError):
    """The training loss of a trial is no longer finite."""


class LedgerError(ActrecError, RuntimeError):
    """Results cannot be written or read back."""


class EngineError(ActrecError, RuntimeError):
    """The machinery that runs trials failed."""


class ClusterError(EngineError):
    """No Ray cluster could be reached or started."""


class PlacementError(EngineError):
    """The resources that a plan asks for can never be placed on this cluster."""


class WorkerLostError(EngineError):
    """A training worker died while it worked on a trial."""

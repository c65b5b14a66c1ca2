"""The table ``contrasts`` of a factorial study → main effects and interactions."""

from __future__ import annotations

from pathlib import Path

from actrec.report.record import finite, word
from actrec.report.values import Contrast
from actrec.results import parquet


def read_contrasts(folder: Path, metric: str) -> tuple[Contrast, ...]:
    """Those on ``metric``, in the table's order; none where the study has no such table."""
    path = folder / "contrasts.parquet"
    if not path.exists():
        return ()
    rows = [row for piece in parquet.scan(path, "contrasts") for row in piece.to_pylist()]
    return tuple(
        Contrast(
            kind=row["kind"],
            factor=row["factor"],
            level=row["level"],
            baseline=word(row.get("baseline")),
            other_factor=word(row.get("other_factor")),
            other_level=word(row.get("other_level")),
            other_baseline=word(row.get("other_baseline")),
            difference=finite(row.get("difference")),
            low=finite(row.get("low")),
            high=finite(row.get("high")),
            p_adjusted=finite(row.get("p_adjusted")),
            confounded_with=word(row.get("confounded_with")),
        )
        for row in rows
        if row["metric"] == metric
    )

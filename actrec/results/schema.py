"""The tables of a study's folder. Everything that a report shows comes from these and nothing else.

``trials`` one row a trial · ``epochs`` one row a metric of a split after an epoch · ``predictions`` one row a
test video of a trial · ``effects`` one row a metric of an arm · ``contrasts`` one row a metric of a main
effect or two-way interaction, in factorial studies · ``videos`` one row a video of the manifest ·
``embeddings`` one row a test video of one of the few trials that the report maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from actrec.errors import LedgerError
from actrec.fields import unknown

SCHEMA_VERSION = 3
VERSION_KEY = b"actrec_schema"

OK = "ok"
FAILED = "failed"
PRUNED = "pruned"  # stopped early by a search, on validation: it has no test metrics

Rows = pa.Table | Iterable[Mapping[str, Any]]

# Times are UTC.
_TIME = pa.timestamp("us", tz="UTC")


def _schema(required: Mapping[str, pa.DataType], optional: Mapping[str, pa.DataType]) -> pa.Schema:
    fields = [pa.field(name, kind, nullable=False) for name, kind in required.items()]
    fields += [pa.field(name, kind) for name, kind in optional.items()]
    return pa.schema(fields, metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()})


TABLES: dict[str, pa.Schema] = {
    "trials": _schema(
        {
            "trial_id": pa.string(),
            "arm": pa.string(),
            "factor": pa.string(),
            "level": pa.string(),
            "seed": pa.int64(),
            "status": pa.string(),  # OK, FAILED or PRUNED
        },
        {
            "error": pa.string(),  # one line; empty where the trial is ok
            "epochs": pa.int64(),  # trained, early stopping counted
            "test_top1": pa.float64(),
            "test_macro_f1": pa.float64(),
            "test_loss": pa.float64(),
            "val_top1": pa.float64(),
            "n_test": pa.int64(),  # test videos that were scored
            "started": _TIME,
            "ended": _TIME,
            "spec": pa.string(),  # TrialSpec.to_dict() as JSON
            "test_top5": pa.float64(),
            "best_epoch": pa.int64(),
            "trainable_params": pa.int64(),
            "fingerprint": pa.string(),
            "seconds": pa.float64(),  # of work, waiting for a worker not counted
            "clips_trained": pa.int64(),
            "host": pa.string(),
            "workers": pa.int64(),  # that shared the trial
            "device": pa.string(),  # cpu or cuda
            "feed": pa.string(),  # cache or stream
            "compiled": pa.bool_(),  # by torch.compile
            "sync_batchnorm": pa.bool_(),
            "shared_stages": pa.int64(),  # leading ones whose output was computed once for several trials
            "prefix": pa.string(),  # which output; empty where none is shared
            "fold": pa.int64(),  # 0 where there is no cross-validation
            "stage": pa.string(),  # of a search: search, confirm or ablate; empty where there is none
            "number": pa.int64(),  # in the search, from 0; null in other stages
            "batch_size": pa.int64(),  # that was used: less than the specification's where memory was short
            "joules": pa.float64(),  # that its devices took, where they tell
        },
    ),
    "epochs": _schema(
        {"trial_id": pa.string(), "epoch": pa.int64(), "split": pa.string(), "metric": pa.string()},
        {"value": pa.float64()},
    ),
    "predictions": _schema(
        {
            "trial_id": pa.string(),
            "video_id": pa.string(),
            "group": pa.string(),
            "fold": pa.int64(),  # 0 where there is no cross-validation
            "label": pa.int64(),
            "scores": pa.list_(pa.float32()),  # K probabilities, the mean over the video's clips
        },
        {},
    ),
    "effects": _schema(
        {
            "arm": pa.string(),
            "factor": pa.string(),
            "level": pa.string(),
            "baseline": pa.string(),  # the reference's level
            "metric": pa.string(),
            "n_seeds": pa.int64(),
        },
        {
            "difference": pa.float64(),  # level minus baseline, on the test split
            "low": pa.float64(),
            "high": pa.float64(),
            "p": pa.float64(),
            "p_adjusted": pa.float64(),
            "verdict": pa.string(),
            "n_failed": pa.int64(),
            "se": pa.float64(),
            "df": pa.float64(),
            "low_simultaneous": pa.float64(),
            "high_simultaneous": pa.float64(),
            "margin": pa.float64(),
            "p_equivalent": pa.float64(),
            "n_videos": pa.int64(),  # 0: predictions are missing, intervals are for new seeds alone
            "n_groups": pa.int64(),
            "more_seeds": pa.int64(),  # that would settle it; null where no number of them would
            "needs_videos": pa.bool_(),  # because of the test videos
            "fair_budget": pa.bool_(),
        },
    ),
    "contrasts": _schema(
        {
            "metric": pa.string(),
            "kind": pa.string(),  # main or interaction
            "factor": pa.string(),
            "level": pa.string(),
            "baseline": pa.string(),
            "other_factor": pa.string(),  # of an interaction; of a main effect these three are empty
            "other_level": pa.string(),
            "other_baseline": pa.string(),
            "n_seeds": pa.int64(),
            "confounded_with": pa.string(),  # then there are no numbers; empty where there are
        },
        {
            "difference": pa.float64(),
            "low": pa.float64(),
            "high": pa.float64(),
            "p": pa.float64(),
            "p_adjusted": pa.float64(),
        },
    ),
    "videos": _schema(
        {
            "video_id": pa.string(),
            "class_name": pa.string(),
            "group": pa.string(),
            "block": pa.string(),  # empty where there is but one
            "split": pa.string(),  # of the manifest; in a cross-validation folds have others
            "status": pa.string(),  # ok or unreadable
        },
        {
            "reason": pa.string(),  # why it is unreadable; its numbers are 0 then
            "num_frames": pa.int64(),
            "fps": pa.float64(),
            "width": pa.int64(),
            "height": pa.int64(),
            "seconds": pa.float64(),
        },
    ),
    "embeddings": _schema(
        {
            "trial_id": pa.string(),
            "video_id": pa.string(),
            "vector": pa.list_(pa.float32()),  # what goes into the head, the mean over the video's clips
        },
        {},
    ),
}


def table(name: str, rows: Rows) -> pa.Table:
    """``rows`` as the table ``name``: columns in order, missing optional ones null.

    Raises:
        LedgerError: on an unknown or missing column, a null where none may be, a value of the wrong type.
    """
    schema = TABLES[name]
    if not isinstance(rows, pa.Table):
        rows = list(rows)
        names = dict.fromkeys(key for row in rows for key in row) if rows else schema.names
        columns: dict[str, Any] = {key: [row.get(key) for row in rows] for key in names}
        for field in schema:
            for time in columns.get(field.name, ()) if field.type == _TIME else ():
                if isinstance(time, datetime) and time.tzinfo is None:  # pyarrow would take it for UTC
                    raise LedgerError(f"table {name!r}: the time {time} has no time zone")
    else:
        columns = {key: rows[key] for key in rows.column_names}
    for key in columns:
        if key not in schema.names:
            raise LedgerError(unknown(f"column of table {name!r}", key, schema.names))
    size = len(rows)
    arrays = []
    for field in schema:
        if field.name not in columns and not field.nullable:
            raise LedgerError(f"table {name!r}: column {field.name!r} is missing")
        values = columns.get(field.name, [None] * size)
        try:
            array: pa.ChunkedArray[Any] = (
                values.cast(field.type)
                if isinstance(values, pa.ChunkedArray)
                else pa.chunked_array([values], type=field.type)
            )
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise LedgerError(f"table {name!r}, column {field.name!r}: {error}") from None
        if array.null_count and not field.nullable:
            raise LedgerError(f"table {name!r}: column {field.name!r} has a missing value")
        arrays.append(array)
    return pa.table(arrays, schema=schema)


def of_trial(name: str, rows: Rows, trial_id: str) -> pa.Table:
    """:func:`table` for the rows of one trial, whose ``trial_id`` is filled in where they have none."""
    if not isinstance(rows, pa.Table):
        rows = [{"trial_id": trial_id, **row} for row in rows]
    elif "trial_id" not in rows.column_names:
        rows = rows.append_column("trial_id", pa.array([trial_id] * len(rows), pa.string()))
    made = table(name, rows)
    if set(made["trial_id"].to_pylist()) - {trial_id}:
        raise LedgerError(f"table {name!r}: it has rows of other trials than {trial_id}")
    return made


def subset(name: str, columns: Sequence[str] | None) -> pa.Schema:
    """The schema of some columns of the table ``name``; of all of them for None. Raises LedgerError."""
    schema = TABLES[name]
    for column in columns or ():
        if column not in schema.names:
            raise LedgerError(unknown(f"column of table {name!r}", column, schema.names))
    chosen = schema.names if columns is None else columns
    return pa.schema([schema.field(column) for column in chosen]).with_metadata(schema.metadata)


def check_version(schema: pa.Schema, where: object) -> None:
    """Raises LedgerError unless ``schema`` was written by this version of the tables."""
    found = (schema.metadata or {}).get(VERSION_KEY, b"none").decode()
    if found != str(SCHEMA_VERSION):
        raise LedgerError(
            f"{where} has results of schema {found}, this program reads schema {SCHEMA_VERSION}: "
            "set them aside (--fresh) or use the version that wrote them"
        )

"""The columns of every published table, with those of the metrics and methods."""

from itertools import chain
from typing import Any

import pyarrow as pa

from mriqa.columns import Column
from mriqa.methods import METHODS, load_part
from mriqa.metrics import SLICE_COLUMNS, SUBJECT_COLUMNS, VOLUME_COLUMNS
from mriqa.tables.schemas import (
    FAILURE_COLUMNS,
    RUN_COLUMNS,
    SLICE_HEAD,
    SLICE_TAIL,
    SUBJECT_HEAD,
    SUBJECT_TAIL,
    VOLUME_HEAD,
    VOLUME_TAIL,
)

Columns = tuple[Column, ...]


def _of_methods(name: str) -> dict[str, Any]:
    """What the module `columns` of each method declares as `name`, by method."""
    return {method: getattr(load_part(method, "columns"), name) for method in METHODS}


METHOD_VOLUME_COLUMNS: dict[str, Columns] = _of_methods("VOLUME_COLUMNS")
METHOD_SLICE_COLUMNS: dict[str, Columns] = _of_methods("SLICE_COLUMNS")
METHOD_SUBJECT_COLUMNS: dict[str, Columns] = _of_methods("SUBJECT_COLUMNS")
METHOD_SCHEMAS: dict[str, pa.Schema] = _of_methods("SCORE_SCHEMA")
"""Of `scores/<method>/<shard>.parquet`."""

VOLUMES = (*VOLUME_HEAD, *chain(*METHOD_VOLUME_COLUMNS.values()), *VOLUME_COLUMNS, *VOLUME_TAIL)
SLICES = (*SLICE_HEAD, *chain(*METHOD_SLICE_COLUMNS.values()), *SLICE_COLUMNS, *SLICE_TAIL)
SLICE_FILES = tuple(column for column in SLICES if column.name != "contrast")
"""What a file of the slices table holds: its contrast stands in the name of its folder."""
SUBJECTS = (
    *SUBJECT_HEAD, *chain(*METHOD_SUBJECT_COLUMNS.values()), *SUBJECT_COLUMNS, *SUBJECT_TAIL
)  # fmt: skip
FAILURES = FAILURE_COLUMNS
RUNS = RUN_COLUMNS

TABLES = {
    "volumes": ("A row a volume; a series that was not read has one row.", VOLUMES),
    "slices": ("A row a slice of every measured volume, partitioned by contrast.", SLICES),
    "subjects": ("A row a subject and session.", SUBJECTS),
    "failures": ("A row a series or volume that failed, with its cause.", FAILURES),
    "runs": ("A row a run that wrote these tables.", RUNS),
}

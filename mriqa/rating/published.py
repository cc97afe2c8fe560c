"""The columns of every published table, with those of the metrics and methods.

A method adds its columns here, in one place, and nowhere else.
"""

from mriqa.methods.simclr import columns as simclr
from mriqa.metrics import SLICE_COLUMNS, VOLUME_COLUMNS
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

METHOD_VOLUME_COLUMNS = {"simclr": simclr.VOLUME_COLUMNS}
METHOD_SLICE_COLUMNS = {"simclr": simclr.SLICE_COLUMNS}
METHOD_SCHEMAS = {"simclr": simclr.SCORE_SCHEMA}
"""Of `scores/<method>/<shard>.parquet`."""

VOLUMES = (*VOLUME_HEAD, *simclr.VOLUME_COLUMNS, *VOLUME_COLUMNS, *VOLUME_TAIL)
SLICES = (*SLICE_HEAD, *simclr.SLICE_COLUMNS, *SLICE_COLUMNS, *SLICE_TAIL)
SLICE_FILES = tuple(column for column in SLICES if column.name != "contrast")
"""What a file of the slices table holds: its contrast stands in the name of its folder."""
SUBJECTS = (*SUBJECT_HEAD, *simclr.SUBJECT_COLUMNS, *SUBJECT_TAIL)
FAILURES = FAILURE_COLUMNS
RUNS = RUN_COLUMNS

TABLES = {
    "volumes": ("A row a volume; a series that was not read has one row.", VOLUMES),
    "slices": ("A row a slice of every measured volume, partitioned by contrast.", SLICES),
    "subjects": ("A row a subject and session.", SUBJECTS),
    "failures": ("A row a series or volume that failed, with its cause.", FAILURES),
    "runs": ("A row a run that wrote these tables.", RUNS),
}

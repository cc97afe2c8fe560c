"""The cohort and its shards as tables on disk.

`cohort.parquet` has a row a series with all that is known of it. A shard's manifest holds only the
columns that its jobs need, so that a corrected age or a new sha256 reruns no job.
"""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mriqa.errors import ErrorCode, UserError
from mriqa.files import readable

COHORT_SCHEMA = pa.schema(
    [
        pa.field("series_id", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("session", pa.string()),
        pa.field("contrast", pa.string(), nullable=False),
        pa.field("station", pa.string()),
        pa.field("source_path", pa.string(), nullable=False),
        pa.field("source_kind", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("bvals", pa.list_(pa.float32())),
        pa.field("error_code", pa.string()),
        pa.field("error_message", pa.string()),
        pa.field("excluded_by", pa.string()),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("sha256", pa.string()),
        pa.field("site", pa.string()),
        pa.field("scanner", pa.string()),
        pa.field("sex", pa.string()),
        pa.field("age", pa.float64()),
        pa.field("height_cm", pa.float64()),
        pa.field("weight_kg", pa.float64()),
        pa.field("split", pa.string(), nullable=False),
    ]
)
SHARD_SCHEMA = pa.schema(list(COHORT_SCHEMA)[:14])
"""The first columns of COHORT_SCHEMA, up to and with `shard`."""

PROBLEM_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int64()),
        pa.field("column", pa.string()),
        pa.field("value", pa.string()),
        pa.field("problem", pa.string(), nullable=False),
    ]
)
"""`index_problems.parquet`: rows of the sources that gave no series, or only a failed one."""

SHARD_INDEX_SCHEMA = pa.schema(
    [
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("n_series", pa.int32(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("largest_bytes", pa.int64(), nullable=False),
    ]
)
"""`shards/index.parquet`: a row for every shard that ever was (n_series 0: emptied, never reused).

For resources only. It changes with every growth, so it must be no job's input.
"""
SHARD_INDEX_NAME = "index.parquet"
_SHARD_FILE = re.compile(r"shard-(\d{5,})\.parquet")


@dataclass(frozen=True)
class Series:
    """One row of a shard's manifest.

    `error_code` is set where `index` already knows that the series cannot be read (missing file,
    duplicate id); `excluded_by` (`withdrawn`, `contrast`) where it is left out on purpose.
    """

    series_id: str
    subject: str
    session: str | None
    contrast: str
    station: str | None
    source_path: Path
    source_kind: str
    size_bytes: int
    mtime_ns: int
    bvals: tuple[float, ...] | None
    error_code: ErrorCode | None
    error_message: str | None
    excluded_by: str | None
    shard: int


def shard_name(number: int) -> str:
    """`shard-00007`: the stem of all files of shard 7."""
    return f"shard-{number:05d}"


def series_from_row(row: dict[str, Any]) -> Series:
    """A manifest row (of `Table.to_pylist`) as `Series`."""
    values = {field.name: row[field.name] for field in fields(Series)}
    values["source_path"] = Path(row["source_path"])
    values["bvals"] = None if row["bvals"] is None else tuple(row["bvals"])
    values["error_code"] = None if row["error_code"] is None else ErrorCode(row["error_code"])
    return Series(**values)


def read_shard(path: Path) -> list[Series]:
    """The series of one shard; raises UserError if `path` is not a shard manifest."""
    table = _read(path, SHARD_SCHEMA, "shard manifest")
    return [series_from_row(row) for row in table.to_pylist()]


def read_cohort(path: Path) -> pa.Table:
    """`cohort.parquet` as an Arrow table of COHORT_SCHEMA; raises UserError if it is not that."""
    return _read(path, COHORT_SCHEMA, "cohort table")


def _read(path: Path, schema: pa.Schema, what: str) -> pa.Table:
    absent = f"no such {what}; run `mriqa index CONFIG` first"
    with readable(path, f"if it is a {what}, index again", absent=absent):
        table = pq.ParquetFile(path).read()
    if not table.schema.equals(schema, check_metadata=False):
        raise UserError(f"{path}: not a {what} of this version; index again")
    return table


def list_shards(results: Path) -> list[int]:
    """Numbers of the shards that there are, ascending; from file names alone, so cheap."""
    folder = results / "shards"
    if not folder.is_dir():
        return []
    matches = (_SHARD_FILE.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match.group(1)) for match in matches if match)

"""From the score files of all shards and the cohort to one row a volume, not yet rated."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from mriqa.cohort.manifest import shard_name
from mriqa.errors import UserError
from mriqa.metrics import VOLUME_COLUMNS
from mriqa.rating.score import SCORE_SCHEMA
from mriqa.tables.reconcile import Counts, reconcile
from mriqa.tables.schemas import GEOMETRY_COLUMNS, PERSON_COLUMNS

_FROM_SCORES = (
    "volume",
    "status",
    "error_code",
    "error_message",
    "excluded_by",
    "b_value_s_per_mm2",
    "b_class",
    "background",
    "sha256",
    *(column.name for column in GEOMETRY_COLUMNS),
    *(column.name for column in VOLUME_COLUMNS),
)
_FROM_COHORT = (
    "series_id",
    "subject",
    "session",
    "contrast",
    "station",
    *(column.name for column in PERSON_COLUMNS),
    "source_path",
    "shard",
)
ORDER = "subject, session NULLS FIRST, series_id, volume NULLS FIRST"


def score_files(results: Path, cohort: pa.Table) -> list[Path]:
    """The score file of every shard; raises UserError naming those that are not there."""
    shards = sorted(set(cohort["shard"].to_pylist()))
    files = [results / "scores" / f"{shard_name(shard)}.parquet" for shard in shards]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(files)} shards have no scores yet, e.g. {missing[0]}; "
            "run `mriqa run CONFIG`"
        )
    return files


def connect_scores(
    files: list[Path], cohort: pa.Table, scratch: Path, *, threads: int, mem_mb: int
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with the views `scores` and `cohort`; spills into `scratch`."""
    for file in files:
        try:
            schema = pq.read_schema(file)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{file}: damaged ({error}); delete it and run again") from None
        if not schema.equals(SCORE_SCHEMA, check_metadata=False):
            raise UserError(f"{file}: scores of another version; delete it and run again")
    connection = duckdb.connect(
        config={
            "temp_directory": str(scratch),
            "memory_limit": f"{mem_mb}MB",
            "threads": threads,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
        }
    )
    connection.register("cohort", cohort)
    connection.read_parquet([str(file) for file in files]).create_view("scores")
    return connection


def gather_volumes(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """A row a volume, joined with the cohort and sorted by subject; series unknown to the cohort
    keep their row with NULL subject, for `account` to refuse."""
    columns = [f"s.{name}" for name in _FROM_SCORES] + [f"c.{name}" for name in _FROM_COHORT[1:]]
    return connection.sql(
        f"SELECT s.series_id, {', '.join(columns)} FROM scores s "  # noqa: S608  # our own names
        f"LEFT JOIN cohort c USING (series_id) WHERE s.slice IS NULL ORDER BY {ORDER}"
    ).to_arrow_table()


def account(results: Path, cohort: pa.Table, volumes: pa.Table) -> dict[int, Counts]:
    """Reconcile the volumes with the index and with what `convert` found; see `reconcile`."""
    indexed = dict(zip(cohort["series_id"].to_pylist(), cohort["shard"].to_pylist(), strict=True))
    rows = zip(
        volumes["series_id"].to_pylist(),
        volumes["shard"].to_pylist(),
        volumes["status"].to_pylist(),
        strict=True,
    )
    expected: dict[str, int] = {}
    for shard in sorted(set(indexed.values())):
        status = pq.read_table(
            results / "convert" / f"{shard_name(shard)}.parquet",
            columns=["series_id", "status", "n_volumes"],
        ).to_pylist()
        expected |= {row["series_id"]: row["n_volumes"] for row in status if row["status"] == "ok"}
    return reconcile(indexed, rows, expected)

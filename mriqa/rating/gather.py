"""From the score files of all shards and the cohort to one row a volume, not yet rated."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from mriqa.cohort.manifest import shard_name
from mriqa.errors import UserError
from mriqa.files import readable
from mriqa.metrics import VOLUME_COLUMNS
from mriqa.rating.methods import MethodScores, compares, null_of, says_of_slices
from mriqa.rating.published import METHOD_VOLUME_COLUMNS
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
    files: list[Path],
    cohort: pa.Table,
    scratch: Path,
    rated: Sequence[MethodScores] = (),
    *,
    threads: int,
    mem_mb: int,
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with the views `scores` and `cohort`, and one a method of `rated`.

    It spills into `scratch`.
    """
    for file in files:
        with readable(file):
            schema = pq.read_schema(file)
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
    for name, paths in (("scores", files), *((one.method, one.files) for one in rated)):
        connection.read_parquet([str(path) for path in paths]).create_view(name)
    return connection


def gather_volumes(
    connection: duckdb.DuckDBPyConnection, rated: Sequence[MethodScores] = ()
) -> pa.Table:
    """A row a volume, joined with the cohort and the methods, sorted by subject.

    Series unknown to the cohort keep their row with NULL subject, for `account` to refuse. The
    columns of a method that is not in `rated` are NULL; of one that is, `<method>_of` says within
    which stratum it has judged the volume, an empty text where it could not be compared.
    """
    columns = [f"s.{name}" for name in _FROM_SCORES] + [f"c.{name}" for name in _FROM_COHORT[1:]]
    methods = {one.method for one in rated}
    for method, declared in METHOD_VOLUME_COLUMNS.items():
        columns += [
            f"{method}.{one.name}" if method in methods else f"{null_of(one)} AS {one.name}"
            for one in declared
        ]
    for method in sorted(methods):
        within = f"coalesce({method}.stratum, '')" if compares(method) else "''"
        judged = f"WHEN {method}.series_id IS NOT NULL THEN {within}"
        columns.append(f"CASE {judged} END AS {method}_of")
    return connection.sql(
        f"SELECT s.series_id, {', '.join(columns)} FROM scores s "  # noqa: S608  # our own names
        f"LEFT JOIN cohort c USING (series_id) {_joins(methods)} "
        f"WHERE s.slice IS NULL ORDER BY {ORDER}"
    ).to_arrow_table()


def _joins(methods: set[str]) -> str:
    of_volumes = {
        one: f"(SELECT * FROM {one} WHERE slice IS NULL) {one}"  # noqa: S608  # our own names
        if says_of_slices(one)
        else one
        for one in sorted(methods)
    }
    return " ".join(f"LEFT JOIN {one} USING (series_id, volume)" for one in of_volumes.values())


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

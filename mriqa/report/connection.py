"""DuckDB over the tables of one results folder, with bounded memory."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from mriqa.errors import UserError
from mriqa.rating.methods import null_of
from mriqa.rating.published import VOLUMES

MEMORY_LIMIT_MB = 1000


@contextmanager
def connected(results: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with a view a table, and one of the cohort where it is there; spills to a
    temporary folder beyond MEMORY_LIMIT_MB.

    Raises UserError if there are no tables, or one is missing or damaged.
    """
    with TemporaryDirectory(prefix="mriqa-report-") as spill:
        connection = duckdb.connect(config={"autoinstall_known_extensions": False})
        try:
            connection.execute(f"SET memory_limit = '{MEMORY_LIMIT_MB}MB'")
            connection.execute("SET temp_directory = ?", [spill])
            connection.execute("SET preserve_insertion_order = false")
            _make_views(connection, results)
            yield connection
        finally:
            connection.close()


def _make_views(connection: duckdb.DuckDBPyConnection, results: Path) -> None:
    """Not those of `mriqa query`: what lies beside the tables, labels and what models left, may be
    damaged and must not cost the page."""
    tables, cohort = results / "tables", results / "cohort.parquet"
    if not (tables / "volumes.parquet").is_file():
        raise UserError(f"{tables}: no tables there; run `mriqa run CONFIG` first")
    for name in ("volumes", "subjects", "failures", "runs"):
        _make_view(connection, name, tables / f"{name}.parquet")
    slices = tables / "slices"
    if any(slices.glob("*/*.parquet")):
        hive = ", hive_partitioning = true, hive_types = {'contrast': VARCHAR}"
        _make_view(connection, "slices", slices, "/*/*.parquet", hive)
    if cohort.is_file():
        _make_view(connection, "cohort", cohort)


def _make_view(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    path: Path,
    pattern: str = "",
    options: str = "",
) -> None:
    literal = re.sub(r"([*?\[])", r"[\1]", str(path)).replace("'", "''")
    source = f"read_parquet('{literal}{pattern}'{options})"
    try:
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {source}")  # noqa: S608  # ours
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{name}: {reason}; run `mriqa merge` again") from None


def records(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any] | None = None
) -> list[dict[str, Any]]:
    """The rows of a query, a dictionary a row."""
    cursor = connection.execute(sql, parameters or [])
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def quoted(name: str) -> str:
    """A column name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def selected(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> str:
    """SQL that selects these columns of the volumes; NULL where tables of old have not one."""
    there = {row["column_name"] for row in records(connection, "DESCRIBE volumes")}
    columns = {column.name: column for column in VOLUMES}
    return ", ".join(
        quoted(name) if name in there else f"{null_of(columns[name])} AS {quoted(name)}"
        for name in names
    )

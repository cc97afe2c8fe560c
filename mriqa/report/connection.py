"""DuckDB over the tables of one results folder, with bounded memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from mriqa.tables.query import connect

MEMORY_LIMIT_MB = 1000


@contextmanager
def connected(results: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with a view a table; spills to a temporary folder beyond MEMORY_LIMIT_MB.

    Raises UserError if there are no tables, or one is missing or damaged.
    """
    with TemporaryDirectory(prefix="mriqa-report-") as spill:
        connection = connect(results)
        try:
            connection.execute(f"SET memory_limit = '{MEMORY_LIMIT_MB}MB'")
            connection.execute("SET temp_directory = ?", [spill])
            connection.execute("SET preserve_insertion_order = false")
            yield connection
        finally:
            connection.close()


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

"""SQL over a results folder with DuckDB."""

import json
import re
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import cast

import duckdb

from mriqa.errors import UserError

_BESIDE = {
    "cohort": "cohort.parquet",
    "index_problems": "index_problems.parquet",
    "map_problems": "brain_maps/problems.parquet",
    "labels": "labels/ratings.parquet",
    "label_problems": "labels/problems.parquet",
}
"""Views of files that are not in `tables/`, where they are there."""
_OF_MODELS = {"label_rounds": "rounds.parquet", "second_look": "second_look.parquet"}
"""Views of what the model that rated has left in its folder: of series that are still in use."""
_QUESTIONS = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


def connect(results: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with views of all tables, of the cohort, the labels, and problems; of
    the rounds in which the model's labels were doubted, and of those worth a second look.

    The connection is in memory. Raises UserError where there are
    no tables, or one is damaged.
    """
    tables = results / "tables"
    if not (tables / "volumes.parquet").is_file():
        raise UserError(f"{tables}: no tables there; run `mriqa run CONFIG` first")
    connection = duckdb.connect(config={"autoinstall_known_extensions": False})
    for name in ("volumes", "subjects", "failures", "runs"):
        _view(connection, name, f"{_literal(tables)}/{name}.parquet")
    if any((tables / "slices").glob("*/*.parquet")):
        _view(
            connection,
            "slices",
            f"{_literal(tables)}/slices/*/*.parquet",
            ", hive_partitioning = true, hive_types = {'contrast': VARCHAR}",
        )
    for name, file in _BESIDE.items():
        if (results / file).is_file():
            _view(connection, name, f"{_literal(results)}/{file}", again="`mriqa index CONFIG`")
    for folder in _models_that_rated(connection, results):
        for name, file in _OF_MODELS.items():
            _view_of_model(connection, name, folder / file)
    return connection


def _models_that_rated(connection: duckdb.DuckDBPyConnection, results: Path) -> list[Path]:
    """Folders of the models behind the tables."""
    newest = "SELECT methods FROM runs ORDER BY finished DESC LIMIT 1"
    try:
        rows = connection.execute(newest).fetchall()
        methods = json.loads(rows[0][0]) if rows and rows[0][0] else {}
    except (duckdb.Error, ValueError):
        return []
    return [results / "models" / method / str(model) for method, model in methods.items()]


def _view_of_model(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    """The rows of series that are in use; no view where the file is missing or damaged: it is not
    for a question about the tables to fail by it."""
    known = {row[0] for row in connection.execute("SHOW TABLES").fetchall()}
    if path.is_file() and "cohort" in known:
        in_use = "SELECT series_id FROM cohort WHERE excluded_by IS NULL"
        with suppress(UserError):
            _view(connection, name, _literal(path), where=f" WHERE series_id IN ({in_use})")


def _literal(path: Path) -> str:
    """A path for DuckDB, in which `*`, `?` and `[` mean themselves."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _view(
    connection: duckdb.DuckDBPyConnection, name: str, pattern: str, options: str = "",
    again: str = "`mriqa merge`", where: str = "",
) -> None:  # fmt: skip
    quoted = pattern.replace("'", "''")
    source = f"read_parquet('{quoted}'{options})"
    try:
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {source}{where}")  # noqa: S608  # ours
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{name}: {reason}; run {again} again") from None


def _check_question(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse what could write, such as COPY: the tables are made by `merge` alone."""
    for statement in connection.extract_statements(sql):
        if statement.type not in _QUESTIONS:
            raise UserError(
                f"only questions are answered here, not {statement.type.name}; for more, open the "
                "Parquet files in DuckDB itself"
            )


def run_query(results: Path, sql: str, *, max_rows: int = 1000, max_width: int = 400) -> str:
    """The answer to `sql` as a text table; raises UserError naming what DuckDB did not accept."""
    with connect(results) as connection:
        try:
            _check_question(connection, sql)
            # None for a statement without an answer, which the stubs do not know
            answer = cast(duckdb.DuckDBPyRelation | None, connection.sql(sql))
            if answer is None:
                return "done"
            with redirect_stdout(StringIO()) as text:
                answer.show(max_rows=max_rows, max_width=max_width, max_col_width=max_width)
        except duckdb.CatalogException as error:
            tables = ", ".join(row[0] for row in connection.execute("SHOW TABLES").fetchall())
            raise UserError(f"the query was not accepted: {error}\nTables: {tables}") from None
        except duckdb.Error as error:
            raise UserError(f"the query was not accepted: {error}") from None
    return text.getvalue().rstrip()

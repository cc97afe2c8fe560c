"""Writing a published table: exact schema, no NaN, a data dictionary beside it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mriqa.columns import Column, arrow_schema

ROW_GROUP_ROWS = 65_536


def conform(table: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """`table` with exactly the declared columns, in their order and type; NaN becomes NULL.

    Raises ValueError for a missing or undeclared column or a value outside a declared closed set.
    """
    schema = arrow_schema(columns)
    missing = set(schema.names) - set(table.column_names)
    extra = set(table.column_names) - set(schema.names)
    if missing or extra:
        raise ValueError(f"columns missing: {sorted(missing)}; undeclared: {sorted(extra)}")
    arrays = []
    for column, field in zip(columns, schema, strict=True):
        values = table[column.name]
        if pa.types.is_floating(field.type):
            values = values.cast(field.type)
            values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, field.type))
        values = values.cast(field.type)
        _check_values(column, values)
        arrays.append(values)
    return pa.Table.from_arrays(arrays, schema=schema)


def _check_values(column: Column, values: pa.ChunkedArray) -> None:
    if column.required and values.null_count:
        raise ValueError(f"{column.name}: {values.null_count} NULL in a required column")
    if column.levels:
        found = {str(value) for value in pc.unique(values).to_pylist() if value is not None}
        unknown = sorted(found - set(column.levels))
        if unknown:
            raise ValueError(f"{column.name}: {unknown} not among {sorted(column.levels)}")


def write_table(folder: Path, name: str, table: pa.Table, columns: Sequence[Column]) -> None:
    """Write `folder/name.parquet` and its dictionary `folder/name.json`."""
    conformed = conform(table, columns)
    writer = _ParquetFile(folder / f"{name}.parquet", conformed.schema)
    with writer:
        writer.write(conformed)
    write_dictionary(folder / f"{name}.json", columns)


def write_dictionary(path: Path, columns: Iterable[Column]) -> None:
    """Write a BIDS data dictionary: column name to Description, Units, Levels, ..."""
    content = {column.name: column.dictionary() for column in columns}
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_partition(
    folder: Path, contrast: str, batches: Iterator[pa.RecordBatch], columns: Sequence[Column]
) -> int:
    """Write `folder/contrast=<contrast>/part-0.parquet` from a stream; returns its rows."""
    target = folder / f"contrast={quote(contrast, safe='')}"
    target.mkdir(parents=True)
    n_rows = 0
    with _ParquetFile(target / "part-0.parquet", arrow_schema(columns)) as writer:
        for batch in batches:
            table = conform(pa.Table.from_batches([batch]), columns)
            writer.write(table)
            n_rows += table.num_rows
    return n_rows


class _ParquetFile(pq.ParquetWriter):  # type: ignore[misc]  # pyarrow has no types
    """A Parquet file of ours: zstd 1, plain strings, 65,536 rows a group."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        super().__init__(
            path, schema, compression="zstd", compression_level=1, use_dictionary=False
        )

    def write(self, table: pa.Table) -> None:
        """Append rows in groups of ROW_GROUP_ROWS."""
        self.write_table(table, row_group_size=ROW_GROUP_ROWS)


def stream(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[pa.RecordBatch]:
    """The rows of a query, one row group at a time."""
    pending: list[pa.RecordBatch] = []
    n_pending = 0
    for batch in connection.sql(sql).to_arrow_reader(ROW_GROUP_ROWS):
        pending.append(batch)
        n_pending += batch.num_rows
        while n_pending >= ROW_GROUP_ROWS:
            whole = pa.Table.from_batches(pending).combine_chunks()
            yield whole.slice(0, ROW_GROUP_ROWS).to_batches()[0]
            pending = whole.slice(ROW_GROUP_ROWS).to_batches()
            n_pending -= ROW_GROUP_ROWS
    if n_pending:
        yield pa.Table.from_batches(pending).combine_chunks().to_batches()[0]

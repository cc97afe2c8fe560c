"""Published tables: the declared schema exactly, NULL instead of NaN, a dictionary beside."""

import json

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mriqa.columns import Column, arrow_schema
from mriqa.tables.writing import ROW_GROUP_ROWS, conform, stream, write_partition, write_table

COLUMNS = (
    Column("series_id", "string", "Id.", required=True),
    Column("snr", "float64", "SNR.", units="1", better="higher", bounds=(0, None)),
    Column("rating", "string", "Rating.", levels={"pass": "good", "fail": "bad"}),
)


def table(**changes):
    content = {"series_id": ["a", "b"], "snr": [1.0, float("nan")], "rating": ["pass", None]}
    return pa.table(content | changes)


def test_nan_and_infinity_become_null():
    conformed = conform(table(snr=[float("inf"), float("nan")]), COLUMNS)
    assert conformed["snr"].null_count == 2
    assert conformed.schema.equals(arrow_schema(COLUMNS))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"extra": [1, 2]}, "undeclared: \\['extra'\\]"),
        ({"series_id": ["a", None]}, "series_id: 1 NULL"),
        ({"rating": ["pass", "great"]}, "rating: \\['great'\\] not among"),
    ],
)
def test_what_was_not_declared_is_refused(changes, named):
    with pytest.raises(ValueError, match=named):
        conform(table(**changes), COLUMNS)


def test_missing_column_is_refused():
    with pytest.raises(ValueError, match="missing: \\['snr'\\]"):
        conform(table().drop_columns(["snr"]), COLUMNS)


def test_file_and_dictionary(tmp_path):
    write_table(tmp_path, "volumes", table(), COLUMNS)
    written = pq.ParquetFile(tmp_path / "volumes.parquet")
    assert written.schema_arrow.equals(arrow_schema(COLUMNS))
    column = written.metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert not any("DICTIONARY" in encoding for encoding in column.encodings)
    dictionary = json.loads((tmp_path / "volumes.json").read_text())
    assert dictionary["snr"] == {
        "Description": "SNR.",
        "Units": "1",
        "Direction": "higher is better",
        "Minimum": 0,
        "Maximum": None,
    }
    assert dictionary["rating"]["Levels"] == {"pass": "good", "fail": "bad"}


def test_partition_streams_in_sorted_row_groups(tmp_path):
    rows = 3 * ROW_GROUP_ROWS // 2
    order = np.random.default_rng(0).permutation(rows)
    source = pa.table(
        {
            "series_id": [f"{i:08d}" for i in order],
            "snr": order.astype(float),
            "rating": pa.nulls(rows, pa.string()),
        }
    )
    with duckdb.connect() as connection:
        connection.register("source", source)
        batches = stream(connection, "SELECT * FROM source ORDER BY series_id")
        assert write_partition(tmp_path, "a/b", batches, COLUMNS) == rows
    path = tmp_path / "contrast=a%2Fb" / "part-0.parquet"
    written = pq.ParquetFile(path)
    assert [written.metadata.row_group(i).num_rows for i in range(2)] == [
        ROW_GROUP_ROWS,
        rows - ROW_GROUP_ROWS,
    ]
    assert pq.ParquetFile(path).read()["snr"].to_pylist() == list(map(float, range(rows)))


def test_columns_declared_twice_are_refused():
    with pytest.raises(ValueError, match="declared twice: snr"):
        arrow_schema((*COLUMNS, COLUMNS[1]))

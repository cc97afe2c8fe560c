"""A session by HyS-Net: the median of what it predicts of its volumes."""

from pathlib import Path

import duckdb
import pyarrow as pa

_SQL = """
SELECT subject, session, median(hysnet_prediction) AS hysnet_prediction_median
FROM volumes GROUP BY subject, session
"""


def summarise_sessions(volumes: pa.Table, _model: Path) -> pa.Table:
    """A row a subject and session (SUBJECT_COLUMNS)."""
    with duckdb.connect() as connection:
        connection.register("volumes", volumes)
        return connection.sql(_SQL).to_arrow_table()

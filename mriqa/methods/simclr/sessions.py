"""A session by SimCLR: the means of its volumes' similarities, and what follows from them."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

_SIMILARITIES = ("simclr_s_hq", "simclr_s_lq", "simclr_margin", "simclr_margin_whitened")
_MEANS = ", ".join(f"avg({name}) FILTER (status = 'ok') AS {name}" for name in _SIMILARITIES)
_SQL = f"SELECT subject, session, {_MEANS} FROM volumes GROUP BY ALL"  # noqa: S608  # our own names


def summarise_sessions(volumes: pa.Table, _model: Path) -> pa.Table:
    """A row a subject and session (SUBJECT_COLUMNS): means over the rated volumes; class and SIM
    follow by the paper's rule."""
    with duckdb.connect() as connection:
        connection.register("volumes", volumes)
        table = connection.sql(_SQL).to_arrow_table()
    s_hq, s_lq = table["simclr_s_hq"], table["simclr_s_lq"]
    is_hq = pc.greater(s_hq, s_lq)
    table = table.append_column("simclr_class", pc.if_else(is_hq, "HQ", "LQ"))
    return table.append_column("simclr_sim", pc.if_else(is_hq, s_hq, pc.subtract(1.0, s_lq)))

"""A session by the hierarchy: its rating, what to blame, how many volumes are left to use."""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mriqa.files import read_object
from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.subjects import FAIL, PASS, SubjectRule
from mriqa.training.model_files import CONFIG

_SQL = """
WITH rated AS (SELECT * FROM volumes WHERE hierarchy_rating IS NOT NULL),
shells AS (
  SELECT subject, session, b_class,
    count(*) FILTER (hierarchy_rating <> 'fail') AS n_usable, count(*) AS n_rated
  FROM rated GROUP BY ALL),
usable AS (
  SELECT subject, session, string_agg(b_class || ' ' || n_usable || '/' || n_rated, ', '
    ORDER BY try_cast(b_class[2:] AS INTEGER) NULLS FIRST, b_class) AS hierarchy_usable
  FROM shells GROUP BY ALL),
named AS (
  SELECT subject, session, hierarchy_rating,
    series_id || ' ' || volume || ' (slice ' || hierarchy_worst_slice || ')' AS name,
    row_number() OVER (PARTITION BY subject, session
      ORDER BY hierarchy_rating = 'fail' DESC, hierarchy_p_fail DESC, series_id, volume) AS place
  FROM rated),
blamed AS (
  SELECT subject, session,
    string_agg(name, ', ' ORDER BY place) FILTER (hierarchy_rating = 'fail' AND place <= 10)
      AS hierarchy_blamed,
    min(name) FILTER (place = 1) AS worst
  FROM named GROUP BY ALL),
shares AS (
  SELECT subject, session,
    avg(hierarchy_p_fail) AS hierarchy_share_fail,
    avg(hierarchy_p_pass) AS hierarchy_share_pass
  FROM rated GROUP BY ALL)
SELECT shares.*, hierarchy_usable, hierarchy_blamed, worst FROM shares
LEFT JOIN usable ON shares.subject = usable.subject
  AND shares.session IS NOT DISTINCT FROM usable.session
LEFT JOIN blamed ON shares.subject = blamed.subject
  AND shares.session IS NOT DISTINCT FROM blamed.session
"""


def summarise_sessions(volumes: pa.Table, model: Path) -> pa.Table:
    """A row a subject and session with volumes that the hierarchy has rated (SUBJECT_COLUMNS).

    The rule is that of the folder `model`. Raises KeyError if that is no model of the hierarchy.
    """
    with duckdb.connect() as connection:
        connection.register("volumes", volumes)
        table = connection.sql(_SQL).to_arrow_table()
    rule = SubjectRule(**read_object(model / CONFIG)["fitted"]["rule"])
    shares = np.zeros((table.num_rows, len(RATINGS)))
    for place, name in ((PASS, "hierarchy_share_pass"), (FAIL, "hierarchy_share_fail")):
        shares[:, place] = table[name].to_numpy()
    ratings = [RATINGS[one] for one in rule.rate(shares).tolist()]
    table = _blame_one(table, [one == RATINGS[FAIL] for one in ratings])
    return table.append_column("hierarchy_rating", pa.array(ratings, pa.string()))


def _blame_one(table: pa.Table, fails: list[bool]) -> pa.Table:
    """A session that fails, though none of its volumes does for sure, blames the likeliest."""
    blamed = pc.if_else(
        pa.array(fails, pa.bool_()),
        pc.coalesce(table["hierarchy_blamed"], table["worst"]),
        table["hierarchy_blamed"],
    )
    place = table.column_names.index("hierarchy_blamed")
    return table.set_column(place, "hierarchy_blamed", blamed).drop_columns(["worst"])

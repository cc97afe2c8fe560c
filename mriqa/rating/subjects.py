"""A row a subject and session, from the rated volumes."""

from collections.abc import Mapping
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mriqa.config import RatingSection
from mriqa.labels.model import RATINGS
from mriqa.methods import load_part
from mriqa.rating.methods import null_of
from mriqa.rating.published import METHOD_SUBJECT_COLUMNS
from mriqa.rating.rate import rate_scores
from mriqa.tables.schemas import PERSON_COLUMNS

# of the first series that has a value, so that nothing depends on the order of threads
_PERSON = ", ".join(
    f"arg_min({column.name}, series_id) AS {column.name}" for column in PERSON_COLUMNS
)
_REASON_ORDER = "coalesce(quality_score, -1), status <> 'failed', series_id, volume NULLS FIRST"
_SQL = f"""
SELECT subject, session,
  count(DISTINCT series_id) AS n_series,
  count(volume) AS n_volumes,
  count(*) FILTER (status = 'ok') AS n_ok,
  count(*) FILTER (status = 'failed') AS n_failed,
  count(*) FILTER (status = 'excluded') AS n_excluded,
  count(*) FILTER (status = 'no_reference') AS n_no_reference,
  count(*) FILTER (rating = 'pass') AS n_pass,
  count(*) FILTER (rating = 'questionable') AS n_questionable,
  count(*) FILTER (rating = 'fail') AS n_fail,
  median(quality_score) AS quality_score,
  min(quality_score) AS quality_score_min,
  bool_or(flag AND (coalesce(rating, 'none') <> 'questionable' OR flag_reason = 'nonfinite'
    OR coalesce(metrics_score, 1) < $fail_below)) AS any_flag,
  first(flag_reason ORDER BY {_REASON_ORDER}) FILTER (flag) AS worst_reason,
  CASE WHEN count(DISTINCT rating_source) > 1 THEN 'mixed' ELSE min(rating_source) END
    AS rating_source,
  bool_or(coalesce(rating_source, '') = 'hierarchy') AS by_hierarchy,
  string_agg(DISTINCT model_id, ' ' ORDER BY model_id) AS model_id,
  {_PERSON}
FROM volumes GROUP BY subject, session ORDER BY subject, session NULLS FIRST
"""  # noqa: S608  # our own names
_SHELLS = """
WITH shells AS (
  SELECT subject, session, b_class, sum(dwi_n_outlier_slices)::BIGINT AS n_outliers,
    sum(n_slices)::BIGINT AS n_compared
  FROM volumes WHERE dwi_n_outlier_slices IS NOT NULL GROUP BY ALL)
SELECT subject, session, string_agg(b_class || ' ' || n_outliers || '/' || n_compared, ', '
  ORDER BY try_cast(b_class[2:] AS INTEGER) NULLS FIRST, b_class) AS dwi_outlier_slices
FROM shells GROUP BY ALL
"""


def summarise_subjects(
    volumes: pa.Table, section: RatingSection, models: Mapping[str, Path] | None = None
) -> pa.Table:
    """The subjects table without schema_version and run_id.

    `models` are the folders of the methods that have rated, by name: each adds its own columns. The
    rating is that of the median quality_score, or the hierarchy's where that has rated: alone, or
    together with others, if it is worse. `flag` is raised by the rating or by any volume that is
    flagged for more than being questionable: of a hundred good volumes some always are. The reason
    is that of the volume with the lowest score, a failed one first.
    """
    with duckdb.connect() as connection:
        connection.register("volumes", volumes)
        parameters = {"fail_below": section.fail_below}
        connection.execute("CREATE TABLE subjects AS " + _SQL, parameters)
        table = _with_methods(connection, volumes, models or {})
    score = table["quality_score"].to_numpy(zero_copy_only=False).astype(np.float64)
    rating = _ratings(rate_scores(score, section), table)
    judged = np.isfinite(score)
    flag = np.asarray(table["any_flag"].to_pylist(), dtype=object)
    flag[judged & (rating != "pass")] = True
    columns = {
        "rating": pa.array(rating, pa.string()),
        "flag": pa.array(flag, pa.bool_()),
        "flag_reason": table["worst_reason"],
    }
    table = table.drop_columns(["any_flag", "worst_reason", "by_hierarchy"])
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


def _with_methods(
    connection: duckdb.DuckDBPyConnection, volumes: pa.Table, models: Mapping[str, Path]
) -> pa.Table:
    """The table `subjects` with the outlier slices of diffusion and the columns of all methods;
    NULL of those that have not rated."""
    connection.execute("CREATE TABLE shells AS " + _SHELLS)
    joins, columns = [_join("shells")], ["subjects.*", "shells.dwi_outlier_slices"]
    for method, declared in METHOD_SUBJECT_COLUMNS.items():
        if method in models:
            own = load_part(method, "sessions").summarise_sessions(volumes, models[method])
            connection.register(method, own)
            joins.append(_join(method))
        columns += [
            f"{method}.{one.name}" if method in models else f"{null_of(one)} AS {one.name}"
            for one in declared
        ]
    return connection.sql(
        f"SELECT {', '.join(columns)} FROM subjects {' '.join(joins)} "  # noqa: S608  # our names
        "ORDER BY subjects.subject, subjects.session NULLS FIRST"
    ).to_arrow_table()


def _join(name: str) -> str:
    return (
        f"LEFT JOIN {name} ON {name}.subject = subjects.subject "
        f"AND {name}.session IS NOT DISTINCT FROM subjects.session"
    )


def _ratings(by_score: NDArray[np.object_], subjects: pa.Table) -> NDArray[np.object_]:
    """The ratings of sessions: by score, or the hierarchy's; see `summarise_subjects`."""
    own = np.asarray(subjects["hierarchy_rating"].to_pylist(), dtype=object)
    counts = np.asarray(subjects["by_hierarchy"].to_pylist(), dtype=bool)
    source = np.asarray(subjects["rating_source"].to_pylist(), dtype=object)
    rating = by_score.copy()
    for row in np.flatnonzero(counts & np.array([one is not None for one in own], dtype=bool)):
        if source[row] == "hierarchy" or _worse(own[row], by_score[row]):
            rating[row] = own[row]
    return rating


def _worse(one: str, other: str | None) -> bool:
    return other is None or RATINGS.index(one) > RATINGS.index(other)

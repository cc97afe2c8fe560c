"""A row a subject and session, from the rated volumes."""

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mriqa.config import RatingSection
from mriqa.rating.rate import rate_scores
from mriqa.tables.schemas import PERSON_COLUMNS

# of the first series that has a value, so that nothing depends on the order of threads
_PERSON = ", ".join(
    f"arg_min({column.name}, series_id) AS {column.name}" for column in PERSON_COLUMNS
)
_REASON_ORDER = "coalesce(quality_score, -1), status <> 'failed', series_id, volume NULLS FIRST"
_SIMILARITIES = ("simclr_s_hq", "simclr_s_lq", "simclr_margin", "simclr_margin_whitened")
_MEANS = ", ".join(f"avg({name}) FILTER (status = 'ok') AS {name}" for name in _SIMILARITIES)
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
  string_agg(DISTINCT model_id, ' ' ORDER BY model_id) AS model_id,
  {_MEANS},
  {_PERSON}
FROM volumes GROUP BY subject, session ORDER BY subject, session NULLS FIRST
"""  # noqa: S608  # our own names


def summarise_subjects(volumes: pa.Table, section: RatingSection) -> pa.Table:
    """The subjects table without schema_version and run_id.

    Similarities to references are the means over the rated volumes, class and SIM follow from them.
    The rating is that of the median quality_score; `flag` is raised by the rating or by any volume
    that is flagged for more than being questionable: of a hundred good volumes some always are. The
    reason is that of the volume with the lowest score, a failed one first.
    """
    with duckdb.connect() as connection:
        connection.register("volumes", volumes)
        parameters = {"fail_below": section.fail_below}
        table = connection.sql(_SQL, params=parameters).to_arrow_table()
    score = table["quality_score"].to_numpy(zero_copy_only=False).astype(np.float64)
    rating = rate_scores(score, section)
    judged = np.isfinite(score)
    flag = np.asarray(table["any_flag"].to_pylist(), dtype=object)
    flag[judged & (rating != "pass")] = True
    columns = {
        **_classes(table),
        "rating": pa.array(rating, pa.string()),
        "flag": pa.array(flag, pa.bool_()),
        "flag_reason": table["worst_reason"],
    }
    table = table.drop_columns(["any_flag", "worst_reason"])
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


def _classes(table: pa.Table) -> dict[str, pa.Array]:
    """simclr_class and simclr_sim by the paper's rule, of the mean similarities."""
    s_hq, s_lq = table["simclr_s_hq"], table["simclr_s_lq"]
    is_hq = pc.greater(s_hq, s_lq)
    return {
        "simclr_class": pc.if_else(is_hq, "HQ", "LQ"),
        "simclr_sim": pc.if_else(is_hq, s_hq, pc.subtract(1.0, s_lq)),
    }

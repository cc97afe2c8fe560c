"""What the page says of a cohort, as aggregates whose size does not grow with the cohort."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pyarrow.parquet as pq

from mriqa.rating.rate import METHOD_SCORES
from mriqa.report.connection import quoted, records, selected

STATUSES = ("ok", "failed", "excluded", "no_reference")
RATINGS = ("pass", "questionable", "fail")
BINS = 20
MAX_CONTRASTS = 12
MAX_SITES = 12
MAX_SHARDS = 200
MAX_FAILURES = 200
MAX_PROBLEMS = 50
MAX_TEXT = 400
OTHERS = "(others)"
_JSON = ("settings", "library_versions", "methods")

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """The rated volumes of one contrast at one site (`site` None: all sites together).

    `counts` are by status and rating, `flagged`, `rows`, and `by_threshold`: rated by thresholds on
    quality_score, not by the hierarchy. `bins` holds counts per rating of `BINS` equal intervals of
    quality_score from 0 to 1; `quantiles` the 5, 25, 50, 75 and 95% points, None without
    rated volumes.
    """

    contrast: str
    site: str | None
    counts: Mapping[str, int]
    bins: Mapping[str, tuple[int, ...]]
    quantiles: tuple[float, ...] | None


@dataclass(frozen=True)
class Summary:
    """All numbers of the page.

    `series`: series by status, and `indexed`. `shards`: rows of shard, indexed, the statuses;
    `unbalanced` those among all shards where the sum is not what was indexed.
    `volumes`: volumes by status and rating, and `flagged`. `reasons`, `failures`: counted causes.
    """

    series: Mapping[str, int]
    shards: Sequence[Row]
    n_shards: int
    unbalanced: Sequence[Row]
    volumes: Mapping[str, int]
    groups: Sequence[Group]
    overall: Sequence[Group]
    reasons: Sequence[Row]
    failures: Sequence[Row]
    failed_rows: Sequence[Row]
    n_failed_rows: int
    problems: Sequence[Row]
    n_problems: int
    run: Row
    has_cohort: bool

    @property
    def methods(self) -> Mapping[str, str]:
        """Learned methods behind the tables, and the model_id of each."""
        return {str(name): str(named) for name, named in self.run.get("methods", {}).items()}

    @property
    def raters(self) -> Mapping[str, str]:
        """Those of `methods` whose score or rating counts; others predict."""
        return {name: named for name, named in self.methods.items() if name in METHOD_SCORES}

    @property
    def thresholds(self) -> tuple[float | None, float | None]:
        """quality_score is `fail` below the first, `pass` from the second on; None: not known."""
        settings = self.run.get("settings", {})
        low, high = settings.get("fail_below"), settings.get("pass_from")
        return (
            float(low) if isinstance(low, int | float) else None,
            float(high) if isinstance(high, int | float) else None,
        )


def summarise(connection: duckdb.DuckDBPyConnection, results: Path) -> Summary:
    """Aggregate the tables behind `connection`; reads each column a bounded number of times."""
    has_cohort = any(row["name"] == "cohort" for row in records(connection, "SHOW TABLES"))
    shards = _shards(connection, has_cohort)
    keys = ("indexed", *STATUSES)
    _make_cells(connection)
    problems, n_problems = _index_problems(results)
    return Summary(
        series={key: sum(row[key] for row in shards) for key in keys},
        shards=shards[:MAX_SHARDS],
        n_shards=len(shards),
        unbalanced=[row for row in shards if row["indexed"] != sum(row[key] for key in STATUSES)],
        volumes=_volumes(connection),
        groups=_groups(connection, "site"),
        overall=_groups(connection, "NULL"),
        reasons=_reasons(connection),
        failures=_failures(connection),
        failed_rows=_failed_rows(connection),
        n_failed_rows=_one(connection, "SELECT count(*) FROM failures"),
        problems=problems,
        n_problems=n_problems,
        run=_run(connection),
        has_cohort=has_cohort,
    )


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    found = connection.execute(sql).fetchone()
    return int(found[0]) if found else 0


def _shards(connection: duckdb.DuckDBPyConnection, has_cohort: bool) -> list[Row]:
    """Series by status and shard. A series counts once: as ok if any volume of it is rated."""
    indexed = (
        "SELECT shard, count(*) AS indexed FROM cohort GROUP BY shard"
        if has_cohort
        else "SELECT shard, count(DISTINCT series_id) AS indexed FROM volumes GROUP BY shard"
    )
    counts = ", ".join(f"coalesce({key}, 0)::BIGINT AS {key}" for key in ("indexed", *STATUSES))
    sums = ", ".join(f"count(*) FILTER (status = '{key}') AS {key}" for key in STATUSES)
    return records(
        connection,
        f"""
        WITH series AS (
          SELECT series_id, any_value(shard) AS shard,
            CASE WHEN bool_or(status = 'ok') THEN 'ok'
                 WHEN bool_or(status = 'no_reference') THEN 'no_reference'
                 WHEN bool_or(status = 'failed') THEN 'failed' ELSE 'excluded' END AS status
          FROM volumes GROUP BY series_id),
        found AS (SELECT shard, {sums} FROM series GROUP BY shard),
        indexed AS ({indexed})
        SELECT shard, {counts} FROM found FULL JOIN indexed USING (shard) ORDER BY shard
        """,  # noqa: S608
    )


def _volumes(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    counts = [f"count(*) FILTER (status = '{key}') AS {quoted(key)}" for key in STATUSES]
    counts += [
        f"count(*) FILTER (status = 'ok' AND rating = '{key}') AS {quoted(key)}" for key in RATINGS
    ]
    row = records(
        connection,
        f"SELECT {', '.join(counts)}, count(*) FILTER (flag) AS flagged FROM volumes",  # noqa: S608
    )[0]
    return {key: int(value) for key, value in row.items()}


def _make_cells(connection: duckdb.DuckDBPyConnection) -> None:
    """`cells`: contrast, site (rare ones as `(others)`), and what a histogram needs of a volume."""
    names = ("contrast", "site", "status", "rating", "flag", "quality_score", "rating_source")
    columns = selected(connection, names)
    connection.execute(
        f"""
        CREATE TEMP TABLE cells AS
        WITH plain AS (
          SELECT contrast, coalesce(site, '(no site)') AS site, status, rating, flag,
                 quality_score AS score, rating_source IS DISTINCT FROM 'hierarchy' AS by_score
          FROM (SELECT {columns} FROM volumes)),
        contrasts AS (SELECT contrast FROM plain GROUP BY contrast
                      ORDER BY count(*) DESC, contrast LIMIT {MAX_CONTRASTS}),
        sites AS (SELECT site FROM plain GROUP BY site
                  ORDER BY count(*) DESC, site LIMIT {MAX_SITES})
        SELECT CASE WHEN contrast IN (FROM contrasts) THEN contrast ELSE '{OTHERS}' END AS contrast,
               CASE WHEN site IN (FROM sites) THEN site ELSE '{OTHERS}' END AS site,
               status, CASE WHEN status = 'ok' THEN rating END AS rating, flag, by_score,
               CASE WHEN status = 'ok' THEN score END AS score
        FROM plain
        """  # noqa: S608
    )


def _groups(connection: duckdb.DuckDBPyConnection, site: str) -> list[Group]:
    counts = ", ".join(
        [f"count(*) FILTER (status = '{key}') AS {quoted(key)}" for key in STATUSES]
        + [f"count(*) FILTER (rating = '{key}') AS {quoted(key)}" for key in RATINGS]
        + ["count(*) FILTER (flag) AS flagged", "count(*) AS rows"]
        + ["count(*) FILTER (status = 'ok' AND by_score) AS by_threshold"]
    )
    rows = records(
        connection,
        f"""
        SELECT contrast, {site} AS site, {counts},
               quantile_cont(score, [0.05, 0.25, 0.5, 0.75, 0.95]) AS quantiles
        FROM cells GROUP BY ALL
        """,  # noqa: S608
    )
    bins = _bins(connection, site)
    rows.sort(key=lambda row: [_last_others(row[key]) for key in ("contrast", "site")])
    return [_group(row, bins) for row in rows]


def _last_others(name: str | None) -> tuple[bool, str]:
    return name == OTHERS, name or ""


def _bins(connection: duckdb.DuckDBPyConnection, site: str) -> dict[tuple[Any, ...], list[int]]:
    found: dict[tuple[Any, ...], list[int]] = {}
    for row in records(
        connection,
        f"""
        SELECT contrast, {site} AS site, rating, count(*) AS n,
               least({BINS - 1}, greatest(0, floor(score * {BINS})))::INTEGER AS bin
        FROM cells WHERE score IS NOT NULL GROUP BY ALL
        """,  # noqa: S608
    ):
        key = (row["contrast"], row["site"], row["rating"])
        found.setdefault(key, [0] * BINS)[row["bin"]] += row["n"]
    return found


def _group(row: Row, bins: Mapping[tuple[Any, ...], list[int]]) -> Group:
    contrast, site, quantiles = row.pop("contrast"), row.pop("site"), row.pop("quantiles")
    return Group(
        contrast=contrast,
        site=site,
        counts=row,
        bins={key: tuple(bins.get((contrast, site, key), [0] * BINS)) for key in RATINGS},
        quantiles=tuple(quantiles) if quantiles else None,
    )


def _reasons(connection: duckdb.DuckDBPyConnection) -> list[Row]:
    return records(
        connection,
        "SELECT flag_reason AS name, count(*) AS n FROM volumes "
        "WHERE flag AND flag_reason IS NOT NULL GROUP BY ALL ORDER BY n DESC, name LIMIT 50",
    )


def _failures(connection: duckdb.DuckDBPyConnection) -> list[Row]:
    return records(
        connection,
        "SELECT error_code AS name, count(*) AS n, count(DISTINCT series_id) AS series, "
        "count(DISTINCT subject) AS subjects FROM failures GROUP BY ALL ORDER BY n DESC, name "
        "LIMIT 100",
    )


def _failed_rows(connection: duckdb.DuckDBPyConnection) -> list[Row]:
    return records(
        connection,
        f"SELECT series_id, volume, error_code, left(error_message, {MAX_TEXT}) AS error_message "  # noqa: S608
        f"FROM failures ORDER BY series_id, volume LIMIT {MAX_FAILURES}",
    )


def _index_problems(results: Path) -> tuple[list[Row], int]:
    """The first rows of the sources that became no series, and how many there are."""
    path = results / "index_problems.parquet"
    if not path.is_file():
        return [], 0
    table = pq.read_table(path)
    return table.slice(0, MAX_PROBLEMS).to_pylist(), table.num_rows


def _run(connection: duckdb.DuckDBPyConnection) -> Row:
    """The run that wrote the tables, its JSON columns parsed."""
    rows = records(
        connection,
        "SELECT * REPLACE (strftime(finished, '%Y-%m-%d %H:%M UTC') AS finished) "
        # by its id first: the clock may have been set back since another run
        "FROM runs ORDER BY run_id IN (SELECT run_id FROM volumes) DESC, runs.finished DESC "
        "LIMIT 1",
    )
    if not rows:
        return {}
    run = rows[0]
    return {**run, **{key: _parsed(run.get(key)) for key in _JSON}}


def _parsed(text: str | None) -> Row:
    try:
        value = json.loads(text or "{}")
    except json.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}

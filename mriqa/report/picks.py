"""Which volumes are shown as pictures, and which of their metrics stand out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from mriqa.rating.rate import RATED_METRICS
from mriqa.rating.robust import Z_LIMIT, RatedMetric, adverse_z
from mriqa.report.connection import quoted, records, selected
from mriqa.report.likeness import COLUMNS as LIKENESS_COLUMNS
from mriqa.report.likeness import Likeness
from mriqa.report.networks import COLUMNS as NETWORKS_COLUMNS
from mriqa.report.networks import Networks
from mriqa.report.predictions import Gap

WORST_METRICS = 3
DROPOUT = "body_slice_dropout"
MIN_Z = 1.0
"""Metrics nearer to their stratum's median than this are not worth a line."""


@dataclass(frozen=True)
class Oddity:
    """A metric of a volume that is on the bad side: value, median of its stratum, adverse z ≥ 0.

    `capped`: z is at its limit, and may be far beyond it.
    """

    name: str
    value: float
    median: float
    z: float
    capped: bool


@dataclass(frozen=True)
class Pick:
    """A volume to be shown; `place` counts from 1 in its list.

    `darkest_slice` lacks most signal against its neighbours; None where slices were not measured.
    `likeness` is None where SimCLR has not rated it, `networks` where the hierarchy has not, `gap`
    where it is not shown for HyS-Net's prediction.
    """

    place: int
    series_id: str
    volume: int
    shard: int
    contrast: str
    site: str | None
    stratum: str | None
    status: str
    quality_score: float | None
    rating: str | None
    flag_reason: str | None
    rating_source: str | None = None
    metrics_score: float | None = None
    likeness: Likeness | None = None
    oddities: tuple[Oddity, ...] = ()
    darkest_slice: int | None = None
    networks: Networks | None = None
    gap: Gap | None = None

    @property
    def telling_slice(self) -> int | None:
        """The slice that must be seen: the worst to the hierarchy, else the darkest."""
        if self.networks is not None and self.networks.worst_slice is not None:
            return self.networks.worst_slice
        return self.darkest_slice


_COLUMNS = (
    "series_id", "volume", "shard", "contrast", "site", "stratum", "status", "quality_score",
    "rating", "flag_reason", "rating_source", "metrics_score",
)  # fmt: skip


def pick_worst(connection: duckdb.DuckDBPyConnection, count: int) -> list[Pick]:
    """The lowest-scoring volume of each of the `count` lowest-scoring series, worst first."""
    rows = records(
        connection,
        f"""
        WITH lowest AS (
          SELECT series_id, min(quality_score) AS quality_score, shard
          FROM volumes WHERE status = 'ok' AND quality_score IS NOT NULL GROUP BY series_id, shard
          ORDER BY quality_score, series_id LIMIT ?)
        SELECT {_columns(connection)} FROM volumes SEMI JOIN lowest USING (series_id, quality_score)
        WHERE status = 'ok'
        QUALIFY row_number() OVER (PARTITION BY series_id ORDER BY volume) = 1
        ORDER BY quality_score, series_id
        """,  # noqa: S608
        [count],
    )
    return _picks(connection, rows)


def pick_checked(
    connection: duckdb.DuckDBPyConnection, count: int, fail_below: float
) -> list[Pick]:
    """Rated `pass`, though a check of the metrics failed: of each series the lowest volume by
    metrics_score, the lowest `count` of these first."""
    rows = records(
        connection,
        f"""
        SELECT {_columns(connection)} FROM volumes
        WHERE status = 'ok' AND rating = 'pass' AND flag AND metrics_score < ?
        QUALIFY row_number() OVER (PARTITION BY series_id ORDER BY metrics_score, volume) = 1
        ORDER BY metrics_score, series_id LIMIT ?
        """,  # noqa: S608
        [fail_below, count],
    )
    return _picks(connection, rows)


def pick_random(connection: duckdb.DuckDBPyConnection, count: int, seed: int) -> list[Pick]:
    """`count` measured volumes drawn by a hash of seed, series and volume."""
    rows = records(
        connection,
        f"""
        SELECT {_columns(connection)} FROM volumes
        WHERE status IN ('ok', 'no_reference') AND volume IS NOT NULL
        ORDER BY md5(concat_ws('/', ?::VARCHAR, series_id, volume)) LIMIT ?
        """,  # noqa: S608
        [seed, count],
    )
    return _picks(connection, rows)


def pick_gaps(connection: duckdb.DuckDBPyConnection, gaps: Sequence[Gap]) -> list[Pick]:
    """The volumes of `gaps`, in their order."""
    rows = records(
        connection,
        f"""
        SELECT {_columns(connection)} FROM volumes
        SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS series_id, unnest(?::INTEGER[]) AS volume)
          USING (series_id, volume)
        """,  # noqa: S608
        [[one.series_id for one in gaps], [one.volume for one in gaps]],
    )
    found = {(row["series_id"], row["volume"]): row for row in rows}
    picks = _picks(connection, [found[one.key] for one in gaps])
    return [replace(pick, gap=gap) for pick, gap in zip(picks, gaps, strict=True)]


def _columns(connection: duckdb.DuckDBPyConnection) -> str:
    return selected(connection, (*_COLUMNS, *LIKENESS_COLUMNS, *NETWORKS_COLUMNS))


def _picks(connection: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> list[Pick]:
    odd = oddities(connection, [row for row in rows if row["status"] == "ok"])
    darkest = darkest_slices(connection, [row["series_id"] for row in rows])
    keys = [(row["series_id"], row["volume"]) for row in rows]
    return [
        Pick(
            **{name: row[name] for name in _COLUMNS},
            place=place,
            likeness=Likeness.of_row(row),
            networks=Networks.of_row(row),
            oddities=odd.get(key, ()),
            darkest_slice=darkest.get(key),
        )
        for place, (row, key) in enumerate(zip(rows, keys, strict=True), start=1)
    ]


def darkest_slices(
    connection: duckdb.DuckDBPyConnection, series_ids: Sequence[str]
) -> dict[tuple[str, int], int]:
    """By series and volume the slice of the largest `body_slice_dropout`, where there is one."""
    views = {row["name"] for row in records(connection, "SHOW TABLES")}
    if "slices" not in views or not series_ids:
        return {}
    if not any(row["column_name"] == DROPOUT for row in records(connection, "DESCRIBE slices")):
        return {}
    rows = records(
        connection,
        f"SELECT series_id, volume, arg_max(slice, {DROPOUT}) AS darkest FROM slices "  # noqa: S608
        "WHERE series_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY ALL",
        [list(series_ids)],
    )
    return {
        (row["series_id"], row["volume"]): row["darkest"]
        for row in rows
        if row["darkest"] is not None
    }


def oddities(
    connection: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, int], tuple[Oddity, ...]]:
    """The most adverse metrics of `rows` (series_id, volume, stratum), worst first.

    The z-scores are those that quality_score is made of (`mriqa.rating.robust`); so only rated
    volumes have any.
    """
    available = {row["column_name"] for row in records(connection, "DESCRIBE volumes")}
    metrics = tuple(metric for metric in RATED_METRICS if _needed(metric) <= available)
    strata = sorted({row["stratum"] for row in rows if row["stratum"] is not None})
    if not metrics or not strata:
        return {}
    wanted = {(row["series_id"], row["volume"]) for row in rows}
    found: dict[tuple[str, int], tuple[Oddity, ...]] = {}
    for stratum in strata:
        found |= _oddities_of(connection, stratum, metrics, wanted)
    return found


def _oddities_of(
    connection: duckdb.DuckDBPyConnection,
    stratum: str,
    metrics: tuple[RatedMetric, ...],
    wanted: set[tuple[str, int]],
) -> dict[tuple[str, int], tuple[Oddity, ...]]:
    columns = sorted(set().union(*(_needed(metric) for metric in metrics)))
    names = ", ".join(quoted(column) for column in columns)
    table = connection.sql(
        f"SELECT series_id, volume, {names} FROM volumes "  # noqa: S608
        "WHERE stratum = ? AND volume IS NOT NULL",
        params=[stratum],
    ).to_arrow_table()
    keys = list(zip(table["series_id"].to_pylist(), table["volume"].to_pylist(), strict=True))
    values = {column: np.asarray(table[column].to_numpy(), dtype=np.float64) for column in columns}
    adverse = adverse_z(values, metrics, [np.arange(len(keys))])
    medians = {name: float(np.nanmedian(column)) for name, column in values.items() if _any(column)}
    return {
        key: _worst(row, adverse[row], values, medians, metrics)
        for row, key in enumerate(keys)
        if key in wanted
    }


def _needed(metric: RatedMetric) -> set[str]:
    """What the z-score of a metric is computed from."""
    return {metric.name} | ({metric.stands_in_for} if metric.stands_in_for else set())


def _any(column: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(column).any())


def _worst(
    row: int,
    z: NDArray[np.float64],
    values: Mapping[str, NDArray[np.float64]],
    medians: Mapping[str, float],
    metrics: tuple[RatedMetric, ...],
) -> tuple[Oddity, ...]:
    order = np.argsort(-np.nan_to_num(z, nan=-1.0), kind="stable")[:WORST_METRICS]
    return tuple(
        Oddity(name, float(values[name][row]), medians[name], float(z[index]), z[index] >= Z_LIMIT)
        for index, name in ((int(index), metrics[int(index)].name) for index in order)
        if z[index] >= MIN_Z
    )

"""HyS-Net's predictions beside what was measured: accuracy, points of a chart, largest gaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

import duckdb

from mriqa.methods.hysnet.target_sources import metric_names
from mriqa.report.connection import quoted, records, selected
from mriqa.report.html import Html, element
from mriqa.report.hysnet import Accuracy, HysnetModel
from mriqa.report.parts import rounded, signed_rounded
from mriqa.report.summary import Row

LEARNED = "learned"
KINDS = {
    "test": "test subjects",
    "validation": "validation subjects",
    "other": "others that it has not learned from",
    LEARNED: "subjects that it has learned from",
}
"""Subjects by what the model knows of them; all but the last it has not seen."""
UNSEEN = tuple(kind for kind in KINDS if kind != LEARNED)
ALL_UNSEEN = "unseen"
MAX_POINTS = 400
"""Of each kind in the chart; drawn by a hash."""
MAX_GAPS = 20
LEAST = 3
"""Volumes that a correlation is of, as in metrics.json."""
USUAL = (0.05, 0.95)
"""Of all numbers: a chart shows them and as much again at either side, if there is anything. One
odd number must not squeeze the rest."""


class Point(NamedTuple):
    """A volume in the chart; `spread` is the standard deviation over its patches, if known."""

    measured: float
    predicted: float
    spread: float | None


@dataclass(frozen=True)
class Gap:
    """A volume whose prediction is far from what was measured; of `kind`, see KINDS."""

    series_id: str
    volume: int
    kind: str
    target: str
    measured: float
    predicted: float
    spread: float | None
    rating: str | None

    @property
    def key(self) -> tuple[str, int]:
        """Series and volume."""
        return self.series_id, self.volume

    @property
    def gap(self) -> float:
        """Predicted − measured."""
        return self.predicted - self.measured

    def told(self) -> Html:
        """In a sentence below its picture."""
        spread = "" if self.spread is None else f" ± {rounded(self.spread)}"
        return element(
            "p",
            f"{self.target} measured {rounded(self.measured)}, predicted "
            f"{rounded(self.predicted)}{spread} ({signed_rounded(self.gap)}); of "
            f"{KINDS[self.kind]}",
            class_="networks",
        )


@dataclass(frozen=True)
class Predictions:
    """`n_predicted` volumes have a prediction of `target`, `n_compared` a measured number, too.

    `is_column`: whether the target is a column of the tables; without it there is nothing below.
    `accuracy` is by kind, and of ALL_UNSEEN; `points` by kind, at most MAX_POINTS of each;
    `limits` is what a chart shows of either axis, beyond which `n_beyond` volumes lie. `gaps`: of
    each series its largest, the largest first.
    """

    target: str | None
    n_predicted: int
    is_column: bool
    n_compared: int
    accuracy: Mapping[str, Accuracy]
    points: Mapping[str, Sequence[Point]]
    limits: tuple[float, float] | None
    n_beyond: int
    gaps: Sequence[Gap]


def gather_predictions(connection: duckdb.DuckDBPyConnection, model: HysnetModel) -> Predictions:
    """From the volumes of the tables; leaves the table `predicted` behind."""
    target, n_predicted = _predicted(connection)
    target = target or model.target
    is_column = (
        target is not None and not model.from_table and _is_measured(connection, target)
    )  # fmt: skip
    if target is None or not is_column:
        return Predictions(target, n_predicted, False, 0, {}, {}, None, 0, ())
    _compare(connection, target, model.subjects)
    accuracy = _accuracy(connection, "kind")
    whole = _accuracy(connection, f"'{ALL_UNSEEN}'", f"WHERE kind <> '{LEARNED}'")
    limits = _limits(connection)
    return Predictions(
        target, n_predicted, True, sum(one.n for one in accuracy.values()), accuracy | whole,
        _points(connection), limits, _n_beyond(connection, limits), _gaps(connection, target),
    )  # fmt: skip


def _predicted(connection: duckdb.DuckDBPyConnection) -> tuple[str | None, int]:
    """What is predicted, and of how many volumes."""
    names = selected(connection, ("hysnet_target", "hysnet_prediction"))
    (row,) = records(
        connection,
        f"SELECT max(hysnet_target) AS target, count(hysnet_prediction) AS n "  # noqa: S608
        f"FROM (SELECT {names} FROM volumes) WHERE hysnet_prediction IS NOT NULL",
    )
    return row["target"], row["n"]


def _is_measured(connection: duckdb.DuckDBPyConnection, target: str) -> bool:
    there = {row["column_name"] for row in records(connection, "DESCRIBE volumes")}
    return target in there and target in metric_names()


def _compare(
    connection: duckdb.DuckDBPyConnection, target: str, subjects: frozenset[str] | None
) -> None:
    """`predicted`: volumes with both numbers. Without `subjects`, those of the training split are
    taken for those that it has learned from."""
    names = ("hysnet_prediction", "hysnet_spread", "split", "rating")
    is_learned = "split = 'train'"
    if subjects is not None:
        connection.execute("CREATE OR REPLACE TEMP TABLE learned (subject VARCHAR)")
        connection.execute("INSERT INTO learned SELECT unnest(?::VARCHAR[])", [sorted(subjects)])
        is_learned = "subject IN (FROM learned)"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE predicted AS
        SELECT series_id, volume, rating, measured, hysnet_prediction AS predicted,
               hysnet_spread AS spread,
               CASE WHEN {is_learned} THEN '{LEARNED}'
                    WHEN split IN ('test', 'validation') THEN split ELSE 'other' END AS kind
        FROM (SELECT series_id, volume, subject, {quoted(target)} AS measured,
                     {selected(connection, names)} FROM volumes)
        WHERE measured IS NOT NULL AND hysnet_prediction IS NOT NULL
        """  # noqa: S608
    )


def _accuracy(
    connection: duckdb.DuckDBPyConnection, by: str, where: str = ""
) -> dict[str, Accuracy]:
    """By the SQL expression `by`. Equal values share the mean of their ranks."""
    rows = records(
        connection,
        f"""
        WITH ranked AS (
          SELECT {by} AS name, measured, predicted,
            rank() OVER (PARTITION BY {by} ORDER BY measured)
              + count(*) OVER (PARTITION BY {by}, measured) / 2 AS m,
            rank() OVER (PARTITION BY {by} ORDER BY predicted)
              + count(*) OVER (PARTITION BY {by}, predicted) / 2 AS p
          FROM predicted {where})
        SELECT name, count(*) AS n, avg(abs(predicted - measured)) AS mae,
          count(*) >= {LEAST} AND min(measured) < max(measured)
            AND min(predicted) < max(predicted) AS is_enough,
          corr(m, p) AS srocc, corr(measured, predicted) AS plcc
        FROM ranked GROUP BY name
        """,  # noqa: S608
    )
    return {row["name"]: _accuracy_of(row) for row in rows}


def _accuracy_of(row: Row) -> Accuracy:
    srocc, plcc = row["srocc"], row["plcc"]
    if not row["is_enough"] or not isfinite(srocc) or not isfinite(plcc):
        srocc = plcc = None
    return Accuracy(row["n"], srocc, plcc, row["mae"])


def _points(connection: duckdb.DuckDBPyConnection) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for row in records(
        connection,
        f"""
        SELECT kind, measured, predicted, spread FROM predicted
        QUALIFY row_number() OVER (PARTITION BY kind ORDER BY md5(concat_ws('/', series_id,
          volume))) <= {MAX_POINTS}
        ORDER BY kind, measured, predicted, series_id, volume
        """,  # noqa: S608
    ):
        point = Point(row["measured"], row["predicted"], row["spread"])
        found.setdefault(row["kind"], []).append(point)
    return found


def _limits(connection: duckdb.DuckDBPyConnection) -> tuple[float, float] | None:
    """From the least to the largest number, but no further than USUAL says."""
    (row,) = records(
        connection,
        f"""
        SELECT quantile_cont(value, [{USUAL[0]}, {USUAL[1]}]) AS usual, min(value) AS low,
               max(value) AS high
        FROM (SELECT measured AS value FROM predicted UNION ALL SELECT predicted FROM predicted)
        """,  # noqa: S608
    )
    if not row["usual"]:
        return None
    low, high = row["usual"]
    return max(row["low"], 2 * low - high), min(row["high"], 2 * high - low)


def _n_beyond(connection: duckdb.DuckDBPyConnection, limits: tuple[float, float] | None) -> int:
    if limits is None:
        return 0
    (row,) = records(
        connection,
        "SELECT count(*) AS n FROM predicted "
        "WHERE least(measured, predicted) < ? OR greatest(measured, predicted) > ?",
        list(limits),
    )
    return int(row["n"])


def _gaps(connection: duckdb.DuckDBPyConnection, target: str) -> list[Gap]:
    rows: list[Row] = records(
        connection,
        f"""
        SELECT series_id, volume, kind, measured, predicted, spread, rating FROM predicted
        QUALIFY row_number() OVER (
          PARTITION BY series_id ORDER BY abs(predicted - measured) DESC, volume) = 1
        ORDER BY abs(predicted - measured) DESC, series_id LIMIT {MAX_GAPS}
        """,  # noqa: S608
    )
    return [Gap(target=target, **row) for row in rows]

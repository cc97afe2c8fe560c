"""What SimCLR says of one volume and of each stratum; any method's ratings beside the metrics'.

A method is a rating_source here: `simclr` or `hierarchy`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from mriqa.report.connection import records, selected
from mriqa.report.learned import METHOD

UNJUDGED = "not judged"
MAX_STRATA = 40
MAX_DISAGREEMENTS = 10
MAX_POOR = 40
MARGIN_LIMIT, MARGIN_BINS = 1.0, 160
"""Whitened margins are counted in equal bins from -MARGIN_LIMIT to MARGIN_LIMIT."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Likeness:
    """SimCLR's opinion of one volume; see `mriqa.methods.simclr.columns` for the numbers.

    `nearest_hq` is `series_id volume`, `nearest_lq` `series_id volume family severity`.
    """

    quality_score: float
    quality_sd: float | None
    s_hq: float | None
    s_lq: float | None
    margin: float | None
    margin_whitened: float | None
    matching: str | None
    nearest_hq: str | None
    nearest_lq: str | None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Likeness | None":
        """From a row with COLUMNS; None of a volume that SimCLR has not rated."""
        if row["simclr_quality_score"] is None:
            return None
        return cls(*(row[name] for name in COLUMNS))

    @property
    def references(self) -> tuple[str, ...]:
        """The references to be shown beside it."""
        return tuple(name for name in (self.nearest_hq, self.nearest_lq) if name)


COLUMNS = (
    "simclr_quality_score", "simclr_quality_sd", "simclr_s_hq", "simclr_s_lq", "simclr_margin",
    "simclr_margin_whitened", "simclr_matching", "simclr_nearest_hq", "simclr_nearest_lq",
)  # fmt: skip


def name_parts(name: str, *, is_simulated: bool) -> tuple[str, str]:
    """Series id of a reference's name, and the rest in words (a series id may hold blanks)."""
    if not is_simulated:
        series_id, _, volume = name.rpartition(" ")
        return series_id or volume, f"volume {volume}"
    parts = name.rsplit(" ", 3)
    if len(parts) < 4:
        return name, ""
    series_id, volume, family, severity = parts
    return series_id, f"volume {volume} with {family.replace('_', ' ')}, severity {severity}"


@dataclass(frozen=True)
class Stratum:
    """The measured volumes of one stratum: by whom they were rated, and SimCLR's margins.

    A volume that both have rated counts for SimCLR and for the hierarchy; for the metrics and as
    unrated count those with no rating but theirs, or none. `margins` has MARGIN_BINS counts; `span`
    is the 1 and 99% points, None without any margin.
    """

    name: str
    n_volumes: int
    n_simclr: int
    n_metrics: int
    n_unrated: int
    margins: tuple[int, ...]
    span: tuple[float, float] | None
    n_hierarchy: int = 0


@dataclass(frozen=True)
class Opinions:
    """Who rated how many volumes, and how the ratings of `method` compare with the metrics'.

    `crossed` counts the volumes that `method` has rated by (rating, rating by metrics_score), the
    latter UNJUDGED without one; `disagreements` are rows of volumes, those of the largest
    difference between the scores. `strata`: those of most volumes first, at most MAX_STRATA of
    `n_strata`.
    """

    method: str
    sources: Mapping[str | None, int]
    crossed: Mapping[tuple[str, str], int]
    disagreements: Sequence[Row]
    strata: Sequence[Stratum]
    n_strata: int

    @property
    def n_simclr(self) -> int:
        """Volumes that SimCLR has rated."""
        return self.sources.get("simclr", 0)


def gather_opinions(
    connection: duckdb.DuckDBPyConnection,
    fail_below: float | None,
    pass_from: float | None,
    method: str = METHOD,
) -> Opinions:
    """From the volumes of the tables; without thresholds nothing is crossed.

    Leaves the measured volumes behind as the table `judged`.
    """
    own = (
        "rating_source", "metrics_score", "simclr_margin_whitened", "simclr_quality_score",
        "hierarchy_rating",
    )  # fmt: skip
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE judged AS
        SELECT series_id, volume, stratum, quality_score, rating, {selected(connection, own)}
        FROM volumes WHERE status IN ('ok', 'no_reference') AND volume IS NOT NULL
        """  # noqa: S608
    )
    sources = records(
        connection, "SELECT rating_source AS name, count(*) AS n FROM judged GROUP BY ALL"
    )
    has_limits = fail_below is not None and pass_from is not None
    strata = _strata(connection)
    return Opinions(
        method=method,
        sources={row["name"]: row["n"] for row in sources},
        crossed=_crossed(connection, [pass_from, fail_below], method) if has_limits else {},
        disagreements=_disagreements(connection, method),
        strata=strata[:MAX_STRATA],
        n_strata=len(strata),
    )


def crossed_methods(
    connection: duckdb.DuckDBPyConnection, fail_below: float | None, pass_from: float | None
) -> dict[tuple[str, str], int]:
    """Volumes that both learned methods have judged, by (the hierarchy's rating, SimCLR's).

    SimCLR's is that of its score. Needs the table `judged`; without thresholds there are none.
    """
    if fail_below is None or pass_from is None:
        return {}
    rows = records(
        connection,
        """
        SELECT hierarchy_rating AS own, CASE WHEN simclr_quality_score >= ? THEN 'pass'
               WHEN simclr_quality_score < ? THEN 'fail' ELSE 'questionable' END AS other,
               count(*) AS n
        FROM judged WHERE hierarchy_rating IS NOT NULL AND simclr_quality_score IS NOT NULL
        GROUP BY ALL
        """,
        [pass_from, fail_below],
    )
    return {(row["own"], row["other"]): row["n"] for row in rows}


def _crossed(
    connection: duckdb.DuckDBPyConnection, limits: list[float | None], method: str
) -> dict[tuple[str, str], int]:
    rows = records(
        connection,
        f"""
        SELECT rating, CASE WHEN metrics_score >= ? THEN 'pass' WHEN metrics_score < ? THEN 'fail'
               WHEN metrics_score IS NULL THEN '{UNJUDGED}' ELSE 'questionable' END AS other,
               count(*) AS n
        FROM judged WHERE rating_source = ? AND rating IS NOT NULL GROUP BY ALL
        """,  # noqa: S608
        [*limits, method],
    )
    return {(row["rating"], row["other"]): row["n"] for row in rows}


def _disagreements(connection: duckdb.DuckDBPyConnection, method: str) -> list[Row]:
    return records(
        connection,
        """
        SELECT series_id, volume, quality_score, metrics_score, rating FROM judged
        WHERE rating_source = ? AND metrics_score IS NOT NULL
        ORDER BY abs(quality_score - metrics_score) DESC, series_id, volume LIMIT ?
        """,
        [method, MAX_DISAGREEMENTS],
    )


def _strata(connection: duckdb.DuckDBPyConnection) -> list[Stratum]:
    rows = records(
        connection,
        """
        SELECT coalesce(stratum, '-') AS name, count(*) AS n_volumes,
               count(*) FILTER (simclr_quality_score IS NOT NULL) AS n_simclr,
               count(*) FILTER (hierarchy_rating IS NOT NULL) AS n_hierarchy,
               count(*) FILTER (rating_source = 'metrics') AS n_metrics,
               count(*) FILTER (rating_source IS NULL) AS n_unrated,
               quantile_cont(simclr_margin_whitened, [0.01, 0.99]) AS span
        FROM judged GROUP BY ALL ORDER BY n_volumes DESC, name
        """,
    )
    bins = _margin_bins(connection, [row["name"] for row in rows[:MAX_STRATA]])
    empty = (0,) * MARGIN_BINS
    return [
        Stratum(
            **{**row, "span": tuple(row["span"]) if row["span"] else None},
            margins=tuple(bins.get(row["name"], empty)),
        )
        for row in rows
    ]


def _margin_bins(
    connection: duckdb.DuckDBPyConnection, strata: Sequence[str]
) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in records(
        connection,
        f"""
        SELECT coalesce(stratum, '-') AS name, count(*) AS n, least({MARGIN_BINS - 1}, greatest(0,
          floor((simclr_margin_whitened + {MARGIN_LIMIT}) * {MARGIN_BINS / (2 * MARGIN_LIMIT)})
        ))::INTEGER AS bin
        FROM judged
        WHERE simclr_margin_whitened IS NOT NULL AND name IN (SELECT unnest(?::VARCHAR[]))
        GROUP BY ALL
        """,  # noqa: S608
        [list(strata)],
    ):
        found.setdefault(row["name"], [0] * MARGIN_BINS)[row["bin"]] += row["n"]
    return found


def poor_references(
    connection: duckdb.DuckDBPyConnection, volumes: Sequence[tuple[str, int]]
) -> list[Row]:
    """Those of `volumes` (series_id, volume) that are rated, but not `pass`, worst first."""
    return records(
        connection,
        """
        SELECT series_id, volume, quality_score, rating FROM judged
        SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS series_id, unnest(?::INTEGER[]) AS volume)
          USING (series_id, volume)
        WHERE rating <> 'pass' ORDER BY quality_score, series_id, volume LIMIT ?
        """,
        [[series_id for series_id, _ in volumes], [volume for _, volume in volumes], MAX_POOR],
    )

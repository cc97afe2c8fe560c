"""Volume by slice: where in a 4D series the hierarchy finds slices that fail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from mriqa.report.connection import quoted, records, selected

MAX_MAPS = 4
P_FAIL = "hierarchy_p_fail"


@dataclass(frozen=True)
class MappedVolume:
    """A column of a map: the hierarchy's opinion of a volume, None where it has none."""

    volume: int
    b_value: float | None
    rating: str | None
    p_fail: float | None
    worst_slice: int | None
    n_slices_fail: int | None


@dataclass(frozen=True)
class SliceMap:
    """The probability of fail of each slice of a series: `p_fail` (slices, volumes), NaN where
    there is none; `volumes` in order, as many as columns."""

    series_id: str
    contrast: str
    volumes: tuple[MappedVolume, ...]
    p_fail: NDArray[np.float64]

    @property
    def failed(self) -> list[MappedVolume]:
        """Volumes that fail, the worst first."""
        failed = [one for one in self.volumes if one.rating == "fail"]
        return sorted(failed, key=lambda one: (-(one.p_fail or 0.0), one.volume))

    @property
    def n_unrated(self) -> int:
        """Volumes without a rating of the hierarchy."""
        return sum(one.rating is None for one in self.volumes)


@dataclass(frozen=True)
class SliceMaps:
    """`maps` are of the series with most failed volumes; of all 4D series with measured volumes,
    `n_rated` have a volume that the hierarchy has rated, `n_failing` one that fails."""

    maps: Sequence[SliceMap]
    n_series: int
    n_rated: int
    n_failing: int


def gather_slice_maps(connection: duckdb.DuckDBPyConnection) -> SliceMaps:
    """Of the 4D series of the tables, at most MAX_MAPS."""
    names = selected(connection, ("series_id", "contrast", "volume", "status", "hierarchy_rating"))
    rows = records(
        connection,
        f"""
        SELECT series_id, any_value(contrast) AS contrast,
               count(hierarchy_rating) AS n_rated,
               count(*) FILTER (hierarchy_rating = 'fail') AS n_failed
        FROM (SELECT {names} FROM volumes)
        WHERE volume IS NOT NULL AND status IN ('ok', 'no_reference')
        GROUP BY series_id HAVING count(*) > 1 ORDER BY n_failed DESC, series_id
        """,  # noqa: S608
    )
    failing = [row for row in rows if row["n_failed"]]
    maps = [_map(connection, row["series_id"], row["contrast"]) for row in failing[:MAX_MAPS]]
    n_rated = sum(row["n_rated"] > 0 for row in rows)
    drawn = [one for one in maps if np.isfinite(one.p_fail).any()]
    return SliceMaps(drawn, len(rows), n_rated, len(failing))


def _map(connection: duckdb.DuckDBPyConnection, series_id: str, contrast: str) -> SliceMap:
    names = ("volume", "b_value_s_per_mm2", "hierarchy_rating", P_FAIL, "hierarchy_worst_slice",
             "hierarchy_n_slices_fail", "n_slices")  # fmt: skip
    rows = records(
        connection,
        f"SELECT {selected(connection, names)} FROM volumes "  # noqa: S608
        "WHERE series_id = ? AND volume IS NOT NULL ORDER BY volume",
        [series_id],
    )
    volumes = tuple(MappedVolume(*(row[name] for name in names[:-1])) for row in rows)
    place = {one.volume: column for column, one in enumerate(volumes)}
    slices = _slices(connection, series_id)
    n_slices = max((row["n_slices"] or 0 for row in rows), default=0)
    n_slices = max([n_slices, *(z + 1 for _, z in slices)])
    p_fail = np.full((n_slices, len(volumes)), np.nan)
    for (volume, z), p in slices.items():
        if volume in place and z >= 0:
            p_fail[z, place[volume]] = p
    return SliceMap(series_id, contrast, volumes, p_fail)


def _slices(
    connection: duckdb.DuckDBPyConnection, series_id: str
) -> Mapping[tuple[int, int], float]:
    """Probabilities of fail by volume and slice; none where slices are not in the tables."""
    if not any(row["name"] == "slices" for row in records(connection, "SHOW TABLES")):
        return {}
    if not any(row["column_name"] == P_FAIL for row in records(connection, "DESCRIBE slices")):
        return {}
    rows = records(
        connection,
        f"SELECT volume, slice, {quoted(P_FAIL)} AS p FROM slices "  # noqa: S608
        f"WHERE series_id = ? AND {quoted(P_FAIL)} IS NOT NULL",
        [series_id],
    )
    return {(row["volume"], row["slice"]): row["p"] for row in rows}

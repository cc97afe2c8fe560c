"""The volumes that a run has rated, with what is known to be true of them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from mriqa.evaluation.truth import match, read_truth
from mriqa.files import readable
from mriqa.references.listing import HqVolume as Scan
from mriqa.references.person import Person

COLUMNS = (
    "series_id", "subject", "contrast", "volume", "status", "stratum", "split", "shard", "sex",
    "height_cm", "weight_kg", "metrics_score", "run_id",
)  # fmt: skip


COMPARED = ("ok",)
MEASURED = ("ok", "no_reference")
"""Statuses of volumes; of the latter some have nothing to be compared with."""


def rated_volumes(
    results: Path, truth: Path | None, statuses: Sequence[str] = COMPARED
) -> pd.DataFrame:
    """COLUMNS of the volumes with these statuses and a stratum, by series and volume.

    With a `truth` table only those that it names, with `true_family`, `true_severity`,
    `breath_hold`. Raises UserError if there are no tables.
    """
    path = results / "tables" / "volumes.parquet"
    with readable(path):
        table = pq.read_table(path, columns=list(COLUMNS)).to_pandas()
    table["volume"] = table["volume"].astype("float64")  # NaN: the series was not read
    rows = table if truth is None else match(read_truth(truth), table).volumes
    rows = rows[rows["status"].isin(list(statuses)) & rows["stratum"].notna()]
    return rows.sort_values(["series_id", "volume"], ignore_index=True)


def scan_of(row: Mapping[Any, Any]) -> Scan:
    """A row of `rated_volumes` as a scan."""

    def known(name: str) -> float | None:
        value = float(row[name]) if row[name] is not None else math.nan
        return value if math.isfinite(value) else None

    sex = row["sex"]
    person = Person(
        row["subject"],
        sex if isinstance(sex, str) else None,
        known("height_cm"),
        known("weight_kg"),
    )
    return Scan(row["series_id"], int(row["volume"]), row["stratum"], int(row["shard"]), person)

"""The hand-made metrics as one more encoder: what the cohort would have said of each copy."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mriqa.evaluation.items import Item
from mriqa.evaluation.one_pass import Metrics
from mriqa.evaluation.simclr.cells import Design
from mriqa.files import readable
from mriqa.rating.rate import RATED_METRICS
from mriqa.rating.robust import adverse_z, judge

Floats = NDArray[np.float64]
_NAMES = [metric.name for metric in RATED_METRICS]


def read_metrics(results: Path) -> pd.DataFrame:
    """The rated metrics of every measured volume of the cohort, with series_id, volume, stratum."""
    path = results / "tables" / "volumes.parquet"
    columns = ["series_id", "volume", "stratum", "status", *_NAMES]
    with readable(path):
        table: pd.DataFrame = pq.read_table(path, columns=columns).to_pandas()
    return table[(table["status"] == "ok") & table["stratum"].notna()].reset_index(drop=True)


def metrics_scores(
    design: Design, cohort: pd.DataFrame, measured: Mapping[Item, Metrics]
) -> Floats:
    """metrics_score (n) of the volumes of `design`; higher is better, NaN where unknown.

    Each is judged among the real volumes of its stratum, in the place of the scan it is a copy of:
    as if that one volume of the cohort had been degraded.
    """
    scores = np.full(len(design.items), np.nan)
    strata = dict(iter(cohort.groupby("stratum")))
    for row, item in enumerate(design.items):
        if item not in measured or item.scan.stratum not in strata:
            continue
        others = strata[item.scan.stratum]
        own = (others["series_id"] == item.scan.series_id) & (others["volume"] == item.scan.volume)
        others = others[~own]
        columns = {
            name: np.append(others[name].to_numpy(np.float64), _number(measured[item][name]))
            for name in _NAMES
        }
        everyone = [np.arange(len(others) + 1)]
        scores[row] = judge(adverse_z(columns, RATED_METRICS, everyone)).quality_score[-1]
    return scores


def _number(value: float | str | None) -> float:
    return float("nan") if value is None else float(value)

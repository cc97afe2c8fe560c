"""The volumes of a diffusion series side by side: which of their slices lack signal."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mriqa.errors import SeriesError
from mriqa.images.store import StoredSeries
from mriqa.metrics import body_of
from mriqa.metrics.diffusion import LEAST_VOLUMES, compare_shell

NO_SHELL = ("none", "unknown")
B0 = "b0"


@dataclass(frozen=True)
class Scored:
    """A volume's rows (the volume's first, then its slices'), its shell, and the mean intensities
    (z,) of its slices; None where it could not be measured."""

    rows: pa.Table
    shell: str
    signal: NDArray[np.float64] | None = None


def shared_body(stored: StoredSeries, shells: Sequence[str]) -> NDArray[np.bool_] | None:
    """The body of a series, by its first volume without weighting, else by its first.

    None where no shell has enough volumes to be compared, or that volume has no body.
    """
    counts = {one: shells.count(one) for one in set(shells) - set(NO_SHELL)}
    if max(counts.values(), default=0) < LEAST_VOLUMES:
        return None
    try:
        return body_of(stored.volume(shells.index(B0) if B0 in shells else 0))
    except SeriesError:
        return None


def with_outliers(volumes: Sequence[Scored]) -> list[pa.Table]:
    """The rows of the volumes of a series, with the columns of `metrics.diffusion`."""
    tables = [one.rows for one in volumes]
    members = defaultdict[str, list[int]](list)
    for place, one in enumerate(volumes):
        if one.signal is not None and one.shell not in NO_SHELL:
            members[one.shell].append(place)
    for places in members.values():
        signal = np.stack([np.asarray(volumes[place].signal) for place in places])
        shell = compare_shell(signal)
        for place, lacking, is_outlier in zip(places, shell.lacking, shell.is_outlier, strict=True):
            if np.isfinite(lacking).any():
                tables[place] = _told(tables[place], lacking, int(is_outlier.sum()))
    return tables


def _told(rows: pa.Table, lacking: NDArray[np.float64], n_outliers: int) -> pa.Table:
    values = np.concatenate([[np.nanmax(lacking)], lacking])[: rows.num_rows]
    counts = [n_outliers, *[None] * (rows.num_rows - 1)]
    for name, told in (("dwi_slice_lacking", values), ("dwi_n_outlier_slices", counts)):
        place = rows.column_names.index(name)
        field = rows.schema.field(place)
        rows = rows.set_column(place, field, pa.array(told, field.type, from_pandas=True))
    return rows

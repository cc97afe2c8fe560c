"""How a slice fits between its neighbours."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mriqa.metrics.regions import Regions

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Neighbours:
    """`consistency` and `dropout` of every slice, `(z,)`; NaN where there is no body."""

    consistency: Floats
    dropout: Floats


def compare_neighbours(regions: Regions) -> Neighbours:
    """Compare every slice with the one before and the one after it.

    consistency: mean correlation coefficient with them over the body of either, -1 to 1; higher is
    better. dropout: share of the signal that is missing against them, 1 - exp(r) with r the mean
    log ratio of the slice's mean intensity to theirs over the body of either; at most 1, near 0
    is good, negative where a slice is brighter.
    """
    pairs = [_pair(regions, z) for z in range(len(regions.mean) - 1)]
    correlation = np.array([pair[0] for pair in pairs])
    log_ratio = np.array([pair[1] for pair in pairs])
    return Neighbours(
        _mean_of_both(correlation, correlation), 1 - np.exp(_mean_of_both(log_ratio, -log_ratio))
    )


def _mean_of_both(after: Floats, before: Floats) -> Floats:
    """Mean over what each slice has with its next (`after`) and its previous one (`before`)."""
    values = np.full((2, len(after) + 1), np.nan)
    values[0, :-1], values[1, 1:] = after, before
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def _pair(regions: Regions, z: int) -> tuple[float, float]:
    """Correlation of slices z and z + 1, and log(mean of z / mean of z + 1)."""
    both = regions.body[z] | regions.body[z + 1]
    one = regions.mean[z][both].astype(np.float64)
    two = regions.mean[z + 1][both].astype(np.float64)
    if len(one) < 2 or one.sum() <= 0 or two.sum() <= 0:
        return np.nan, np.nan
    log_ratio = float(np.log(one.sum() / two.sum()))
    one -= one.mean()
    two -= two.mean()
    norm = np.sqrt((one @ one) * (two @ two))
    return (float(one @ two / norm) if norm > 0 else np.nan), log_ratio

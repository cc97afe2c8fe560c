"""Summary statistics of a tissue, weighted by its probabilities, as MRIQC computes them.

MRIQC's `summary_stats` rounds intensities to whole numbers (white matter is 1000) and
probabilities to three decimals before it weighs: so that one histogram of whole numbers holds
everything that mean, deviation and percentiles need, exactly. Kurtosis and MAD are those of the
unrounded voxels that belong to the tissue for more than half of the largest probability.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mriqa.metrics.brain.order import PIECE, Values, median, total
from mriqa.metrics.histogram import Floats

GAUSSIAN_3_4 = 0.6744897501960817
"""Upper quartile of the normal distribution: MAD / this is the deviation of normal values."""

_LARGEST_BIN = 1 << 16
"""Brighter voxels (65 times white matter) are rare, and get a bin only if there are any."""

_EXACT = 1e-10
_HALF = 0.5
_FLAT = 1e-9
"""Variance (in squared thousandths of white matter) below which all voxels count as equal."""


@dataclass(frozen=True)
class Summary:
    """Statistics of one tissue; intensities in thousandths of white matter's median.

    `mean`, `median`, `stdv` (over n), `p05`, `p95` weighted; `mad` (normalised: of normal values
    the standard deviation) about the weighted median; `k`, the excess kurtosis (0 if normal), NaN
    where all voxels are equal; `n`, the sum of probabilities.
    """

    mean: float
    median: float
    stdv: float
    mad: float
    k: float
    p05: float
    p95: float
    n: float


@dataclass(frozen=True)
class Weighed:
    """Ascending whole `values` `(m,)` and the `weights` of the voxels that have them."""

    values: Floats
    weights: Floats


def weigh(values: Values, probabilities: Values | None) -> tuple[Weighed, ...]:
    """Histograms of `values` >= 0 rounded to whole numbers, `(n,)`: one of each tissue.

    Weights are the `probabilities` `(tissues, n)`, rounded as MRIQC does: to three decimals in
    float32. Without them there is one histogram in which all voxels weigh 1.
    """
    largest = float(np.rint(values.max(initial=0)))
    places = _places(values) if largest >= _LARGEST_BIN else None
    size = int(largest) + 1 if places is None else places.size
    counts = np.zeros((1 if probabilities is None else len(probabilities), size))
    for start in range(0, values.size, PIECE):
        part = slice(start, start + PIECE)
        whole = np.rint(values[part])
        codes = whole.astype(np.int32) if places is None else np.searchsorted(places, whole)
        for tissue, count in enumerate(counts):
            weights = None if probabilities is None else np.round(probabilities[tissue, part], 3)
            count += np.bincount(codes, weights, size)
    levels = np.arange(size, dtype=np.float64) if places is None else places.astype(np.float64)
    return tuple(Weighed(levels, count) for count in counts)


def _places(values: Values) -> Values:
    """All whole numbers that occur, where a bin for each up to the largest would be too many."""
    return np.unique(np.rint(values))


def summarise(
    weighed: Weighed, core: Values, n: float, next_value: Callable[[float], float]
) -> Summary:
    """Statistics of a tissue with a positive weight.

    `core` `(m,)`, m > 0: intensities of the voxels that are mostly this tissue, not rounded; `n`:
    sum of the probabilities, not rounded; `next_value(v)`: the next whole number above v that
    occurs anywhere in the volume, or v (a percentile that falls exactly between two values is
    their mean, and MRIQC takes the second from the whole volume).
    """
    weight = weighed.weights.sum()
    mean = weighed.values @ weighed.weights / weight
    variance = (weighed.values - mean) ** 2 @ weighed.weights / weight
    p05, middle, p95 = (quantile(weighed, share, next_value) for share in (0.05, 0.5, 0.95))
    return Summary(
        float(mean),
        middle,
        float(np.sqrt(variance)),
        median(core, about=middle) / GAUSSIAN_3_4,
        kurtosis(core),
        p05,
        p95,
        n,
    )


def quantile(weighed: Weighed, share: float, next_value: Callable[[float], float]) -> float:
    """Weighted quantile as the SAS manual defines it (statsmodels' DescrStatsW.quantile)."""
    cumulative = np.cumsum(weighed.weights)
    target = share * cumulative[-1]
    index = int(np.searchsorted(cumulative, target))
    value = float(weighed.values[index])
    if abs(target - cumulative[index]) < _EXACT:
        return (value + next_value(value)) / 2
    return value


def kurtosis(values: Values) -> float:
    """Excess kurtosis m4 / m2² - 3 (biased, Fisher), 0 for normal values; NaN if all are equal."""
    mean = total(values) / values.size
    second = fourth = 0.0
    for start in range(0, values.size, PIECE):
        squares = values[start : start + PIECE] - np.float32(mean)
        squares *= squares
        second += total(squares)
        fourth += float(squares @ squares)
    if second <= _FLAT * values.size:
        return float("nan")
    return fourth * values.size / second**2 - 3


def core_of(values: Values, probability: npt.NDArray[np.float32]) -> Values:
    """Those of `values` `(n,)` whose `probability` `(n,)` exceeds half of the largest one."""
    core: Values = values[probability > np.float64(_HALF) * probability.max()]
    return core

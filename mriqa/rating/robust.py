"""quality_score from hand-made metrics: how unusual a volume is within its stratum.

Not a learned quality: a robust z-score says that a volume differs from its like in a direction that
is known to be bad. Where most of a stratum is bad, bad is usual and goes unnoticed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HALF_SCORE_AT = 4.0
"""The adverse z-score at which quality_score is one half."""
Z_LIMIT = 100.0
"""Beyond it a larger z-score says nothing more."""
MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
TAIL, TAIL_TO_SIGMA = 0.9, 1 / 1.2816
"""A quantile on the bad side, and the standard deviation of a normal distribution over it."""


@dataclass(frozen=True)
class RatedMetric:
    """How a metric enters the score: its bad direction, its flag reason, and its scale.

    `logarithmic` metrics are ratios of energies or amplitudes, whose logarithm is nearer to normal.
    One that `stands_in_for` another counts only where the other was not computed. `least_sigma` is
    the σ of a stratum in which nearly all volumes have the same value, as zeroed borders have:
    without it the one that differs would not be judged.
    """

    name: str
    lower_is_bad: bool
    reason: str
    logarithmic: bool = False
    stands_in_for: str | None = None
    least_sigma: float = 0.0


@dataclass(frozen=True)
class Judgement:
    """`quality_score` in [0,1], NaN where there is no reference; `worst`: index into the metrics.

    `worst` is the metric with the largest adverse z-score, -1 where there is none.
    """

    quality_score: Floats
    worst: NDArray[np.intp]


def badness_z(badness: Floats, least_sigma: float = 0.0) -> Floats:
    """Robust z-scores of one stratum, higher is worse; NaN stays NaN.

    (x - median) / σ, σ the larger of 1.4826 MAD and what the 90th percentile says (its distance
    from the median / 1.2816): a metric whose bad side has a long tail among good volumes, as ghosts
    have, would else call every tenth of them an outlier. The price: where more than a tenth of a
    stratum is bad in one way, that way counts less. A σ below a millionth of the median is
    rounding, not variation: `least_sigma` takes its place, or all z-scores are NaN if that is 0.
    """
    finite = np.isfinite(badness)
    if not finite.any():
        return np.full(badness.shape, np.nan)
    known = badness[finite]
    median = float(np.median(known))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(known - median)))
    tail = TAIL_TO_SIGMA * (float(np.quantile(known, TAIL)) - median)
    sigma = max(spread, tail)
    if sigma <= 1e-6 * max(abs(median), 1e-12):
        sigma = least_sigma
    if sigma == 0:
        return np.full(badness.shape, np.nan)
    return np.asarray((badness - median) / sigma, dtype=np.float64)


def adverse_z(
    metrics: Mapping[str, Floats], rated: tuple[RatedMetric, ...], strata: list[NDArray[np.intp]]
) -> Floats:
    """Adverse z-scores (n volumes, n metrics): 0 to Z_LIMIT, higher is worse, NaN: not computed.

    `strata` lists the rows of each stratum; rows in none of them stay NaN.
    """
    n_rows = len(next(iter(metrics.values())))
    out = np.full((n_rows, len(rated)), np.nan)
    for column, metric in enumerate(rated):
        badness = _badness(metrics, metric)
        for rows in strata:
            out[rows, column] = np.clip(badness_z(badness[rows], metric.least_sigma), 0, Z_LIMIT)
    return out


def _badness(metrics: Mapping[str, Floats], metric: RatedMetric) -> Floats:
    values = metrics[metric.name]
    if metric.stands_in_for is not None:
        values = np.where(np.isfinite(metrics[metric.stands_in_for]), np.nan, values)
    if metric.logarithmic:
        values = np.log(np.maximum(values, 1e-12))
    return -values if metric.lower_is_bad else values


def judge(adverse: Floats) -> Judgement:
    """quality_score = 1 / (1 + (d/4)²), d the largest adverse z-score of a row.

    Rows without any z-score get NaN: there is nothing to judge them by.
    """
    known = np.isfinite(adverse)
    judged = known.any(axis=1)
    distance = np.where(known, adverse, 0.0).max(axis=1)
    score = 1 / (1 + (distance / HALF_SCORE_AT) ** 2)
    worst = np.where(judged, np.argmax(np.where(known, adverse, -1.0), axis=1), -1)
    return Judgement(np.where(judged, score, np.nan), worst.astype(np.intp))

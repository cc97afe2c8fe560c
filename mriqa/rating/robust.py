"""quality_score from hand-made metrics: how unusual a volume is within its stratum.

Not a learned quality: a robust z-score says that a volume differs from its like in a direction that
is known to be bad. Where most of a stratum is bad, bad is usual and goes unnoticed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WORST_METRICS = 3
HALF_SCORE_AT = 4.0
"""The root mean square adverse z-score at which quality_score is one half."""
Z_LIMIT = 20.0
"""Beyond it a larger z-score says nothing more."""
MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True)
class RatedMetric:
    """How a metric enters the score: its bad direction, its flag reason, and its scale.

    `logarithmic` metrics are ratios of energies or amplitudes, whose logarithm is nearer to normal.
    """

    name: str
    lower_is_bad: bool
    reason: str
    logarithmic: bool = False


@dataclass(frozen=True)
class Judgement:
    """`quality_score` in [0,1], NaN where there is no reference; `worst`: index into the metrics.

    `worst` is the metric with the largest adverse z-score, -1 where there is none.
    """

    quality_score: Floats
    worst: NDArray[np.intp]


def robust_z(values: Floats) -> Floats:
    """(x - median) / (1.4826 MAD) over the finite values of one stratum; NaN stays NaN.

    A spread below a millionth of the median is rounding, not variation: all z-scores are NaN then.
    """
    finite = np.isfinite(values)
    if not finite.any():
        return np.full(values.shape, np.nan)
    median = np.median(values[finite])
    spread = MAD_TO_SIGMA * np.median(np.abs(values[finite] - median))
    if spread <= 1e-6 * max(abs(median), 1e-12):
        return np.full(values.shape, np.nan)
    return np.asarray((values - median) / spread, dtype=np.float64)


def adverse_z(
    metrics: Mapping[str, Floats], rated: tuple[RatedMetric, ...], strata: list[NDArray[np.intp]]
) -> Floats:
    """Adverse z-scores (n volumes, n metrics): ≥ 0, higher is worse, NaN where not computed.

    `strata` lists the rows of each stratum; rows in none of them stay NaN.
    """
    n_rows = len(next(iter(metrics.values())))
    out = np.full((n_rows, len(rated)), np.nan)
    for column, metric in enumerate(rated):
        values = metrics[metric.name]
        if metric.logarithmic:
            values = np.log(np.maximum(values, 1e-12))
        for rows in strata:
            z = robust_z(values[rows])
            out[rows, column] = np.clip(-z if metric.lower_is_bad else z, 0, Z_LIMIT)
    return out


def judge(adverse: Floats) -> Judgement:
    """quality_score = 1 / (1 + (d/4)²), d the root mean square of the three largest z-scores.

    Rows without any z-score get NaN: there is nothing to judge them by. A row with fewer than
    three metrics uses those it has.
    """
    known = np.isfinite(adverse)
    n_used = np.minimum(known.sum(axis=1), WORST_METRICS)
    descending = -np.sort(-np.where(known, adverse, 0.0), axis=1)[:, :WORST_METRICS]
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = np.sqrt((descending**2).sum(axis=1) / n_used)
    score = 1 / (1 + (distance / HALF_SCORE_AT) ** 2)
    judged = n_used > 0
    worst = np.where(judged, np.argmax(np.where(known, adverse, -1.0), axis=1), -1)
    return Judgement(np.where(judged, score, np.nan), worst.astype(np.intp))

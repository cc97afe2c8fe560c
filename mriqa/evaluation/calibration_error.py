"""How far stated probabilities are from what comes true."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BINS = 15


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error, 0 is best: `ece` as Guo et al. 2017, eq. 3, have it; `corrected`
    without what chance adds to it; `low`, `high` the interval of the latter by subjects."""

    n: int
    ece: float
    corrected: float
    low: float
    high: float


def calibration_error(
    probabilities: Floats,
    classes: NDArray[np.int64],
    subjects: NDArray[np.str_],
    bootstraps: int,
    seed: int,
) -> CalibrationError:
    """Of the likeliest class of `probabilities` (n, classes) against the true `classes` (n).

    The interval holds the middle 95% of resamples of whole `subjects` (n), drawn by `seed`.
    """
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == classes
    names, own = np.unique(subjects, return_inverse=True)
    rows_of = [np.flatnonzero(own == name) for name in range(len(names))]
    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(bootstraps):
        drawn = rng.integers(len(names), size=len(names))
        rows = np.concatenate([rows_of[name] for name in drawn])
        resampled.append(corrected_ece(sure[rows], right[rows]))
    spread = resampled or [corrected_ece(sure, right)]
    low, high = np.percentile(spread, [2.5, 97.5])
    return CalibrationError(
        len(sure), ece(sure, right), corrected_ece(sure, right), float(low), float(high)
    )


def ece(sure: Floats, right: NDArray[np.bool_]) -> float:
    """Σ_b n_b/n |right_b − sure_b| over BINS equal parts of 0 to 1."""
    gaps, counts, _ = _bins(sure, right)
    return float((counts * np.abs(gaps)).sum() / counts.sum())


def corrected_ece(sure: Floats, right: NDArray[np.bool_]) -> float:
    """As `ece`, but each gap's square less the variance that it has by chance, or 0.

    Kumar et al. 2019 (the debiased estimator of squared errors): with few items a bin, even perfect
    probabilities have a gap.
    """
    gaps, counts, variances = _bins(sure, right)
    squares = np.maximum(gaps**2 - variances, 0)
    return float((counts * np.sqrt(squares)).sum() / counts.sum())


def _bins(sure: Floats, right: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Of each bin that has items: gap of accuracy and confidence, their number, gap's variance."""
    places = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(places, minlength=BINS).astype(np.float64)
    there = counts > 0
    accuracy, confidence = (
        np.bincount(places, weights=values, minlength=BINS)[there] / counts[there]
        for values in (right.astype(np.float64), sure)
    )
    counts = counts[there]
    variances = accuracy * (1 - accuracy) / np.maximum(counts - 1, 1)
    return accuracy - confidence, counts, variances

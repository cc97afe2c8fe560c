"""From the whitened margin to the severity that is to be expected, and how sure that is.

[P] Fitted on the references' own volumes, severity 0, and their simulated copies, each judged
without its subject. Calibrated means: where the cohort has artifacts of these families, evenly
spread over severity, in a share 1 - `good_share` of its volumes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]

WINDOW_SHARE = 0.2
"""The standard deviation at a margin is that of so many of the fitted volumes around it."""
N_WINDOWS = 25
MARGIN_DECIMALS = 7
"""Margins that differ by less are equal: they come of float32 embeddings."""


@dataclass(frozen=True)
class Calibration:
    """Expected severity and its standard deviation at ascending whitened margins.

    Linear in between, constant beyond. `severity` never rises with the margin; all are in [0, 1].
    """

    margin: tuple[float, ...]
    severity: tuple[float, ...]
    sd_margin: tuple[float, ...]
    sd: tuple[float, ...]

    def quality(self, margin: NDArray[np.floating] | float) -> Floats:
        """1 - expected severity, 0 to 1, higher is better."""
        return np.asarray(1 - np.interp(margin, self.margin, self.severity), dtype=np.float64)

    def quality_sd(self, margin: NDArray[np.floating] | float) -> Floats:
        """Standard deviation of severity around the expected, 0 to 1, lower is surer."""
        return np.asarray(np.interp(margin, self.sd_margin, self.sd), dtype=np.float64)

    @classmethod
    def from_json(cls, stored: dict[str, Sequence[float]]) -> "Calibration":
        """From what `dataclasses.asdict` gave."""
        return cls(**{name: tuple(values) for name, values in stored.items()})


def calibrate(margins: Floats, severities: Floats, good_share: float) -> Calibration:
    """Fit E[severity | margin] by centred isotonic regression, falling (Oron & Flournoy 2017).

    Each step of the isotonic fit (pool adjacent violators) is one point, at the weighted mean of
    its margins, with lines between: a step would call volumes equal that are not. `margins`,
    `severities` (n): 0 for clean volumes. Clean ones weigh `good_share` in all, the others the
    rest. Raises ValueError unless there are both.
    """
    clean = severities == 0
    if not clean.any() or clean.all():
        raise ValueError("calibration needs clean volumes and simulated ones")
    weights = np.where(
        clean, good_share / np.count_nonzero(clean), (1 - good_share) / np.count_nonzero(~clean)
    )
    margins = np.round(margins, MARGIN_DECIMALS)
    order = np.lexsort((severities, margins))
    margins, severities, weights = margins[order], severities[order], weights[order]
    knots, first = np.unique(margins, return_index=True)
    total = np.add.reduceat(weights, first)
    mean = np.add.reduceat(weights * severities, first) / total
    fitted = isotonic_regression(mean, weights=total, increasing=False)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(fitted.x)) + 1])
    centres = np.add.reduceat(total * knots, starts) / np.add.reduceat(total, starts)
    levels = np.clip(fitted.x[starts], 0, 1)
    expected = np.interp(margins, centres, levels)
    sd_margin, sd = _deviations(margins, severities - expected, weights)
    return Calibration(_floats(centres), _floats(levels), _floats(sd_margin), _floats(sd))


def _deviations(margins: Floats, residuals: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted root mean square of the residuals in windows along the margin."""
    width = max(int(WINDOW_SHARE * len(margins)), min(5, len(margins)))
    starts = np.unique(np.linspace(0, len(margins) - width, N_WINDOWS).astype(int))
    rows = starts[:, None] + np.arange(width)
    share = weights[rows] / weights[rows].sum(axis=1, keepdims=True)
    centre = (share * margins[rows]).sum(axis=1)
    sd = np.sqrt((share * residuals[rows] ** 2).sum(axis=1))
    centre, kept = np.unique(centre, return_index=True)
    return centre, np.clip(sd[kept], 0, 1)


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)

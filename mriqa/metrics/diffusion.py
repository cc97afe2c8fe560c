"""Slices of diffusion volumes that lack signal, told by the other volumes of their shell.

Who moves while a slice is weighted loses its signal. Within a volume such a slice is compared with
its neighbours (`neighbours.py`); here with the same slice under other gradient directions, which
also finds it beside others that lack signal, or at the end of the stack.
"""

from dataclasses import dataclass

import numpy as np

from mriqa.metrics.histogram import Floats
from mriqa.metrics.neighbours import MIN_AREA
from mriqa.metrics.regions import Mask, Volume

LEAST_VOLUMES = 5
"""Of a shell: of fewer nobody can say what is usual."""
OUTLIER_Z = 3.5
"""Modified z-score from which a value is an outlier (Iglewicz & Hoaglin 1993), also of slices of
diffusion volumes (SOLID, Sairanen et al., NeuroImage 181:331, 2018)."""
LEAST_LACKING = 0.1
"""A slice that lacks less is no outlier, however alike the others are."""
MAD_TO_SD = 1.4826


@dataclass(frozen=True)
class Shell:
    """Of v volumes of a shell: `lacking` (v, z), the share of its usual signal that a slice lacks,
    negative where it has more, NaN where there is no body; `is_outlier` (v, z)."""

    lacking: Floats
    is_outlier: Mask


def slice_signal(mean: Volume, body: Mask) -> Floats:
    """Mean intensity (z,) of the slices of block means `mean` (z, y, x) within `body` (z, y, x).

    NaN for slices with little body: less than MIN_AREA of that of the largest one.
    """
    area = body.sum(axis=(1, 2))
    total = np.where(body, mean, np.float32(0)).sum(axis=(1, 2), dtype=np.float64)
    enough = area >= max(MIN_AREA * area.max(), 1)
    return np.where(enough, total / np.maximum(area, 1), np.nan)


def compare_shell(signal: Floats) -> Shell:
    """Compare slices (v, z) of mean intensity `signal` with the same slices of the other volumes.

    What counts is ln(signal) less the volume's own level, the median over its slices: direction and
    drift change whole volumes. A slice lacks 1 − exp(r), r being that less the median over the
    volumes; it is an outlier if r lies OUTLIER_Z robust standard deviations below 0, of that slice
    or, where these are less, the median of all slices, and it lacks LEAST_LACKING. NaN, and no
    outliers, where the shell has fewer than LEAST_VOLUMES volumes, or a slice has no body.
    """
    nothing = Shell(np.full(signal.shape, np.nan), np.zeros(signal.shape, dtype=bool))
    known = np.isfinite(signal).all(axis=0) & (signal > 0).all(axis=0)
    if len(signal) < LEAST_VOLUMES or not known.any():
        return nothing
    level = np.log(signal[:, known])
    level = level - np.median(level, axis=1, keepdims=True)
    less = level - np.median(level, axis=0)
    spread = MAD_TO_SD * np.median(np.abs(less), axis=0)
    spread = np.maximum(spread, np.median(spread))
    lacking, is_outlier = nothing.lacking, nothing.is_outlier
    lacking[:, known] = 1 - np.exp(less)
    is_far = less < -OUTLIER_Z * spread
    is_outlier[:, known] = is_far & (lacking[:, known] >= LEAST_LACKING)
    return Shell(lacking, is_outlier)

"""Intensities of a volume from one pass over it: range, foreground percentiles, zeroed background.

Range and non-finite count are exact. Percentiles come from a regular sample of at most
`MAX_SAMPLE` voxels (all voxels of a smaller volume), which is accurate to well below the noise.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 99.5, 99.9)
MAX_SAMPLE = 2**18
BINS = 256
LOW_SHARE = 0.05
"""Voxels up to 5% of the foreground's median count as air."""
ZEROED_SHARE, ZEROED_LEAST = 0.6, 0.05
"""Zeroed: at least 60% of the air, and 5% of the volume, has exactly the smallest value.

In shared real data zeroed volumes have 0.72-1.00 of the first, recorded air 0.01-0.40.
"""


@dataclass(frozen=True)
class VolumeIntensity:
    """What is known of one volume's scaled values; None where it has no foreground.

    `percentiles` are those of the foreground at PERCENTILES.
    """

    n_nonfinite: int
    lowest: float | None
    highest: float | None
    percentiles: tuple[float, ...] | None
    background_zeroed: bool


class IntensityCollector:
    """Collects one volume's intensities from its pieces, slab by slab."""

    def __init__(self, n_voxels: int, slope: float, inter: float) -> None:
        self._stride = max(1, -(-n_voxels // MAX_SAMPLE)) | 1
        self._slope, self._inter = slope, inter
        self._seen = self._n_nonfinite = 0
        self._ranges: list[NDArray[np.float32]] = []
        self._samples: list[NDArray[np.float32]] = []

    def add(self, values: NDArray[Any]) -> None:
        """Take the next piece of the volume (stored values, C-contiguous)."""
        flat = values.reshape(-1)
        start = -self._seen % self._stride
        self._seen += flat.size
        self._samples.append(scaled(flat[start :: self._stride], self._slope, self._inter))
        if flat.dtype.kind == "f":
            flat = self._finite(flat)
        if flat.size:
            ends = np.array([flat.min(), flat.max()])
            self._ranges.append(scaled(ends, self._slope, self._inter))

    def _finite(self, flat: NDArray[Any]) -> NDArray[Any]:
        finite = np.isfinite(scaled(flat, self._slope, self._inter))
        n_finite = int(np.count_nonzero(finite))
        self._n_nonfinite += flat.size - n_finite
        return flat if n_finite == flat.size else flat[finite]

    def result(self) -> VolumeIntensity:
        """Summarise what was added."""
        if not self._ranges:
            return VolumeIntensity(self._n_nonfinite, None, None, None, False)
        ends = np.concatenate(self._ranges)
        sample = np.concatenate(self._samples)
        sample = sample[np.isfinite(sample)]
        lowest, highest = float(ends.min()), float(ends.max())
        threshold = foreground_threshold(sample)
        if threshold is None:
            return VolumeIntensity(self._n_nonfinite, lowest, highest, None, False)
        foreground = sample[sample > threshold]
        percentiles = tuple(float(p) for p in np.percentile(foreground, PERCENTILES))
        zeroed = is_background_zeroed(sample, percentiles[PERCENTILES.index(50.0)])
        return VolumeIntensity(self._n_nonfinite, lowest, highest, percentiles, zeroed)


def scaled(values: NDArray[Any], slope: float, inter: float) -> NDArray[np.float32]:
    """`values * slope + inter` as float32; what float32 cannot hold becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        if (slope, inter) == (1.0, 0.0):
            return values.astype(np.float32)
        if values.dtype.itemsize <= 2:  # exact in float32 before scaling
            return values.astype(np.float32) * np.float32(slope) + np.float32(inter)
        return (values.astype(np.float64) * slope + inter).astype(np.float32)


def foreground_threshold(values: NDArray[np.float32]) -> float | None:
    """Otsu's threshold (IEEE Trans. SMC 9:62, 1979) of finite `values`; None if they are constant.

    The histogram ends at the 99.9th percentile, so that a few bright voxels do not stretch it.
    """
    if values.size == 0:
        return None
    low, high = float(values.min()), float(np.percentile(values, 99.9))
    high = high if high > low else float(values.max())
    if not high > low:
        return None
    counts, edges = np.histogram(values, BINS, range=(low, high))
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    mass = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mass[-1] * below / counts.sum() - mass[:-1]) ** 2 / (below * above.astype(float))
    return float(edges[1 + int(np.nanargmax(between))])


def is_background_zeroed(values: NDArray[np.float32], foreground_median: float) -> bool:
    """Whether the provider blanked the air: most of it has exactly the smallest value."""
    lowest = float(values.min())
    n_lowest = int(np.count_nonzero(values == lowest))
    n_air = int(np.count_nonzero(values <= lowest + LOW_SHARE * (foreground_median - lowest)))
    return n_lowest >= ZEROED_SHARE * n_air and n_lowest >= ZEROED_LEAST * values.size

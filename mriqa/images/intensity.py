"""Intensities of a volume from one pass over it: range, foreground percentiles, zeroed background.

Range and non-finite count are exact. Percentiles come from a regular sample of at most
`MAX_SAMPLE` voxels (all voxels of a smaller volume), which is accurate to well below the noise.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 99.5, 99.9)
MAX_SAMPLE = 2**17
BINS = 256
PIECE = 2**20
"""Voxels that are looked at at a time, so that temporaries stay small."""
SAFE_SLOPE = 1e6
"""With a slope up to this no scaled integer leaves the range of float32."""
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
        self._samples: list[NDArray[Any]] = []

    def add(self, values: NDArray[Any]) -> None:
        """Take the next piece of the volume (stored values, C-contiguous)."""
        flat = values.reshape(-1)
        start = -self._seen % self._stride
        self._seen += flat.size
        self._samples.append(flat[start :: self._stride].copy())
        for first in range(0, flat.size, PIECE):
            self._add_range(flat[first : first + PIECE])

    def _add_range(self, piece: NDArray[Any]) -> None:
        if piece.dtype.kind == "f" or abs(self._slope) > SAFE_SLOPE:
            finite = np.isfinite(scaled(piece, self._slope, self._inter))
            n_finite = int(np.count_nonzero(finite))
            self._n_nonfinite += piece.size - n_finite
            piece = piece if n_finite == piece.size else piece[finite]
        if piece.size:
            ends = np.array([piece.min(), piece.max()])
            self._ranges.append(scaled(ends, self._slope, self._inter))

    def _ordered(self) -> NDArray[np.float32]:
        """The sample's finite scaled values, ascending."""
        ordered = scaled(ascending(np.concatenate(self._samples)), self._slope, self._inter)
        finite = np.isfinite(ordered)
        if not finite.all():
            ordered = ordered[finite]
        return ordered[::-1] if self._slope < 0 else ordered

    def result(self) -> VolumeIntensity:
        """Summarise what was added."""
        if not self._ranges:
            return VolumeIntensity(self._n_nonfinite, None, None, None, False)
        ends = np.concatenate(self._ranges)
        lowest, highest = float(ends.min()), float(ends.max())
        finite = self._ordered()
        threshold = foreground_threshold(finite)
        if threshold is None:
            return VolumeIntensity(self._n_nonfinite, lowest, highest, None, False)
        foreground = finite[np.searchsorted(finite, threshold, "right") :]
        ranks = np.rint(np.array(PERCENTILES) / 100 * (foreground.size - 1)).astype(int)
        percentiles = tuple(float(value) for value in foreground[ranks])
        zeroed = is_background_zeroed(finite, percentiles[PERCENTILES.index(50.0)])
        return VolumeIntensity(self._n_nonfinite, lowest, highest, percentiles, zeroed)


def ascending(values: NDArray[Any]) -> NDArray[Any]:
    """`values` sorted; integers of up to 16 bits by counting them, which takes half the time."""
    if values.itemsize > 2:
        return np.sort(values)
    lowest = int(values.min())
    counts = np.bincount(values.astype(np.intp) - lowest)
    distinct = np.arange(lowest, lowest + counts.size).astype(values.dtype)
    return np.repeat(distinct, counts)


def scaled(values: NDArray[Any], slope: float, inter: float) -> NDArray[np.float32]:
    """`values * slope + inter` as float32; what float32 cannot hold becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        if (slope, inter) == (1.0, 0.0):
            return values.astype(np.float32)
        if values.dtype.itemsize <= 2:  # exact in float32 before scaling
            return values.astype(np.float32) * np.float32(slope) + np.float32(inter)
        return (values.astype(np.float64) * slope + inter).astype(np.float32)


def foreground_threshold(ordered: NDArray[np.float32]) -> float | None:
    """Otsu's threshold (IEEE Trans. SMC 9:62, 1979) of sorted finite values; None if constant.

    The histogram ends at the 99.9th percentile, so that a few bright voxels do not stretch it.
    """
    if ordered.size == 0 or not ordered[-1] > ordered[0]:
        return None
    low, high = float(ordered[0]), float(ordered[int(0.999 * (ordered.size - 1))])
    edges = np.linspace(low, high if high > low else float(ordered[-1]), BINS + 1)
    below = np.searchsorted(ordered, edges[1:-1], "right")
    above = ordered.size - below
    counts = np.diff(below, prepend=0)
    mass = np.cumsum(counts * (edges[:-2] + edges[1:-1]) / 2)
    last = above[-1] * (edges[-2] + edges[-1]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = (mass[-1] + last) * below / ordered.size
        between = (expected - mass) ** 2 / (below * above.astype(np.float64))
    return float(edges[1 + int(np.nanargmax(between))])


def is_background_zeroed(ordered: NDArray[np.float32], foreground_median: float) -> bool:
    """Whether the provider blanked the air: most of it has exactly the smallest value."""
    lowest = float(ordered[0])
    n_lowest = int(np.searchsorted(ordered, ordered[0], "right"))
    limit = lowest + LOW_SHARE * (foreground_median - lowest)
    n_air = int(np.searchsorted(ordered, np.float32(limit), "right"))
    return n_lowest >= ZEROED_SHARE * n_air and n_lowest >= ZEROED_LEAST * ordered.size

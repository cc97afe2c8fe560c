"""The noise that a volume already has, and whether its air was masked away."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

RAYLEIGH_MEDIAN = math.sqrt(2 * math.log(2))
GAUSS_MAD = 0.6744897501960817
CORNER_SHARE = 0.08
MASKED_SHARE = 0.9
"""The air was masked where this share of it is exactly 0 in the median corner."""
BRIGHT_PERCENTILE = 98
ENOUGH_SLICES = 8
"""Tissue is measured on about so many slices, evenly spread."""
AIR_TO_TISSUE = (0.25, 3.0)
"""Quieter air than this, compared with the noise of tissue, was filtered; noisier is no air."""
FALLBACK_SIGMA = 1 / 50

Source = Literal["air", "tissue", "assumed"]


@dataclass(frozen=True)
class Background:
    """Sigma of the complex noise (in the volume's units) and where it was measured.

    `source`: `air` (corners of the slices, Rayleigh), `tissue` (the air was masked or filtered:
    fine detail of flat foreground), `assumed` (no noise anywhere: 2% of the bright signal).
    `masked`: the air is exactly 0.
    """

    sigma: float
    source: Source
    masked: bool


def measure_background(volume: NDArray[np.float32]) -> Background:
    """Noise of a finite magnitude volume (z, y, x).

    Air is taken from the four in-plane corners (8% of each axis, all slices); their second
    smallest estimate is used, so that one or two corners with anatomy or ghosts do no harm.
    """
    some = volume[:: max(1, len(volume) // ENOUGH_SLICES)]
    bright = float(np.percentile(some, BRIGHT_PERCENTILE))
    corners = _corners(volume)
    masked = float(np.median([np.mean(corner == 0) for corner in corners])) >= MASKED_SHARE
    air = sorted(float(np.median(corner)) / RAYLEIGH_MEDIAN for corner in corners)[1]
    noisy = sum(bool(corner.min() < corner.max()) for corner in corners)
    tissue = _tissue_sigma(some, 0.1 * bright)
    least, most = (share * tissue for share in AIR_TO_TISSUE)
    if not masked and noisy >= 2 and air > 0 and (tissue == 0 or least <= air <= most):
        return Background(air, "air", masked)
    if tissue > 0:
        return Background(tissue, "tissue", masked)
    return Background(FALLBACK_SIGMA * max(bright, 0.0), "assumed", masked)


def _corners(volume: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    _, rows, columns = volume.shape
    height, width = (max(1, math.ceil(CORNER_SHARE * size)) for size in (rows, columns))
    return [
        volume[:, row, column]
        for row in (slice(None, height), slice(-height, None))
        for column in (slice(None, width), slice(-width, None))
    ]


def _tissue_sigma(volume: NDArray[np.float32], threshold: float) -> float:
    """Median absolute diagonal Haar detail (Donoho 1995) of flat 2x2 quads above `threshold`.

    Flat: the quarter with the least horizontal and vertical detail. Of white noise the three
    details are independent, so that this choice leaves the diagonal as it is; of anatomy it takes
    the edges away.
    """
    rows, columns = (size // 2 * 2 for size in volume.shape[1:])
    quads = volume[:, :rows, :columns]
    a, b = quads[:, ::2, ::2], quads[:, ::2, 1::2]
    c, d = quads[:, 1::2, ::2], quads[:, 1::2, 1::2]
    inside = np.minimum(np.minimum(a, b), np.minimum(c, d)) > threshold
    if not inside.any():
        return 0.0
    a, b, c, d = (part[inside] for part in (a, b, c, d))
    slope = np.maximum(np.abs(a + b - c - d), np.abs(a - b + c - d))
    flat = slope <= np.quantile(slope, 0.25)
    return float(np.median(np.abs(a - b - c + d)[flat])) / 2 / GAUSS_MAD

"""The noise that a volume already has, and whether its air was masked away."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RAYLEIGH_MEDIAN = math.sqrt(2 * math.log(2))
GAUSS_MAD = 0.6744897501960817
ZEROED_SHARE = 0.5
CORNER_SHARE = 0.08
FALLBACK_SHARE = 0.02


@dataclass(frozen=True)
class Background:
    """Sigma of the complex noise (in the volume's units) and where it was measured.

    `source`: `air` (corners of the slices, Rayleigh), `tissue` (air was zeroed: diagonal Haar
    detail of the foreground), `assumed` (no noise found anywhere: 2% of the bright signal).
    """

    sigma: float
    source: str

    @property
    def zeroed(self) -> bool:
        """Whether the air holds no measured noise."""
        return self.source != "air"


def measure_background(volume: NDArray[np.float32]) -> Background:
    """Noise of a finite magnitude volume (z, y, x).

    Air is taken from the four in-plane corners (8% of each axis, all slices); their second
    smallest estimate is used, so that one or two corners with anatomy or ghosts do no harm.
    """
    corners = _corners(volume)
    sigmas = sorted(float(np.median(corner)) / RAYLEIGH_MEDIAN for corner in corners)
    varied = [corner for corner in corners if _is_noise(corner)]
    if len(varied) >= 2 and sigmas[1] > 0:
        return Background(sigmas[1], "air")
    sigma = _tissue_sigma(volume)
    if sigma > 0:
        return Background(sigma, "tissue")
    return Background(FALLBACK_SHARE * float(np.percentile(volume, 98)), "assumed")


def _corners(volume: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    _, rows, columns = volume.shape
    height, width = (max(1, math.ceil(CORNER_SHARE * size)) for size in (rows, columns))
    return [
        volume[:, row, column]
        for row in (slice(None, height), slice(-height, None))
        for column in (slice(None, width), slice(-width, None))
    ]


def _is_noise(corner: NDArray[np.float32]) -> bool:
    return bool(np.mean(corner == 0) < ZEROED_SHARE and corner.min() < corner.max())


def _tissue_sigma(volume: NDArray[np.float32]) -> float:
    """Median absolute diagonal Haar detail of bright 2x2 quads (Donoho 1995)."""
    rows, columns = (size // 2 * 2 for size in volume.shape[1:])
    quads = volume[:, :rows, :columns]
    a, b = quads[:, ::2, ::2], quads[:, ::2, 1::2]
    c, d = quads[:, 1::2, ::2], quads[:, 1::2, 1::2]
    detail = np.abs(a - b - c + d) / 2
    bright = np.minimum(np.minimum(a, b), np.minimum(c, d)) > 0.1 * np.percentile(volume, 98)
    return float(np.median(detail[bright])) / GAUSS_MAD if bright.any() else 0.0

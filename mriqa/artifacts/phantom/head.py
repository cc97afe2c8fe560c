"""A head in T1-weighted imaging: the tissues of `brain.build_head`, and their scan."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts.phantom.brain import Head, build_head
from mriqa.artifacts.phantom.canvas import Floats, Grid, generator, smooth_field

HEAD_GRID = Grid((96, 112, 96), (2.0, 2.0, 2.0), (5.0, 0.0, 0.0))
CORTEX_MM = 4.6
"""Thicker than a real one: with 2 mm of partial volume on both sides, grey matter then has the
share of a brain that it has in people."""

FLUID, GREY, WHITE, SCALP = 0.26, 0.62, 0.95, 0.80
"""Signal of a spoiled gradient echo at 3 T, of the brightest; fat is not suppressed."""

TEXTURE = (0.015, 0.02)
"""Deviations of the tissues' own signal, over 5 and 16 mm."""


@dataclass(frozen=True)
class HeadScan:
    """The drawn imperfections of one scan; `snr` is that of white matter."""

    snr: float
    gain: float
    bias: float
    seed: int


def draw_head_scan(rng: np.random.Generator, snr: tuple[float, float]) -> HeadScan:
    """Draw a scan with an SNR from a range, all orders of magnitude alike."""
    return HeadScan(
        snr=float(np.exp(rng.uniform(*np.log(snr)))),
        gain=float(np.exp(rng.uniform(np.log(400), np.log(1600)))),
        bias=float(rng.uniform(0.02, 0.12)),
        seed=int(rng.integers(2**53)),
    )


def draw_head(seed: int) -> Head:
    """The tissues of one head on HEAD_GRID."""
    return build_head(HEAD_GRID, seed, cortex_mm=CORTEX_MM)


def tissue_maps(head: Head) -> dict[str, Floats]:
    """Shares of a voxel by BIDS label: CSF, GM, WM; each (z, y, x), 0 to 1.

    Where the three are less than half a voxel there is no brain, and they are 0.
    """
    inside = (head.fluid + head.grey + head.white) > 0.5
    maps = {"CSF": head.fluid, "GM": head.grey, "WM": head.white}
    return {label: np.where(inside, share, np.float32(0)) for label, share in maps.items()}


def acquire_t1w(head: Head, scan: HeadScan) -> Floats:
    """The magnitude image (z, y, x) float32 in stored units."""
    shares = ((head.fluid, FLUID), (head.grey, GREY), (head.white, WHITE), (head.scalp, SCALP))
    signal = sum((share * np.float32(level) for share, level in shares), np.zeros_like(head.white))
    rng = generator(scan.seed, 0)
    own = sum(
        np.float32(size) * smooth_field(rng, HEAD_GRID, knot)
        for size, knot in zip(TEXTURE, (5.0, 16.0), strict=True)
    )
    bias = np.float32(scan.bias) * smooth_field(generator(scan.seed, 1), HEAD_GRID, 110.0)
    signal = signal * np.exp(own + bias)
    return _noisy(signal, WHITE / scan.snr, generator(scan.seed, 2)) * np.float32(scan.gain)


def _noisy(signal: Floats, sigma: float, rng: np.random.Generator) -> Floats:
    """Rician noise of deviation `sigma` in each channel."""
    real, imaginary = rng.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(sigma)
    noisy: NDArray[np.float32] = np.hypot(signal + real, imaginary)
    return noisy

"""Sharpness and noise of single slices, from finite differences."""

import numpy as np
import numpy.typing as npt

from mriqa.metrics.histogram import Floats

Plane = npt.NDArray[np.float32]

FINE = (1, 3)
"""Lags of the sharpness along one axis: sees the last third of the k-space lines."""

COARSE = (2, 4)
"""Lags of the sharpness of both axes: sees motion of some voxels."""

LAGS = FINE + COARSE
"""Distances in voxels over which `edge_energy` takes differences."""

RESIDUAL_GAIN = 6.0
"""Standard deviation of `noise_residual` in noise of standard deviation 1."""

MEDIAN_OF_NORMAL = 0.6745
"""Median of the magnitude of normal noise of standard deviation 1."""


def edge_energy(plane: Plane, weight: Plane) -> Floats:
    """Energy of intensity differences along (y, x) over each of LAGS, `(2, 4)`.

    Every energy is the sum of products of the differences of two adjacent lines, not of squares:
    lines share edges but not noise, so that noise adds nothing on average. `weight` `(y, x)` is 1
    where edges count.
    """
    along_y = _line_energy(np.ascontiguousarray(plane.T), np.ascontiguousarray(weight.T))
    return np.array([along_y, _line_energy(plane, weight)])


def sharpness(edges: Floats, lags: tuple[int, int]) -> Floats:
    """Quotient of the energies `(..., 4)` over two lags; higher is better.

    A step gives lags[0] / lags[1], an edge wider than lags[1] the square of that. Sharp corners
    and thin lines exceed it. Independent of intensity scale and, on average, of noise. NaN where
    there are no edges.
    """
    near, far = (edges[..., LAGS.index(lag)] for lag in lags)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(far > 0, near / far, np.nan)


def _line_energy(plane: Plane, weight: Plane) -> list[float]:
    """Products of the differences along the last axis of adjacent lines, summed, by lag."""
    lines = weight[:-1] * weight[1:]
    energies = []
    for lags in (FINE, COARSE):
        widest = lags[1]
        count = max(plane.shape[1] - widest, 0)
        # Both lags look at the same places; the voxels in the middle, one or two, must count.
        low, high = widest // 2, (widest + 1) // 2
        counted = lines[:, low : low + count]
        if high > low:
            counted = counted * lines[:, high : high + count]
        product = np.empty(counted.shape, np.float32)
        for lag in lags:
            start = (widest - lag) // 2
            ahead = plane[:, start + lag : start + lag + count]
            difference = ahead - plane[:, start : start + count]
            np.multiply(difference[:-1], counted, out=product)
            energies.append(float(np.vdot(product, difference[1:])))
    return energies


def noise_residual(plane: Plane) -> Plane:
    """What a product of second differences along y and x leaves, `(y - 2, x - 2)`: noise.

    Immerkær, Comput Vis Image Underst 64:300, 1996. Smooth tissue and straight edges along an
    axis vanish; white noise of standard deviation s comes out with 6 s.
    """
    along = plane[:, :-2] + plane[:, 2:]
    along -= plane[:, 1:-1]
    along -= plane[:, 1:-1]
    both = along[:-2] + along[2:]
    both -= along[1:-1]
    both -= along[1:-1]
    return both

"""Sharpness and noise of single slices, from finite differences."""

import numpy as np
import numpy.typing as npt

from mriqa.metrics.histogram import Floats
from mriqa.metrics.regions import Mask

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


def edge_energy(plane: Plane, counted: Mask) -> Floats:
    """Energy of intensity differences along (y, x) over each of LAGS, `(2, 4)`.

    Every energy is the sum of products of the differences of two adjacent lines, not of squares:
    lines share edges but not noise, so that noise adds nothing on average. `plane` `(y, x)` is
    contiguous; `counted` `(y, x)` is where edges count.
    """
    return np.array([_line_energy(plane, counted, axis) for axis in (0, 1)])


def sharpness(edges: Floats, lags: tuple[int, int]) -> Floats:
    """Quotient of the energies `(..., 4)` over two lags; higher is better.

    A step gives lags[0] / lags[1], an edge wider than lags[1] the square of that. Sharp corners
    and thin lines exceed it. Independent of intensity scale and, on average, of noise. NaN where
    there are no edges.
    """
    near, far = (edges[..., LAGS.index(lag)] for lag in lags)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(far > 0, near / far, np.nan)


def _line_energy(plane: Plane, counted: Mask, axis: int) -> list[float]:
    """Products of the differences along `axis` of adjacent lines, summed, by lag."""
    # One flat array, some times as fast as row by row.
    flat, width = plane.ravel(), plane.shape[1]
    along, across = (width, 1) if axis == 0 else (1, width)
    energies = []
    for lags in (FINE, COARSE):
        widest = lags[1]
        weight = _weight(counted, axis, widest)
        for lag in lags:
            behind = (widest - lag) // 2 * along
            ahead = behind + lag * along
            difference = flat[ahead : ahead + weight.size] - flat[behind : behind + weight.size]
            difference *= weight
            energy = float(np.vdot(difference[:-across], difference[across:]))
            if axis == 0:
                # The end of a row and the start of the next one are not adjacent.
                rows = difference.reshape(-1, width)
                energy -= float(np.vdot(rows[:-1, -1], rows[1:, 0]))
            energies.append(energy)
    return energies


def _weight(counted: Mask, axis: int, widest: int) -> Plane:
    """1 where differences over `widest` voxels of a line count, flat by their start.

    Both lags look at the same places; the voxels in the middle, one or two, must count.
    """
    along = counted.shape[1] if axis == 0 else 1
    low, high = widest // 2, (widest + 1) // 2
    if axis == 1:
        # Nor does any count that reaches into the next row.
        counted = counted.copy()
        counted[:, :low] = counted[:, -low:] = False
    flat = counted.ravel()
    size = max(flat.size - widest * along, 0)
    middle = flat[low * along : low * along + size]
    if high > low:
        middle = middle & flat[high * along : high * along + size]
    return middle.astype(np.float32)


def noise_residual(plane: Plane) -> Plane:
    """What a product of second differences along y and x leaves, `(y - 2, x - 2)`: noise.

    `plane` is contiguous, at least 3 by 3. Immerkær, Comput Vis Image Underst 64:300, 1996. Smooth
    tissue and straight edges along an axis vanish; white noise of standard deviation s comes out
    with 6 s.
    """
    # Flat as above; the last two of a row are mixed with the next row, and cut off.
    flat, width = plane.ravel(), plane.shape[1]
    along = flat[:-2] + flat[2:]
    along -= flat[1:-1]
    along -= flat[1:-1]
    both = np.empty((plane.shape[0] - 2, width), np.float32)
    inner = both.ravel()[:-2]
    np.add(along[: -2 * width], along[2 * width :], out=inner)
    inner -= along[width:-width]
    inner -= along[width:-width]
    return np.ascontiguousarray(both[:, :-2])

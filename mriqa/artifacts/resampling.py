"""One slice in another pose, without the matrices that pay off only for many slices.

The same two passes of cubic convolution as `motion.move_lines` makes for volumes, several times
faster for a single slice: training degrades one at a time.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts.model import Move

Image = NDArray[np.float32]


def moved_slice(image: Image, spacing_mm: tuple[float, float], move: Move) -> Image:
    """`image` (y, x) of `spacing_mm` (dy, dx) after the in-plane part of `move`.

    Resampled along x, then along y (Catmull and Smith 1980), each by cubic convolution (Keys
    1981), mirrored at the edges.
    """
    rows, columns = image.shape
    dy, dx = spacing_mm
    angle, (_, ty, tx) = math.radians(move.rotation_deg[0]), move.translation_mm
    cosine, sine = math.cos(angle), math.sin(angle)
    y = (np.arange(rows) - (rows - 1) / 2) * dy
    x = (np.arange(columns) - (columns - 1) / 2) * dx - tx
    # From where each pixel comes, less its own place, as a sum over rows and columns.
    across = _shifted(image, sine / cosine * y / dx, (x / cosine - x - tx) / dx)
    along = (x * -sine / dy, (cosine * (y - ty) - y) / dy)
    return np.ascontiguousarray(_shifted(np.ascontiguousarray(across.T), *along).T)


def _shifted(image: Image, by_row: NDArray[np.float64], by_column: NDArray[np.float64]) -> Image:
    """Pixel (r, c) from place c + by_row[r] + by_column[c] of row r."""
    rows, columns = image.shape
    t = np.add.outer(by_row, by_column).astype(np.float32)
    whole = np.floor(t)
    t -= whole
    first = int(whole.min()) - 1
    before, after = max(0, -first), max(0, int(whole.max()) + 2)
    padded = np.pad(image, ((0, 0), (before, after)), "reflect")
    starts = np.arange(rows)[:, None] * padded.shape[1] + np.arange(columns)
    place = whole.astype(np.intp)
    place += starts
    place += before - 1
    # mode: no check of each index; none is outside.
    a, b, c, d = (padded.reshape(-1)[tap:].take(place, mode="clip") for tap in range(4))
    return _cubic(a, b, c, d, t)


def _cubic(a: Image, b: Image, c: Image, d: Image, t: Image) -> Image:
    """Cubic convolution (Keys 1981) between `b` (t = 0) and `c` (t = 1); overwrites its input."""
    slope = c - a
    bend = a + c
    bend -= b
    bend -= b
    c -= b
    c *= -3
    c += d
    c -= a  # the cubic term: 3 (b - c) + d - a
    bend -= c
    c *= t
    c += bend
    c *= t
    c += slope
    c *= t
    c *= 0.5
    c += b
    return c

"""The bias field (intensity non-uniformity) as a cubic polynomial of the position.

Not N4: a polynomial of 20 terms follows the smooth fields of whole-head coils, and smooths over
the steep ones near the elements of surface arrays, where N4's spline of 12 mm or so still
follows. On heads with a known field of 20 to 60% it finds the range to within a tenth (tests).
"""

import numpy as np

from mriqa.metrics.histogram import Floats
from mriqa.metrics.regions import Mask, Volume

ORDER = 3
"""Degree of the polynomial."""

TERMS = 20

_LIMITS = (0.2, 5.0)
"""Beyond the brain the polynomial is a guess; it shall not dim or blow up the air."""


def fitted_field(residual: Volume, weights: Volume, inside: Mask) -> Floats:
    """Weighted least-squares coefficients `(20,)` of `residual` `(z, y, x)` in `inside`.

    `residual`: logarithm of intensity over what the tissue should have; `weights` >= 0.
    """
    basis = _terms(np.argwhere(inside).astype(np.float64), residual.shape)
    w = weights[inside].astype(np.float64)
    weighted = basis * w[:, None]
    normal = weighted.T @ basis
    # A little ridge: where few voxels count, terms stay near 0.
    normal[np.diag_indices_from(normal)] += 1e-4 * max(float(w.sum()), 1.0)
    coefficients = np.linalg.solve(normal, weighted.T @ residual[inside])
    # A factor of the whole volume is no bias: the field is 1 in the geometric mean.
    coefficients[0] -= float((basis @ coefficients).mean())
    return np.asarray(coefficients)


def field_on(coefficients: Floats, shape: tuple[int, int, int]) -> Volume:
    """exp of the polynomial on a grid of `shape`, float32 `(z, y, x)`.

    Positions are relative to the grid, -1 to 1 along every axis, so that a field fitted on a
    coarse grid can be made on a fine one.
    """
    z, y, x = (_relative(np.arange(n, dtype=np.float64), n) for n in shape)
    field = np.empty(shape, np.float32)
    powers_y = [y[:, None] ** k for k in range(ORDER + 1)]
    powers_x = [x[None, :] ** k for k in range(ORDER + 1)]
    for number, height in enumerate(z):
        plane = np.zeros(shape[1:])
        for value, (a, b, c) in zip(coefficients, _exponents(), strict=True):
            plane += value * height**a * powers_y[b] * powers_x[c]
        field[number] = np.exp(plane)
    return np.clip(field, *_LIMITS, out=field)


def _exponents() -> list[tuple[int, int, int]]:
    every = range(ORDER + 1)
    return [(a, b, c) for a in every for b in every for c in every if a + b + c <= ORDER]


def _relative(index: Floats, n: int) -> Floats:
    """Centre of voxel `index` between -1 and 1, the edges of the grid."""
    return np.asarray((2 * index + 1) / n - 1)


def _terms(places: Floats, shape: tuple[int, ...]) -> Floats:
    z, y, x = (_relative(places[:, axis], n) for axis, n in enumerate(shape))
    return np.stack([z**a * y**b * x**c for a, b, c in _exponents()], axis=1)

"""The bias field (intensity non-uniformity) as a cubic polynomial of the position.

Not N4: a polynomial of 20 terms follows the smooth fields of whole-head coils, and smooths over
the steep ones near the elements of surface arrays, which N4's spline follows. On heads with a
known smooth field its range is found to within a tenth (tests).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mriqa.metrics.histogram import Floats
from mriqa.metrics.regions import Mask, Volume

ORDER = 3
"""Degree of the polynomial."""

TERMS = 20

_RIDGE = 1e-5
_LIMITS = (0.2, 5.0)


@dataclass(frozen=True)
class Field:
    """`coefficients` `(20,)` of the field's logarithm, and where it is known: from `low` to `high`.

    Positions are relative to the grid, -1 to 1 along every axis, so that a field fitted on a
    coarse grid can be made on a fine one. Beyond the brain's box a polynomial is a guess: there
    the field keeps the value that it has at the box.
    """

    coefficients: Floats
    low: Floats
    high: Floats


def fitted_field(residual: Volume, weights: Volume, inside: Mask) -> Field:
    """Weighted least-squares fit to `residual` `(z, y, x)` in `inside`, 1 in the geometric mean.

    `residual`: logarithm of intensity over what the tissue should have; `weights` >= 0.
    """
    places = _relative(np.argwhere(inside).astype(np.float64), np.array(inside.shape))
    basis = np.stack([np.prod(places**powers, axis=1) for powers in _exponents()], axis=1)
    w = weights[inside].astype(np.float64)
    weighted = basis * w[:, None]
    normal = weighted.T @ basis
    # Where few voxels count, terms stay near 0.
    normal[np.diag_indices_from(normal)] += _RIDGE * max(float(w.sum()), 1.0)
    coefficients = np.linalg.solve(normal, weighted.T @ residual[inside])
    coefficients[0] -= float((basis @ coefficients).mean())
    return Field(np.asarray(coefficients), places.min(axis=0), places.max(axis=0))


def field_on(field: Field, shape: tuple[int, int, int]) -> Volume:
    """The field on a grid of `shape`, float32 `(z, y, x)`, between 0.2 and 5."""
    z, y, x = (
        np.clip(_relative(np.arange(n, dtype=np.float64), np.array(n)), low, high)
        for n, low, high in zip(shape, field.low, field.high, strict=True)
    )
    powers_y = [y[:, None] ** k for k in range(ORDER + 1)]
    powers_x = [x[None, :] ** k for k in range(ORDER + 1)]
    made = np.empty(shape, np.float32)
    for number, height in enumerate(z):
        plane = np.zeros(shape[1:])
        for value, (a, b, c) in zip(field.coefficients, _exponents(), strict=True):
            plane += value * height**a * powers_y[b] * powers_x[c]
        made[number] = np.exp(plane)
    return np.clip(made, *_LIMITS, out=made)


def _exponents() -> list[tuple[int, int, int]]:
    every = range(ORDER + 1)
    return [(a, b, c) for a in every for b in every for c in every if a + b + c <= ORDER]


def _relative(index: Floats, n: npt.NDArray[np.int_]) -> Floats:
    """Centre of voxel `index` between -1 and 1, the edges of the grid."""
    return np.asarray((2 * index + 1) / n - 1)

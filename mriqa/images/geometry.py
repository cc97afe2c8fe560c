"""Which voxel axis the slices were acquired along, and how an array is stored for it.

A NIfTI array has axes (i, j, k), i fastest in memory. It is stored as (z, y, x): z is the slice
axis of the acquisition, y and x are the two others, the slower one first. Axes are only permuted,
never flipped, so that the way back is exact.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Axis = Literal["i", "j", "k"]
AXES: tuple[Axis, Axis, Axis] = ("i", "j", "k")
THICKER = 1.02
"""A spacing is the largest only if it exceeds the next one by 2% (resampled grids differ by 1%)."""


@dataclass(frozen=True)
class Placement:
    """How the axes of a source go to those of the store.

    `axes` are the source axes of (z, y, x); `source_orientation` and `stored_orientation` the
    anatomical directions that (i, j, k) and (z, y, x) increase towards, such as `LAS` and `SAL`.
    """

    axes: tuple[int, int, int]
    source_orientation: str
    stored_orientation: str

    @property
    def slice_axis(self) -> Axis:
        """The source axis that slices are stacked along."""
        return AXES[self.axes[0]]


def place(
    zooms_mm: tuple[float, float, float],
    affine: NDArray[np.float64],
    slice_dimension: int | None,
    override: Axis | None = None,
) -> Placement:
    """Choose the slice axis: `override`, else the header's slice dimension, else by spacing.

    By spacing means the axis of clearly largest spacing; where there is none (isotropic 3D
    acquisitions) the axis nearest to inferior-superior, so that slices are axial.
    """
    codes = axis_codes(affine)
    if override is not None:
        first = AXES.index(override)
    elif slice_dimension is not None:
        first = slice_dimension
    else:
        thickest = _thickest(zooms_mm)
        first = thickest if thickest is not None else _axial(codes)
    rest = [axis for axis in (2, 1, 0) if axis != first]
    axes = (first, rest[0], rest[1])
    return Placement(axes, codes, "".join(codes[axis] for axis in axes))


def axis_codes(affine: NDArray[np.float64]) -> str:
    """The anatomical direction of each voxel axis, a letter of LRPAIS each (RAS+ world)."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    codes = [""] * 3
    left = np.abs(directions)
    for _ in range(3):
        world, axis = np.unravel_index(int(np.argmax(left)), left.shape)
        codes[axis] = ("LR", "PA", "IS")[world][int(directions[world, axis] > 0)]
        left[world, :] = -1
        left[:, axis] = -1
    return "".join(codes)


def _thickest(zooms_mm: tuple[float, float, float]) -> int | None:
    order = sorted(range(3), key=lambda axis: zooms_mm[axis])
    clear = zooms_mm[order[2]] > THICKER * zooms_mm[order[1]]
    return order[2] if clear else None


def _axial(codes: str) -> int:
    return next(axis for axis in range(3) if codes[axis] in "IS")


def to_stored(volumes: NDArray[np.generic], axes: tuple[int, int, int]) -> NDArray[np.generic]:
    """View (t, k, j, i) as (t, z, y, x)."""
    return volumes.transpose(0, *(3 - axis for axis in axes))


def to_source(volumes: NDArray[np.generic], axes: tuple[int, int, int]) -> NDArray[np.generic]:
    """View (t, z, y, x) as (t, k, j, i): the inverse of `to_stored`."""
    return volumes.transpose(0, *(1 + axes.index(axis) for axis in (2, 1, 0)))

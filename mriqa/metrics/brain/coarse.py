"""A volume on a coarser grid, on which brain and head are looked for, and back."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mriqa.metrics.brain.order import Values
from mriqa.metrics.regions import Mask, Volume

Index = npt.NDArray[np.intp]

GRID_MM = 2.0
"""Blocks of voxels are made about so large."""

_LARGE = 0.05


@dataclass(frozen=True)
class Coarse:
    """Block means `image` `(z, y, x)`; `factors`: voxels a block; `spacing_mm` of the blocks."""

    image: Volume
    factors: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]


def coarsened(volume: Volume, spacing_mm: tuple[float, float, float]) -> Coarse:
    """Block means on a grid of about GRID_MM; what no whole block covers is left out."""
    z, y, x = (
        max(1, min(round(GRID_MM / spacing), size))
        for spacing, size in zip(spacing_mm, volume.shape, strict=True)
    )
    nz, ny, nx = volume.shape[0] // z, volume.shape[1] // y, volume.shape[2] // x
    image = np.empty((nz, ny, nx), np.float32)
    for plane in range(nz):
        slab = volume[plane * z : (plane + 1) * z, : ny * y, : nx * x]
        image[plane] = slab.reshape(z, ny, y, nx, x).mean(axis=(0, 2, 4))
    dz, dy, dx = spacing_mm
    return Coarse(image, (z, y, x), (dz * z, dy * y, dx * x))


def mask_on_voxels(mask: Mask, coarse: Coarse, shape: tuple[int, int, int]) -> Mask:
    """A mask of blocks `(z, y, x)` on the voxels of `shape`; the last block covers what is over."""
    for axis, (factor, size) in enumerate(zip(coarse.factors, shape, strict=True)):
        index = np.minimum(np.arange(size) // factor, mask.shape[axis] - 1)
        mask = np.take(mask, index, axis)
    return mask


def field_in(field: Volume, coarse: Coarse, mask: Mask) -> Values:
    """A field on blocks `(z, y, x)`, linear between their centres, in the voxels of `mask`.

    In C order, plane by plane: on all voxels it would take as much memory as the volume.
    """
    height, rows, columns = (
        _between(factor, size, last)
        for factor, size, last in zip(coarse.factors, mask.shape, field.shape, strict=True)
    )
    found = []
    for z, inside in enumerate(mask):
        if inside.any():
            low, high, part = (one[z] for one in height)
            plane = field[low] + part * (field[high] - field[low])
            plane = plane[rows[0]] + rows[2][:, None] * (plane[rows[1]] - plane[rows[0]])
            plane = plane[:, columns[0]] + columns[2] * (
                plane[:, columns[1]] - plane[:, columns[0]]
            )
            found.append(plane[inside])
    return np.concatenate(found) if found else np.empty(0, np.float32)


def _between(factor: int, size: int, n: int) -> tuple[Index, Index, Values]:
    """The blocks before and after every voxel of an axis, and how far on from the first it lies."""
    where = np.clip((np.arange(size) - (factor - 1) / 2) / factor, 0, n - 1)
    low = np.minimum(where.astype(np.intp), max(n - 2, 0))
    return low, np.minimum(low + 1, n - 1), (where - low).astype(np.float32)


def grown(mask: Mask, radius_mm: float, spacing_mm: tuple[float, float, float]) -> Mask:
    """All that lies within `radius_mm` of `mask`."""
    if not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing_mm) <= radius_mm)


def shrunk(mask: Mask, radius_mm: float, spacing_mm: tuple[float, float, float]) -> Mask:
    """All that lies farther than `radius_mm` from what is not `mask`, the volume's edge apart."""
    return ~grown(~mask, radius_mm, spacing_mm)


def large_components(mask: Mask) -> Mask:
    """The connected parts (faces) of 5% of the largest one at least."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= _LARGE * sizes.max())[labels])

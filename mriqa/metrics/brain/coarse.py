"""A volume on a coarser grid, on which brain and head are looked for, and back."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from mriqa.metrics.regions import Mask, Volume

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


def field_on_voxels(field: Volume, coarse: Coarse, shape: tuple[int, int, int]) -> Volume:
    """A field on blocks `(z, y, x)`, linear between their centres, on the voxels of `shape`."""
    for axis, (factor, size) in enumerate(zip(coarse.factors, shape, strict=True)):
        if factor > 1:
            field = _stretched(field, axis, (np.arange(size) - (factor - 1) / 2) / factor)
        elif field.shape[axis] != size:
            field = _stretched(field, axis, np.arange(size, dtype=np.float64))
    return np.ascontiguousarray(field, np.float32)


def _stretched(field: Volume, axis: int, where: np.ndarray) -> Volume:
    last = field.shape[axis] - 1
    where = np.clip(where, 0, last)
    low = np.minimum(where.astype(np.intp), max(last - 1, 0))
    part = (where - low).astype(np.float32)
    part = part.reshape([-1 if a == axis else 1 for a in range(3)])
    first = np.take(field, low, axis)
    second = np.take(field, np.minimum(low + 1, last), axis)
    second -= first
    second *= part
    first += second
    return first


def ball(radius_mm: float, spacing_mm: tuple[float, float, float]) -> Mask:
    """A ball as a structure for scipy's morphology, one voxel at least along every axis."""
    reach = [max(int(radius_mm / spacing), 0) for spacing in spacing_mm]
    axes = np.ix_(*(np.arange(-r, r + 1) * s for r, s in zip(reach, spacing_mm, strict=True)))
    inside: Mask = np.asarray(sum(axis**2 for axis in axes) <= radius_mm**2)
    return inside


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

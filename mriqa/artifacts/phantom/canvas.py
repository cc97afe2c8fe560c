"""A voxel grid in millimetres, smooth shapes on it, and smooth random fields.

Every shape is a depth in mm (positive inside); its edge is one voxel wide, as partial volume makes
it. Only element-wise arithmetic is used, so that the same seed gives the same bytes whatever the
number of threads or processes.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Box = tuple[slice, slice, slice]
Point = tuple[float, float, float]
ANCHORED_MM = 320.0


def generator(seed: int, *key: int) -> np.random.Generator:
    """The generator of one purpose: `key` names it, so that no draw depends on any other."""
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=key))


@dataclass(frozen=True)
class Grid:
    """Voxel centres in patient millimetres: x to the left, y to the front, z to the head.

    `shape` is (z, y, x); `spacing_mm` likewise; `centre_mm` (z, y, x) is the middle of the grid.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def axis(self, number: int) -> Floats:
        """Positions in mm along axis 0 (z), 1 (y) or 2 (x)."""
        n, step, centre = self.shape[number], self.spacing_mm[number], self.centre_mm[number]
        return ((np.arange(n) - (n - 1) / 2) * step + centre).astype(np.float32)

    @cached_property
    def axes(self) -> tuple[Floats, Floats, Floats]:
        """Positions in mm along z, y, x."""
        return self.axis(0), self.axis(1), self.axis(2)

    def box(self, centre: Point, reach: Point) -> Box | None:
        """The voxels within `reach` mm (z, y, x) of `centre`; None if the grid has none."""
        slices = []
        for axis, middle, extent in zip(self.axes, centre, reach, strict=True):
            low, high = np.searchsorted(axis, (middle - extent, middle + extent))
            if low >= high:
                return None
            slices.append(slice(int(low), int(high)))
        return slices[0], slices[1], slices[2]

    def offsets(self, box: Box, centre: Point) -> tuple[Floats, Floats, Floats]:
        """Broadcastable distances (z, y, x) in mm of a box's voxels from `centre`."""
        z, y, x = (
            axis[part] - np.float32(middle)
            for axis, part, middle in zip(self.axes, box, centre, strict=True)
        )
        return z[:, None, None], y[None, :, None], x[None, None, :]


@dataclass(frozen=True)
class Region:
    """A shape: the box that holds it and the depth in mm (positive inside) of its voxels."""

    box: Box
    depth: Floats


def ellipsoid(grid: Grid, centre: Point, radii: Point, turn_deg: float = 0.0) -> Region | None:
    """An ellipsoid with radii (z, y, x) mm, turned in the axial plane; None outside the grid."""
    reach = max(radii[1], radii[2]) + 6
    box = grid.box(centre, (radii[0] + 6, reach, reach))
    if box is None:
        return None
    z, y, x = grid.offsets(box, centre)
    cos, sin = np.float32(np.cos(np.deg2rad(turn_deg))), np.float32(np.sin(np.deg2rad(turn_deg)))
    u = (x * cos + y * sin) / np.float32(radii[2])
    v = (y * cos - x * sin) / np.float32(radii[1])
    q = np.sqrt(u * u + v * v + (z / np.float32(radii[0])) ** 2)
    return Region(box, (1 - q) * np.float32(min(radii)))


def tube(grid: Grid, start: Point, end: Point, radius: float) -> Region | None:
    """A round-ended tube from `start` to `end` (z, y, x); None outside the grid."""
    middle = tuple((a + b) / 2 for a, b in zip(start, end, strict=True))
    reach = tuple(abs(a - b) / 2 + radius + 5 for a, b in zip(start, end, strict=True))
    box = grid.box((middle[0], middle[1], middle[2]), (reach[0], reach[1], reach[2]))
    if box is None:
        return None
    z, y, x = grid.offsets(box, start)
    dz, dy, dx = (np.float32(b - a) for a, b in zip(start, end, strict=True))
    length = max(float(dz * dz + dy * dy + dx * dx), 1e-6)
    t = np.clip((z * dz + y * dy + x * dx) / np.float32(length), 0, 1)
    distance = np.sqrt((z - t * dz) ** 2 + (y - t * dy) ** 2 + (x - t * dx) ** 2)
    return Region(box, np.float32(radius) - distance)


def coverage(depth: Floats, edge_mm: float) -> Floats:
    """The share of a voxel that a shape fills, 0 to 1, from its depth in mm."""
    return np.asarray(np.clip(depth / np.float32(edge_mm) + np.float32(0.5), 0, 1))


@dataclass
class Canvas:
    """An image being painted, shape (z, y, x), and how sharp its edges are."""

    grid: Grid
    edge_mm: float
    image: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.image = np.zeros(self.grid.shape, np.float32)

    def paint(
        self,
        region: Region | None,
        value: float | Floats,
        within: Floats | None = None,
        wobble: Floats | None = None,
        irregular: float = 1.0,
    ) -> None:
        """Lay `value` over the image where the region is.

        `within` (whole grid, 0 to 1) limits it; `wobble` (whole grid, mm) times
        `irregular` moves its edge.
        """
        if region is None:
            return
        depth = region.depth
        if wobble is not None and irregular:
            depth = depth + wobble[region.box] * np.float32(irregular)
        share = coverage(depth, self.edge_mm)
        if within is not None:
            share = share * within[region.box]
        part = self.image[region.box]
        part += share * (value - part)


def smooth_field(
    rng: np.random.Generator, grid: Grid, knot_mm: float, *, anchored: bool = False
) -> Floats:
    """A random field (z, y, x) of mean 0 and standard deviation ~1 that varies over `knot_mm`.

    A cubic B-spline on random coefficients, expanded axis by axis. `anchored` fields belong to the
    patient, not the grid: another grid samples the same field (within `ANCHORED_MM` of 0).
    """
    if anchored:
        positions = [(axis + np.float32(ANCHORED_MM)) / knot_mm for axis in grid.axes]
        counts = [int(2 * ANCHORED_MM / knot_mm) + 5] * 3
    else:
        positions = [(axis - axis[0]) / knot_mm for axis in grid.axes]
        counts = [int(position[-1]) + 5 for position in positions]
    values = rng.standard_normal(counts, dtype=np.float32)
    for number, position in enumerate(positions):
        values = _expand(values, number, position.astype(np.float64))
    # Mean square of the B-spline's four weights is 0.479 per axis.
    return values * np.float32(0.479**-1.5)


def _expand(coefficients: Floats, axis: int, positions: NDArray[np.float64]) -> Floats:
    index = np.clip(positions.astype(np.intp), 0, coefficients.shape[axis] - 4)
    f = positions - index
    weights = ((1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3)
    column = [1] * coefficients.ndim
    column[axis] = -1
    result: Floats | None = None
    for tap, weight in enumerate(weights):
        term = np.take(coefficients, index + tap, axis=axis)
        term *= (weight / 6).astype(np.float32).reshape(column)
        result = term if result is None else np.add(result, term, out=result)
    assert result is not None
    return result

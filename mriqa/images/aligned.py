"""A mask or map of a scan, brought into the geometry in which the scan is stored.

Tools turn what they are given (sMRIPrep to RAS), and the store permutes axes. So the axes of the
map are permuted and flipped until its voxels lie where those of the scan do; nothing is resampled.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mriqa.errors import ErrorCode, MapsError, SeriesError
from mriqa.images.geometry import Placement, axis_codes
from mriqa.images.intensity import scaled
from mriqa.images.nifti import NiftiHeader
from mriqa.images.source import open_nifti
from mriqa.images.store import SeriesAttributes

MISSING, DAMAGED, GRID = "maps_missing", "maps_damaged", "maps_grid"

TOLERANCE = 0.1
"""Of the smallest voxel edge: so far may a corner of the map's grid lie from the scan's.

Headers keep positions in float32 and tools round them (some 1e-5 mm); half a voxel is another grid.
"""

_NOT_TO_BE_HAD = {ErrorCode.FILE_MISSING, ErrorCode.FILE_UNREADABLE}


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a scan lie, and the source axes that are stored as (z, y, x)."""

    shape_ijk: tuple[int, int, int]
    affine: NDArray[np.float64]
    stored_axes: tuple[int, int, int]


@dataclass(frozen=True)
class Turn:
    """Of the scan's axes (i, j, k): which axis of the map each is, and whether it runs back."""

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]


def grid_of_stored(known: SeriesAttributes) -> Grid:
    """The grid of a stored series."""
    sizes = dict(zip(known.source_axes, known.shape_zyx, strict=True))
    return Grid((sizes[0], sizes[1], sizes[2]), np.array(known.affine), known.source_axes)


def grid_of_file(header: NiftiHeader, placement: Placement) -> Grid:
    """The grid of a file that is stored as `placement` says."""
    return Grid(header.shape_ijk, header.affine, placement.axes)


def read_aligned(path: Path, grid: Grid) -> NDArray[np.float32]:
    """The scaled values of a 3D NIfTI on the `grid`, as (z, y, x) of the store.

    Raises MapsError if it cannot be read, or is on another grid.
    """
    try:
        with open_nifti(path) as source:
            turn = turn_onto(source.header, grid, str(path))
            raw = np.empty(source.header.shape_ijk[::-1], source.header.dtype)
            source.read_into(raw)
            source.finish()
            values = scaled(raw, source.header.slope, source.header.inter)
    except SeriesError as error:
        reason = MISSING if error.code in _NOT_TO_BE_HAD else DAMAGED
        raise MapsError(reason, error.message) from error
    turned = values.T.transpose(turn.axes)
    backwards = tuple(slice(None, None, -1 if back else 1) for back in turn.flipped)
    return np.ascontiguousarray(turned[backwards].transpose(grid.stored_axes))


def turn_onto(header: NiftiHeader, grid: Grid, name: str) -> Turn:
    """How a map's axes must be permuted and flipped to lie on the `grid`; MapsError if that is not
    enough."""
    if header.n_volumes > 1:
        shown = " x ".join(map(str, (*header.shape_ijk, header.n_volumes)))
        raise MapsError(GRID, f"{name}: the image is {shown}; a mask or map is 3D")
    directions = np.linalg.solve(grid.affine, header.affine)[:3, :3]
    along = np.abs(directions / np.linalg.norm(directions, axis=0)).argmax(axis=1)
    axes = (int(along[0]), int(along[1]), int(along[2]))
    sizes = tuple(header.shape_ijk[axis] for axis in axes)
    if sorted(axes) != [0, 1, 2] or sizes != grid.shape_ijk:
        raise MapsError(
            GRID,
            f"{name}: {_shown(header.shape_ijk)} voxels towards {axis_codes(header.affine)}, the "
            f"scan has {_shown(grid.shape_ijk)} towards {axis_codes(grid.affine)}; bring it to the "
            "scan's own grid",
        )
    back = [bool(directions[number, axis] < 0) for number, axis in enumerate(axes)]
    turn = Turn(axes, (back[0], back[1], back[2]))
    _check_corners(header, grid, turn, name)
    return turn


def _check_corners(header: NiftiHeader, grid: Grid, turn: Turn, name: str) -> None:
    farthest = 0.0
    for corner in product((False, True), repeat=3):
        of_scan = [size - 1 if end else 0 for size, end in zip(grid.shape_ijk, corner, strict=True)]
        of_map = [0, 0, 0]
        for place, axis, back, size in zip(
            of_scan, turn.axes, turn.flipped, grid.shape_ijk, strict=True
        ):
            of_map[axis] = size - 1 - place if back else place
        apart = grid.affine @ [*of_scan, 1] - header.affine @ [*of_map, 1]
        farthest = max(farthest, float(np.linalg.norm(apart[:3])))
    allowed = TOLERANCE * float(np.linalg.norm(grid.affine[:3, :3], axis=0).min())
    if farthest > allowed:
        raise MapsError(
            GRID,
            f"{name}: a corner lies {farthest:.3g} mm from that of the scan, by their affines; "
            f"{allowed:.3g} mm is allowed; bring it to the scan's own grid",
        )


def _shown(shape: tuple[int, int, int]) -> str:
    return " x ".join(map(str, shape))

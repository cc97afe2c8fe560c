"""A volume in another pose in space, by cubic splines mirrored at the edges."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Volume = NDArray[np.float32]
Floats = NDArray[np.float64]
Vector = tuple[float, float, float]

FRACTIONS = 64
"""Between two voxels; so finely is the loss of noise tabulated."""
NOISE_STRIDE = 8
"""Every so many-th voxel of a slice is enough for its mean loss of noise."""


class PoseMap(NamedTuple):
    """Voxel `index` (z, y, x) of the volume in the pose comes from `matrix` @ index + `offset`."""

    matrix: Floats
    offset: Floats


def pose_map(
    shape: tuple[int, ...],
    spacing_mm: tuple[float, ...],
    rotation_deg: Vector,
    translation_mm: Vector,
) -> PoseMap:
    """From where the voxels come when a volume of `shape` turns about its centre, then moves."""
    spacing, centre = np.asarray(spacing_mm), (np.asarray(shape) - 1) / 2
    inverse = rotation_matrix(rotation_deg).T
    matrix = inverse * spacing[None, :] / spacing[:, None]
    return PoseMap(matrix, centre - matrix @ (centre + np.asarray(translation_mm) / spacing))


def spline_of(volume: Volume) -> Volume:
    """The coefficients that `posed` takes."""
    return ndimage.spline_filter(volume, order=3, output=np.float32, mode="mirror")


def posed(spline: Volume, pose: PoseMap, z: int | None = None) -> Volume:
    """The volume in `pose`, (z, y, x), or its slice `z` alone, (y, x)."""
    shape, offset = spline.shape, pose.offset
    if z is not None:
        shape, offset = (1, *spline.shape[1:]), offset + z * pose.matrix[:, 0]
    values = ndimage.affine_transform(
        spline, pose.matrix, offset, output_shape=shape, order=3, mode="mirror", prefilter=False
    )
    return np.asarray(values if z is None else values[0], np.float32)


def noise_kept(shape: tuple[int, ...], pose: PoseMap, z: int) -> float:
    """Mean share of the variance of white noise that slice `z` of `posed` has left, 0 to 1."""
    rows, columns = (np.arange(size)[::NOISE_STRIDE] for size in shape[1:])
    index = np.stack(np.meshgrid([z], rows, columns, indexing="ij")).reshape(3, -1)
    source = pose.matrix @ index + pose.offset[:, None]
    table = _noise_table()
    place = np.rint((source - np.floor(source)) * FRACTIONS).astype(int)
    return float(np.prod(table[place], axis=0).mean())


@lru_cache(1)
def _noise_table() -> Floats:
    """Share of the variance of white noise left after a shift by 0, 1/64 ... 1 voxels."""
    impulse = np.zeros(65)
    impulse[32] = 1
    shifts = np.arange(FRACTIONS + 1) / FRACTIONS
    moved = [ndimage.shift(impulse, by, order=3, mode="mirror") for by in shifts]
    return np.array([float(np.vecdot(one, one)) for one in moved])


def rotation_matrix(rotation_deg: Vector) -> Floats:
    """Rodrigues' rotation, in (z, y, x), about the axis and by the length of `rotation_deg`.

    A positive turn about z takes +x towards +y, as motion in the plane does.
    """
    vector = np.deg2rad(rotation_deg)
    angle = float(np.linalg.norm(vector))
    if angle == 0:
        return np.eye(3)
    z, y, x = vector / angle
    # The cross product with (x, y, z), written for vectors in the order (z, y, x).
    cross = np.array([[0, x, -y], [-x, 0, z], [y, -z, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return np.asarray(turn, np.float64)

"""Rigid motion during the acquisition: lines of k-space come from images in other poses.

With masks M_k per phase-encode line that sum to one, the acquired image is
x + sum_k F'M_k F (x_k - x), where x_k is the object in pose k and F the 1-D transform along the
phase-encode axis: the transforms along readout and slice cancel.
"""

from collections.abc import Callable, Iterable
from typing import cast

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage, sparse

from mriqa.artifacts.kspace import Complex, magnitude, positions_to_lines
from mriqa.artifacts.model import Motion, Move

Image = NDArray[np.float32]
BLOCK_VOXELS = 2_000_000
"""Slices are treated together up to so many voxels: more would only cost memory."""


def move_lines(volume: Image, spacing_mm: tuple[float, float, float], artifact: Motion) -> Image:
    """The magnitude volume (z, y, x) acquired while the object moved as `artifact` says."""
    if artifact.acquisition == "3d":
        return _acquired_3d(volume, spacing_mm, artifact)
    result = np.empty_like(volume)
    for slices, moves in _blocks(volume, artifact):
        operators = [_slice_operator(volume.shape[1:], spacing_mm[1:], move) for move in moves]
        for block in slices:
            result[block] = _acquired_2d(volume[block], artifact.axis, moves, operators)
    return result


def _blocks(volume: Image, artifact: Motion) -> Iterable[tuple[list[slice], tuple[Move, ...]]]:
    """Slices that share their timing, in blocks, with the moves that they see."""
    if len(artifact.tracks) > 1:
        for index, moves in enumerate(artifact.tracks):
            yield [slice(index, index + 1)], moves
        return
    step = max(1, BLOCK_VOXELS // (volume.shape[1] * volume.shape[2]))
    starts = range(0, volume.shape[0], step)
    yield [slice(start, start + step) for start in starts], artifact.tracks[0]


def _acquired_2d(
    block: Image, axis: int, moves: tuple[Move, ...], operators: list[sparse.csr_array]
) -> Image:
    # Slices last: one sparse product resamples all of them with the same in-plane weights.
    count, rows, columns = block.shape
    pixels = np.ascontiguousarray(block.reshape(count, -1).T)
    moved = ((operator @ pixels - pixels).reshape(rows, columns, count) for operator in operators)
    change = _change(moved, moves, (rows, columns, count), axis - 1)
    change += pixels.reshape(rows, columns, count)
    return np.ascontiguousarray(magnitude(change).reshape(-1, count).T).reshape(block.shape)


def _acquired_3d(volume: Image, spacing_mm: tuple[float, float, float], artifact: Motion) -> Image:
    resample = _volume_resampler(volume, spacing_mm)
    moves = artifact.tracks[0]
    moved = (resample(move) - volume for move in moves)
    shape = (volume.shape[0], volume.shape[1], volume.shape[2])
    change = _change(moved, moves, shape, artifact.axis)
    change += volume
    return magnitude(change)


def _change(
    differences: Iterable[Image], moves: tuple[Move, ...], shape: tuple[int, int, int], axis: int
) -> Complex:
    """Sum over the moves of the lines of `moved - still` that were acquired in each."""
    lines = np.zeros(shape, np.complex64)
    by_line = np.moveaxis(lines, axis, 0)
    count = shape[axis]
    for difference, move in zip(differences, moves, strict=True):
        half = np.moveaxis(scipy.fft.rfft(difference, axis=axis, workers=1), axis, 0)
        index = positions_to_lines(move.start, move.stop, count)
        positive = index[index <= count // 2]
        negative = index[index > count // 2]
        by_line[positive] = half[positive]
        by_line[negative] = half[count - negative].conj()  # the difference is real
    return cast(Complex, scipy.fft.ifft(lines, axis=axis, workers=1, overwrite_x=True))


def _slice_operator(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], move: Move
) -> sparse.csr_array:
    """Cubic convolution (Keys 1981) that moves a flat slice by the in-plane part of `move`."""
    rows, columns = shape
    angle = np.deg2rad(move.rotation_deg[0])
    (dy, dx), (_, ty, tx) = spacing_mm, move.translation_mm
    cosine, sine = np.cos(angle), np.sin(angle)
    y = (np.arange(rows) - (rows - 1) / 2)[:, None] * dy - ty
    x = (np.arange(columns) - (columns - 1) / 2)[None, :] * dx - tx
    source_y = (cosine * y + sine * x) / dy + (rows - 1) / 2
    source_x = (cosine * x - sine * y) / dx + (columns - 1) / 2
    row_index, row_weight = _cubic_taps(source_y.ravel(), rows)
    column_index, column_weight = _cubic_taps(source_x.ravel(), columns)
    index = row_index[:, :, None] * np.int32(columns) + column_index[:, None, :]
    weight = row_weight[:, :, None] * column_weight[:, None, :]
    size = rows * columns
    pointers = np.arange(0, 16 * size + 1, 16, dtype=np.int32)
    return sparse.csr_array((weight.ravel(), index.ravel(), pointers), shape=(size, size))


def _cubic_taps(
    positions: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Indices and weights (points, 4) of cubic convolution, mirrored at the edges."""
    base = np.floor(positions)
    t = (positions - base).astype(np.float32)
    weights = np.stack(
        [
            ((2 - t) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((4 - 3 * t) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        ],
        axis=1,
    )
    index = base.astype(np.int32)[:, None] + np.arange(-1, 3, dtype=np.int32)
    return _mirrored(index, count), weights


def _mirrored(index: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Indices outside 0..count-1 reflected at the edge voxels, as often as needed."""
    period = np.int32(max(2 * (count - 1), 1))
    inside = np.mod(index, period)
    return np.minimum(inside, period - inside) if count > 1 else np.zeros_like(index)


def _volume_resampler(
    volume: Image, spacing_mm: tuple[float, float, float]
) -> Callable[[Move], Image]:
    """A function that gives the volume in another 3-D pose (cubic spline, mirrored)."""
    coefficients = ndimage.spline_filter(volume, order=3, output=np.float32, mode="mirror")
    spacing = np.asarray(spacing_mm)
    centre = (np.asarray(volume.shape) - 1) / 2

    def resampled(move: Move) -> Image:
        inverse = rotation_matrix(move.rotation_deg).T
        matrix = inverse * spacing[None, :] / spacing[:, None]
        offset = centre - matrix @ (centre + np.asarray(move.translation_mm) / spacing)
        moved = ndimage.affine_transform(
            coefficients, matrix, offset, order=3, mode="mirror", prefilter=False
        )
        return cast(Image, moved)

    return resampled


def rotation_matrix(rotation_deg: tuple[float, float, float]) -> NDArray[np.float64]:
    """Rodrigues' rotation, in (z, y, x), about the axis and by the length of `rotation_deg`.

    A positive turn about z takes +x towards +y, as `_slice_operator` does.
    """
    vector = np.deg2rad(rotation_deg)
    angle = float(np.linalg.norm(vector))
    if angle == 0:
        return np.eye(3)
    z, y, x = vector / angle
    # The cross product with (x, y, z), written for vectors in the order (z, y, x).
    cross = np.array([[0, x, -y], [-x, 0, z], [y, -z, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)

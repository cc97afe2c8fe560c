"""Rigid motion during the acquisition: lines of k-space come from images in other poses.

With masks M_k per phase-encode line that sum to one, the acquired image is
x + sum_k F'M_k F (x_k - x), where x_k is the object in pose k and F the 1-D transform along the
phase-encode axis: the transforms along readout and slice cancel.
"""

from collections.abc import Iterable
from typing import cast

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import sparse

from mriqa.artifacts.kspace import Complex, magnitude
from mriqa.artifacts.model import Motion, Move
from mriqa.artifacts.posing import pose_map, posed, spline_of
from mriqa.artifacts.resampling import moved_slice

Image = NDArray[np.float32]
Operators = tuple[sparse.csr_array, sparse.csr_array]
Taps = list[tuple[NDArray[np.int32], NDArray[np.float32]]]
BLOCK_VOXELS = 450_000
"""Slices are treated together up to so many voxels: what fits a processor's cache is fastest."""


def move_lines(volume: Image, spacing_mm: tuple[float, float, float], artifact: Motion) -> Image:
    """The magnitude volume (z, y, x) acquired while the object moved as `artifact` says."""
    if artifact.acquisition == "3d":
        return _acquired_3d(volume, spacing_mm, artifact)
    if len(volume) == 1:
        return _acquired_slice(volume, spacing_mm, artifact)
    result = np.empty_like(volume)
    for slices, moves in _blocks(volume, artifact):
        operators = [_slice_operators(volume.shape[1:], spacing_mm[1:], move) for move in moves]
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
    block: Image, axis: int, moves: tuple[Move, ...], operators: list[Operators]
) -> Image:
    # Slices last: one sparse product resamples all of them with the same in-plane weights.
    count, rows, columns = block.shape
    pixels = np.ascontiguousarray(block.reshape(count, -1).T)
    moved = (
        (along_y @ (along_x @ pixels) - pixels).reshape(rows, columns, count)
        for along_x, along_y in operators
    )
    change = _change(moved, moves, (rows, columns, count), axis - 1)
    change += pixels.reshape(rows, columns, count)
    return np.ascontiguousarray(magnitude(change).reshape(-1, count).T).reshape(block.shape)


def _acquired_slice(
    volume: Image, spacing_mm: tuple[float, float, float], artifact: Motion
) -> Image:
    moves = artifact.tracks[0]
    moved = (moved_slice(volume[0], spacing_mm[1:], move)[None] - volume for move in moves)
    shape = (1, volume.shape[1], volume.shape[2])
    change = _change(moved, moves, shape, artifact.axis)
    change += volume
    return magnitude(change)


def _acquired_3d(volume: Image, spacing_mm: tuple[float, float, float], artifact: Motion) -> Image:
    spline = spline_of(volume)
    moves = artifact.tracks[0]
    moved = (
        posed(spline, pose_map(volume.shape, spacing_mm, move.rotation_deg, move.translation_mm))
        - volume
        for move in moves
    )
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
        first, last = move.start - count // 2, move.stop - count // 2  # frequencies
        by_line[max(first, 0) : max(last, 0)] = half[max(first, 0) : max(last, 0)]
        # The difference is real: line -k is the conjugate of line k.
        mirrored = half[max(1 - last, 1) : max(1 - first, 1)][::-1]
        np.conjugate(mirrored, out=by_line[count + min(first, 0) : count + min(last, 0)])
    return cast(Complex, scipy.fft.ifft(lines, axis=axis, workers=1, overwrite_x=True))


def _slice_operators(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], move: Move
) -> Operators:
    """Two sparse matrices that move a flat slice by the in-plane part of `move`.

    The first resamples along x, the second along y (Catmull and Smith 1980, two passes), each by
    cubic convolution (Keys 1981): half the work of doing both at once, exact for small angles.
    """
    rows, columns = shape
    angle = np.deg2rad(move.rotation_deg[0])
    (dy, dx), (_, ty, tx) = spacing_mm, move.translation_mm
    cosine, sine = np.cos(angle), np.sin(angle)
    y = (np.arange(rows) - (rows - 1) / 2)[:, None] * dy
    x = (np.arange(columns) - (columns - 1) / 2)[None, :] * dx - tx
    source_x = (x + sine * y) / cosine / dx + (columns - 1) / 2
    source_y = (cosine * (y - ty) - sine * x) / dy + (rows - 1) / 2
    pixel = np.arange(rows * columns, dtype=np.int32).reshape(shape)
    along_x = _gathering(_cubic_taps(source_x.ravel(), columns), (pixel - pixel[:1]).ravel(), 1)
    along_y = _gathering(_cubic_taps(source_y.ravel(), rows), (pixel % columns).ravel(), columns)
    return along_x, along_y


def _gathering(taps: Taps, first: NDArray[np.int32], stride: int) -> sparse.csr_array:
    """Sparse matrix whose row r sums the pixels `first[r] + stride * index` times their weights."""
    size = len(first)
    index = np.empty((size, len(taps)), np.int32)
    weight = np.empty((size, len(taps)), np.float32)
    for tap, (place, share) in enumerate(taps):
        np.add(place * np.int32(stride), first, out=index[:, tap])
        weight[:, tap] = share
    pointers = np.arange(0, index.size + 1, len(taps), dtype=np.int32)
    return sparse.csr_array((weight.ravel(), index.ravel(), pointers), shape=(size, size))


def _cubic_taps(positions: NDArray[np.float64], count: int) -> Taps:
    """Four (indices, weights) of cubic convolution, mirrored at the edges."""
    base = np.floor(positions)
    t: NDArray[np.float32] = (positions - base).astype(np.float32)
    weights = (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
    first: NDArray[np.int32] = base.astype(np.int32) - np.int32(1)
    return [
        (_mirrored(first + np.int32(tap), count), weight.astype(np.float32, copy=False))
        for tap, weight in enumerate(weights)
    ]


def _mirrored(index: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Indices outside 0..count-1 reflected at the edge voxels, as often as needed."""
    outside = (index < 0) | (index >= count)
    if outside.any():
        period = max(2 * (count - 1), 1)
        place = np.mod(index[outside], period)
        index[outside] = np.minimum(place, period - place) if count > 1 else 0
    return index

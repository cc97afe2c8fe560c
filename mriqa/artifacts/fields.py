"""Changes in image space: noise, bias field, slice dropout, fold-over, spikes as plane waves."""

import itertools
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts.background import measure_background
from mriqa.artifacts.kspace import magnitude
from mriqa.artifacts.model import Bias, Dropout, Noise, Spike, Spikes, Wrap

Volume = NDArray[np.float32]

ORDERS = tuple(order for order in itertools.product(range(2), range(3), range(3)) if any(order))
"""Half cosines along (z, y, x) that make up a bias field."""

EXTENT_SHARE = 0.1
"""A line belongs to the object where its mean exceeds this share of the brightest line's."""


def add_noise(volume: Volume, artifact: Noise) -> Volume:
    """Rician magnitude with the background sigma multiplied by `artifact.sigma_factor`.

    The volume holds noise already, so sigma * sqrt(factor^2 - 1) is added.
    """
    sigma = measure_background(volume).sigma * (artifact.sigma_factor**2 - 1) ** 0.5
    return rician(volume, sigma, artifact.noise_seed)


def rician(volume: Volume, sigma: float, seed: int) -> Volume:
    """|volume + complex Gaussian noise|, `sigma` in each of real and imaginary part."""
    rng = np.random.default_rng(seed)
    real = rng.standard_normal(volume.shape, dtype=np.float32)
    real *= np.float32(sigma)
    real += volume
    imaginary = rng.standard_normal(volume.shape, dtype=np.float32)
    imaginary *= np.float32(sigma)
    return cast(Volume, np.hypot(real, imaginary))


def apply_bias(volume: Volume, artifact: Bias) -> Volume:
    """`volume` times the smooth field of `artifact`."""
    shape = (volume.shape[0], volume.shape[1], volume.shape[2])
    return np.abs(volume) * bias_field(shape, artifact.weights, artifact.amplitude)


def bias_field(shape: tuple[int, int, int], weights: tuple[float, ...], amplitude: float) -> Volume:
    """A field of `shape` whose least value is 1 - amplitude and whose greatest 1 + amplitude."""
    z, y, x = (_half_cosines(count, orders) for count, orders in zip(shape, (2, 3, 3), strict=True))
    table = np.zeros((2, 3, 3))
    for order, weight in zip(ORDERS, weights, strict=True):
        table[order] = weight
    field = np.einsum("abc,az,by,cx->zyx", table, z, y, x, optimize=True)
    low, high = field.min(), field.max()
    if high == low:
        return np.ones(shape, np.float32)
    return np.asarray(1 + amplitude * (2 * (field - low) / (high - low) - 1), np.float32)


def _half_cosines(count: int, orders: int) -> NDArray[np.float64]:
    place = (np.arange(count) + 0.5) / count
    return np.stack([np.cos(np.pi * order * place) for order in range(orders)])


def drop_slices(volume: Volume, artifact: Dropout) -> Volume:
    """Slices of `artifact` at its factor, the others untouched.

    Where the air shows how much noise there is, the dark slices get it back: signal is lost,
    thermal noise is not, and a slice that is too clean would give itself away.
    """
    result = volume.copy()
    slices = list(artifact.slices)
    background = measure_background(volume)
    weak = np.abs(result[slices]) * np.float32(artifact.factor)
    if background.source == "air":
        lost = background.sigma * (1 - artifact.factor**2) ** 0.5
        weak = rician(weak, lost, artifact.noise_seed)
    result[slices] = weak
    return result


def fold_over(volume: Volume, artifact: Wrap) -> Volume:
    """The object's end beyond the field of view, added at the other end.

    The end is taken from the object itself (its outermost lines, not the air beside it), so the
    stated share of the field of view is covered whatever margin the volume has.
    """
    axis = artifact.axis
    lines = np.moveaxis(volume, axis, 0)
    folded = np.zeros(lines.shape, np.float32)
    first, last = object_extent(lines)
    low, high = folded_lines(artifact, len(lines))
    low, high = min(low, last - first), min(high, last - first)
    if low:
        folded[:low] += lines[last - low : last]
    if high:
        folded[-high:] += lines[first : first + high]
    total = lines + np.exp(1j * artifact.phase_rad).astype(np.complex64) * folded
    return np.ascontiguousarray(np.moveaxis(magnitude(total), 0, axis))


def folded_lines(artifact: Wrap, count: int) -> tuple[int, int]:
    """How many lines at the low and at the high end are folded over, of `count`."""
    total = max(1, round(artifact.share * count))
    if artifact.side == "both":
        return total // 2, total - total // 2
    return (total, 0) if artifact.side == "low" else (0, total)


def object_extent(lines: Volume) -> tuple[int, int]:
    """First line of the object and the one after its last, along axis 0."""
    profile = np.abs(lines).mean(axis=(1, 2), dtype=np.float64)
    profile -= profile.min()
    inside = np.flatnonzero(profile > EXTENT_SHARE * profile.max())
    if inside.size == 0:
        return 0, len(lines)
    return int(inside[0]), int(inside[-1]) + 1


def add_spikes(volume: Volume, artifact: Spikes) -> Volume:
    """Add a plane wave for each spike, that is a point in k-space.

    The peak of a magnitude image's k-space is its centre, the sum of its voxels; a point of
    `amplitude` times that is a wave of `amplitude` times the mean.
    """
    result = volume.copy()
    if artifact.acquisition == "3d":
        waves = sum(_wave(volume.shape, spike) for spike in artifact.spikes)
        return magnitude(result + artifact.amplitude * result.mean(dtype=np.float64) * waves)
    for index in sorted({spike.slice for spike in artifact.spikes}):
        here = [spike for spike in artifact.spikes if spike.slice == index]
        waves = sum(_wave((1, *volume.shape[1:]), spike)[0] for spike in here)
        mean = result[index].mean(dtype=np.float64)
        result[index] = magnitude(result[index] + artifact.amplitude * mean * waves)
    return result


def _wave(shape: tuple[int, ...], spike: Spike) -> NDArray[np.complex64]:
    """exp(i(k.r + phase)) over (z, y, x); for one slice the first axis has length 1."""
    turns = (spike.slice, spike.frequency_y, spike.frequency_x)
    z, y, x = (
        np.exp(2j * np.pi * turn * np.arange(count) / count).astype(np.complex64)
        for turn, count in zip(turns, shape, strict=True)
    )
    start = np.exp(1j * spike.phase_rad).astype(np.complex64)
    return cast(NDArray[np.complex64], start * z[:, None, None] * y[:, None] * x)

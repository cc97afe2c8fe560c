"""Where the body is, where there is air, and what the provider has zeroed.

Everything is found on block means (`COARSE` voxels an axis or so): noise is lower there, and the
filters cost a fraction. A region is therefore known to within a block.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mriqa.metrics.histogram import CENTRES, Counts, Floats, quantile, value_counts

Volume = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

COARSE = 64
"""Blocks along the shorter in-plane axis at least, where there are so many voxels."""

_GUARD_SHARE = 0.03
"""Air keeps away from the body by this part of the shorter in-plane axis."""

_MIN_COMPONENT = 0.05
_NOISE_DEVIATIONS = 3.5
_FAINT = 0.1
"""What is below this part of the body's upper quartile may be a weak ghost, and is no body."""

_DIM = 0.5
"""What is below this part of the body's upper quartile is dim, and may be a ghost."""

_WRAPPED_SHARE = 0.1
_SEAM = 0.1
"""Relative difference across the field of view's edge: 0.01-0.04 for ghosts, 0.17 for tissue."""


@dataclass(frozen=True)
class Regions:
    """Regions of a volume on a coarse grid `(z, y // block, x // block)`.

    `mean`: block means of the intensities. `body`: the foreground, its holes filled.
    `air`: background a guard band away from the body and from anything zeroed.
    `zeroed`: blocks amid exact zeros (provider's mask, scanner's edge, non-finite voxels).
    """

    block: int
    mean: Volume
    body: Mask
    air: Mask
    zeroed: Mask

    def window(self, margin: int) -> tuple[slice, slice]:
        """Rows and columns of voxels that hold the body of all slices, and `margin` around it."""
        rows = np.flatnonzero(self.body.any(axis=(0, 2)))
        columns = np.flatnonzero(self.body.any(axis=(0, 1)))
        return _extent(rows, self.block, margin), _extent(columns, self.block, margin)


def _extent(places: npt.NDArray[np.intp], block: int, margin: int) -> slice:
    if places.size == 0:
        return slice(0, 0)
    # The voxels beyond the last whole block may belong to the margin.
    return slice(max(int(places[0]) * block - margin, 0), (int(places[-1]) + 1) * block + margin)


def find_regions(volume: Volume, finite: Mask | None = None) -> Regions:
    """Regions of a non-negative volume `(z, y, x)`, 0 where `finite` is False (None: nowhere)."""
    block = block_size(volume.shape)
    mean = block_mean(volume, block)
    if finite is not None:
        share = block_mean(finite.astype(np.float32), block)
        mean /= np.maximum(share, np.float32(0.5 / block**2))
    zeroed = _amid_zeros(mean)
    body, hull = _body(mean)
    guard = max(1, round(_GUARD_SHARE * min(mean.shape[1:])))
    kept_out = grow(hull, guard) | grow(zeroed, 1)
    return Regions(block, mean, body, ~kept_out, zeroed)


def block_size(shape: tuple[int, ...]) -> int:
    """In-plane edge of a block in voxels."""
    return max(1, min(shape[1:]) // COARSE)


def block_mean(volume: Volume, block: int) -> Volume:
    """In-plane block means; rows and columns beyond a whole number of blocks are left out."""
    if block == 1:
        return volume
    rows, columns = volume.shape[1] // block * block, volume.shape[2] // block * block
    # Whole lines first: they are contiguous, and leave a fraction for the strided columns.
    lines = volume[:, 0:rows:block, :columns] + volume[:, 1:rows:block, :columns]
    for i in range(2, block):
        lines += volume[:, i:rows:block, :columns]
    total = lines[:, :, ::block] + lines[:, :, 1::block]
    for j in range(2, block):
        total += lines[:, :, j::block]
    total *= np.float32(1 / block**2)
    return total


def otsu_threshold(counts: Counts, values: Floats) -> float:
    """Otsu's threshold between two classes (Otsu, IEEE Trans SMC 9:62, 1979, eq. 18).

    `counts[k]` voxels have the ascending `values[k]`; those up to the result are the lower class.
    """
    below = np.cumsum(counts).astype(np.float64)
    first = np.cumsum(counts * values)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = first / below - (first[-1] - first) / above
    spread = np.where((below > 0) & (above > 0), below * above * difference**2, 0)
    # Between two separate classes every empty bin is as good: take the middle of the plateau.
    best = np.flatnonzero(spread >= spread.max() * (1 - 1e-9))
    return float((values[best[0]] + values[best[-1]]) / 2)


def _body(mean: Volume) -> tuple[Mask, Mask]:
    """The body and its hull, by Otsu's threshold on cube roots, lower where noise allows.

    Filled is what has body on all four sides: lungs, bowel, dark fat. In the hull is what has body
    on two opposite sides: dark tissue in a coil's shadow, which is neither body nor air.
    """
    brightest = float(mean.max())
    counts = value_counts(mean, brightest)
    bright = float(quantile(counts, 0.99))
    roots = np.cbrt(np.minimum(CENTRES, bright))
    otsu = otsu_threshold(counts, roots) ** 3
    level = float(quantile(np.where(otsu < CENTRES, counts, 0), 0.75))
    threshold = min(otsu, max(_above_noise(np.where(otsu < CENTRES, 0, counts)), _FAINT * level))
    dim = _DIM * level
    body, hull = _filled(mean > threshold * brightest)
    if threshold >= dim or not any(_leaves_both_sides(body, axis).any() for axis in (1, 2)):
        return body, hull
    core, core_hull = _filled(mean > dim * brightest)
    # Where noise is low the threshold falls between noise and strong ghosts, and the replicas of
    # the body look like body.
    return (core, core_hull) if _wraps_around(body & ~core, mean) else (body, hull)


def _above_noise(dark: Counts) -> float:
    """What blocks of pure noise hardly exceed, from the lower quantiles of the darker class.

    Dark fat and muscle belong to this class too, but are brighter than air.
    """
    low, middle = (float(quantile(dark, share)) for share in (0.05, 0.25))
    deviation = (middle - low) / (1.645 - 0.674)
    return middle + (0.674 + _NOISE_DEVIATIONS) * deviation


def _wraps_around(dim: Mask, mean: Volume) -> bool:
    """Whether what is dim leaves the field of view and goes on at the other side: replicas do.

    Tissue in a coil's shadow and rims of dark fat end, leave at one side, or are not the same on
    the other.
    """
    for axis in (1, 2):
        both = _leaves_both_sides(dim, axis)
        if both.any():
            first, last = np.take(mean, 0, axis)[both], np.take(mean, -1, axis)[both]
            if np.median(np.abs(first - last) / (first + last)) < _SEAM:
                return True
    return False


def _leaves_both_sides(mask: Mask, axis: int) -> Mask:
    """Lines along `axis` whose two ends are both set; none where they are few."""
    both = np.take(mask, 0, axis) & np.take(mask, -1, axis)
    return np.asarray(both & (np.count_nonzero(both) > _WRAPPED_SHARE * both.size))


def _filled(seed: Mask) -> tuple[Mask, Mask]:
    body = _large_components(seed)
    hull = np.zeros_like(body)
    # Beyond the rectangle around the body there is nothing to fill.
    plane = np.asarray(body.any(axis=0))
    rows_in, columns_in = (np.flatnonzero(plane.any(axis=axis)) for axis in (1, 0))
    box = (slice(None), _extent(rows_in, 1, 0), _extent(columns_in, 1, 0))
    rows, columns = _between(body[box], 1), _between(body[box], 2)
    hull[box] = rows | columns
    body[box] |= rows & columns
    return body, hull


def _large_components(seed: Mask) -> Mask:
    """Without thin bridges and specks: components of 5% of the largest one at least."""
    opened = grow(~grow(~seed, 1), 1)
    # Labels on half the grid are four times as fast; a component has many blocks.
    labels, count = ndimage.label(opened[:, ::2, ::2])
    if count <= 1:
        return opened if count else seed
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    large = (sizes >= _MIN_COMPONENT * sizes.max())[labels]
    near = large.repeat(2, 1)[:, : seed.shape[1]].repeat(2, 2)[:, :, : seed.shape[2]]
    return opened & grow(near, 1)


def _between(mask: Mask, axis: int) -> Mask:
    """From the first to the last set voxel of every line along `axis`, both included."""
    count = mask.shape[axis]
    shape = [1, 1, 1]
    shape[axis] = count
    place = np.arange(count, dtype=np.int16).reshape(shape)
    first = np.expand_dims(mask.argmax(axis).astype(np.int16), axis)
    last = np.expand_dims((count - 1 - np.flip(mask, axis).argmax(axis)).astype(np.int16), axis)
    # A line without any has its first at 0 and its last at the end.
    last[~np.expand_dims(mask.any(axis), axis)] = -1
    return np.asarray((place >= first) & (place <= last))


def _amid_zeros(mean: Volume) -> Mask:
    """Blocks in whose 3×3 neighbourhood of the plane nothing but zeros is."""
    return ~grow(mean > 0, 1)


def grow(mask: Mask, steps: int) -> Mask:
    """In-plane dilation of `(z, y, x)` by a square that reaches `steps` voxels.

    The mask itself where all of it or nothing is set.
    """
    if mask.all() or not mask.any():
        return mask
    # Shifted as a flat array, some times as fast as row by row; what a row would take from the
    # next one is padding.
    columns = mask.shape[2]
    steps_x, steps_y = (min(steps, mask.shape[axis] - 1) for axis in (2, 1))
    padded = np.zeros((*mask.shape[:2], columns + steps_x), np.bool_)
    padded[:, :, :columns] = mask
    _spread(padded.reshape(1, -1), steps_x)
    grown = padded[:, :, :columns].copy()
    _spread(grown, steps_y)
    return grown


def _spread(mask: Mask, steps: int) -> None:
    """In-place dilation along the second axis."""
    source = mask.copy()
    for step in range(1, steps + 1):
        mask[:, step:] |= source[:, :-step]
        mask[:, :-step] |= source[:, step:]

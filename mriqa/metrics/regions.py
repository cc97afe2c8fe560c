"""Where the body is, where there is air, and what the provider has zeroed.

Everything is found on block means (`COARSE` voxels an axis or so): noise is lower there, and the
filters cost a fraction. A region is therefore known to within a block.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Volume = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

COARSE = 64
"""Blocks along the shorter in-plane axis at least, where there are so many voxels."""

_GUARD_SHARE = 0.03
_MIN_COMPONENT = 0.05
_OTSU_BINS = 256
_BACKGROUND_CONTRAST = 0.35
_PLANE = ndimage.generate_binary_structure(2, 2)[None]


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

    def fine(self, coarse: Mask) -> Mask:
        """A coarse mask on the voxels that the blocks cover."""
        if self.block == 1:
            return coarse
        return coarse.repeat(self.block, axis=1).repeat(self.block, axis=2)


def find_regions(volume: Volume) -> Regions:
    """Regions of a non-negative finite volume `(z, y, x)`."""
    block = block_size(volume.shape)
    mean = block_mean(volume, block)
    zeroed = _amid_zeros(mean)
    body = _body(mean)
    guard = max(1, round(_GUARD_SHARE * min(mean.shape[1:])))
    near = _grow(body, guard) | _grow(zeroed, 1)
    return Regions(block, mean, body, ~near, zeroed)


def block_size(shape: tuple[int, ...]) -> int:
    """In-plane edge of a block in voxels."""
    return max(1, min(shape[1:]) // COARSE)


def block_mean(volume: Volume, block: int) -> Volume:
    """In-plane block means; rows and columns beyond a whole number of blocks are left out."""
    if block == 1:
        return volume
    slices, rows, columns = (volume.shape[0], volume.shape[1] // block, volume.shape[2] // block)
    total = np.zeros((slices, rows, columns), np.float32)
    for i in range(block):
        for j in range(block):
            total += volume[:, i : rows * block : block, j : columns * block : block]
    total *= np.float32(1 / block**2)
    return total


def otsu_threshold(values: npt.NDArray[np.float32]) -> float:
    """Otsu's threshold of values in [0, 1] (Otsu, IEEE Trans SMC 9:62, 1979, eq. 18)."""
    bins = np.minimum((values * _OTSU_BINS).astype(np.int32), _OTSU_BINS - 1)
    counts = np.bincount(bins.ravel(), minlength=_OTSU_BINS).astype(np.float64)
    centres = (np.arange(_OTSU_BINS) + 0.5) / _OTSU_BINS
    below = np.cumsum(counts)
    first = np.cumsum(counts * centres)
    above = below[-1] - below
    inside = (below > 0) & (above > 0)
    if not inside.any():
        return 0.0
    spread = np.zeros(_OTSU_BINS)
    difference = first[inside] / below[inside] - (first[-1] - first[inside]) / above[inside]
    spread[inside] = below[inside] * above[inside] * difference**2
    # Between two separate classes every empty bin is as good: take the middle of the plateau.
    best = np.flatnonzero(spread >= spread.max() * (1 - 1e-9))
    return float((best.mean() + 1) / _OTSU_BINS)


def _body(mean: Volume) -> Mask:
    bright = float(np.percentile(mean[mean > 0], 99)) if (mean > 0).any() else 0.0
    if bright <= 0:
        return np.zeros(mean.shape, bool)
    # The cube root draws dim tissue and bright tissue together, away from the noise.
    root = np.cbrt(np.minimum(mean * np.float32(1 / bright), 1))
    seed = root > otsu_threshold(root)
    if not _stands_out(mean, seed):
        return np.ones(mean.shape, bool)
    return _fill(_large_components(seed))


def _stands_out(mean: Volume, seed: Mask) -> bool:
    """Whether the darker class is background, not the darker tissue of a crop."""
    if seed.all():
        return False
    return bool(np.median(mean[~seed]) < _BACKGROUND_CONTRAST * np.median(mean[seed]))


def _large_components(seed: Mask) -> Mask:
    """Without thin bridges and specks: components of 5% of the largest one at least."""
    opened = ndimage.binary_opening(seed, _PLANE)
    labels, count = ndimage.label(opened)
    if count <= 1:
        return opened if count else seed
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= _MIN_COMPONENT * sizes.max())[labels])


def _fill(mask: Mask) -> Mask:
    """Also what has body on all four sides of it: lungs, bowel, dark fat."""
    either = np.logical_or.accumulate
    rows = either(mask, 1) & either(mask[:, ::-1], 1)[:, ::-1]
    columns = either(mask, 2) & either(mask[:, :, ::-1], 2)[:, :, ::-1]
    return np.asarray(mask | (rows & columns))


def _amid_zeros(mean: Volume) -> Mask:
    """Blocks in whose 3×3 neighbourhood of the plane nothing but zeros is."""
    return ~_grow(mean > 0, 1)


def _grow(mask: Mask, steps: int) -> Mask:
    """In-plane dilation by a square."""
    grown = mask.copy()
    for axis in (1, 2):
        source = grown.copy()
        for step in range(1, min(steps, mask.shape[axis] - 1) + 1):
            ahead: list[slice] = [slice(None)] * 3
            behind: list[slice] = [slice(None)] * 3
            ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
            grown[tuple(ahead)] |= source[tuple(behind)]
            grown[tuple(behind)] |= source[tuple(ahead)]
    return grown

"""Smoothness of an image inside a mask: the width of an equivalent Gaussian kernel."""

import numpy as np

from mriqa.metrics.brain.voxels import bounding_box, clean
from mriqa.metrics.histogram import Floats
from mriqa.metrics.regions import Mask, Volume

_MIN_PAIRS = 6
"""Neighbours that an axis needs, as in AFNI."""

_CENTRE_PLANES = 8


def fwhm(volume: Volume, mask: Mask) -> tuple[float | None, float | None, float | None]:
    """Full width at half maximum along (z, y, x) in voxels; lower is sharper.

    sqrt(-2 ln 2 / ln(1 - var(difference of neighbours) / (2 var(image)))), both in the mask
    (Forman et al., MRM 33:636, 1995). Our own code for the formula of AFNI's 3dFWHMx
    -ShowMeClassicFWHM, which MRIQC runs. None along an axis where neighbours are too few, or no
    more alike than by chance. Not a resolution: the borders of tissues are part of the image.
    Independent of the intensities' scale and offset.
    """
    box = bounding_box(mask)
    if box is None:
        return None, None, None
    inside = mask[box].astype(np.float32)
    sums = _sums(volume[box], inside)
    variance = _variance(sums[3])
    z, y, x = (_width(one, variance) for one in sums[:3])
    return z, y, x


def _sums(values: Volume, inside: Volume) -> Floats:
    """`(4, 3)`: of the differences along z, y and x and of the values: number, sum, squares.

    Plane by plane, as planes stay in the processor's cache. `inside` is 1 in the mask, 0 elsewhere.
    """
    sums = np.zeros((4, 3))
    unit = 1 / _highest(values)
    step = max(values.shape[0] // _CENTRE_PLANES, 1)
    centre = (clean(values[::step].copy()) * unit).mean()
    last = np.zeros_like(values[0])
    for z, (plane, here) in enumerate(zip(values, inside, strict=True)):
        # Large offsets would cost digits of the sums.
        centred = clean(plane.copy())
        centred *= unit
        centred -= centre
        centred *= here
        if z:
            sums[0] += _moments(centred - last, here * inside[z - 1])
        sums[1] += _moments(centred[1:] - centred[:-1], here[1:] * here[:-1])
        sums[2] += _moments(centred[:, 1:] - centred[:, :-1], here[:, 1:] * here[:, :-1])
        sums[3] += _moments(centred, here)
        last = centred
    return sums


def _highest(values: Volume) -> np.float32:
    """The highest finite value, or 1 if none is positive: squares of others need not fit."""
    high = np.fmax.reduce(values, axis=None)
    if not np.isfinite(high):
        high = values.max(where=np.isfinite(values), initial=0)
    return np.float32(max(high, np.finfo(np.float32).tiny * 4)) if high > 0 else np.float32(1)


def _moments(values: Volume, counted: Volume) -> tuple[float, float, float]:
    values *= counted
    return float(counted.sum()), float(values.sum()), float(np.vdot(values, values))


def _width(difference: Floats, variance: float) -> float | None:
    if difference[0] < _MIN_PAIRS or variance <= 0:
        return None
    alike = 1 - _variance(difference) / (2 * variance)
    if not 0 < alike < 1:
        return None
    return float(np.sqrt(-2 * np.log(2) / np.log(alike)))


def _variance(moments: Floats) -> float:
    """Over n - 1, from number, sum and squares."""
    n, total, squares = moments
    return float((squares - total**2 / n) / (n - 1)) if n > 1 else 0.0

"""Lines of k-space along the phase-encode axis.

All operators here act line by line, so the transform along readout (and slice) cancels and a 1-D
transform along the phase-encode axis is enough. Lines are counted in ascending frequency: line
n // 2 of n is the centre of k-space.
"""

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Complex = NDArray[np.complex64]


def to_lines(image: NDArray[Any], axis: int) -> Complex:
    """Orthonormal transform along `axis`, unshifted (line 0 is the centre)."""
    lines = scipy.fft.fft(image, axis=axis, norm="ortho", workers=1)
    return lines.astype(np.complex64, copy=False)


def from_lines(lines: Complex, axis: int) -> Complex:
    """Inverse of `to_lines`."""
    image = scipy.fft.ifft(lines, axis=axis, norm="ortho", workers=1, overwrite_x=True)
    return image.astype(np.complex64, copy=False)


def frequencies(count: int) -> NDArray[np.float64]:
    """Cycles per sample of every line, unshifted."""
    return np.fft.fftfreq(count)


def time_order(count: int) -> NDArray[np.int64]:
    """For every unshifted line its place in ascending frequency order."""
    return np.fft.ifftshift(np.arange(count))


def along(values: NDArray[Any], axis: int) -> NDArray[Any]:
    """Shape values of (lines,) or (slices, lines) so that they broadcast over (z, y, x)."""
    values = np.atleast_2d(values)
    return values[:, :, None] if axis == 1 else values[:, None, :]


def magnitude(image: Complex) -> NDArray[np.float32]:
    """Absolute value in single precision."""
    return np.abs(image).astype(np.float32, copy=False)

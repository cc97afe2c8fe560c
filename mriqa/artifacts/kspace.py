"""Lines of k-space along the phase-encode axis.

The operators here act line by line, so the transforms along readout and slice cancel and a 1-D
transform along the phase-encode axis is enough. Lines have a position (ascending frequency,
position n // 2 of n is the centre of k-space; also the order in time) and an index in the
unshifted transform (index 0 is the centre).
"""

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Complex = NDArray[np.complex64]


def line_positions(count: int) -> NDArray[np.int64]:
    """For every line of the unshifted transform its position."""
    return np.fft.ifftshift(np.arange(count))


def frequencies(count: int) -> NDArray[np.float64]:
    """Cycles a voxel of every line of the unshifted transform, in [-1/2, 1/2)."""
    return np.asarray(np.fft.fftfreq(count), np.float64)


def modulated(volume: NDArray[np.float32], factor: NDArray[Any], axis: int) -> NDArray[np.float32]:
    """Magnitude of `volume` (z, y, x) after multiplying its lines along `axis`.

    `factor` is complex, unshifted, of shape (lines,), or (slices, lines) where slices differ.
    """
    factors = np.atleast_2d(factor).astype(np.complex64)
    shaped = factors[:, :, None] if axis == 1 else factors[:, None, :]
    lines = scipy.fft.fft(volume, axis=axis, workers=1)
    lines *= shaped
    return magnitude(scipy.fft.ifft(lines, axis=axis, workers=1, overwrite_x=True))


def magnitude(image: NDArray[Any]) -> NDArray[np.float32]:
    """Absolute value in single precision."""
    result: NDArray[np.float32] = np.abs(image).astype(np.float32, copy=False)
    return result

"""Generated weights of many images in two dimensions, as in the paper's Fig. 3.

Images of like content get like weights: points lie by content, where the hyper-network has adapted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
AXES = 2
ROUNDING = 1e-12
"""Singular values below this part of the data's size are rounding."""


@dataclass(frozen=True)
class WeightsPlane:
    """`points` (n, 2) on the first two principal axes; `explained` (2), shares of the variance."""

    points: Floats
    explained: Floats


def weights_plane(weights: NDArray[np.floating]) -> WeightsPlane:
    """Principal components (Hotelling 1933) of generated weights (n, d), a row an image.

    An axis points where its largest loading is positive, so that a rerun gives the same picture.
    What has no spread (one image, equal rows, a single column) lies at 0 and explains 0, never NaN.
    Raises ValueError if there is no row or a value is not finite.
    """
    given = np.asarray(weights, dtype=np.float64)
    if given.ndim != 2 or given.size == 0 or not np.isfinite(given).all():
        raise ValueError(f"weights must be (n, d), not empty and finite; they are {given.shape}")
    centred = given - given.mean(axis=0)
    left, sizes, loadings = np.linalg.svd(centred, full_matrices=False)
    sizes[sizes <= ROUNDING * max(float(np.linalg.norm(given)), np.finfo(float).tiny)] = 0
    count = min(AXES, len(sizes))
    peaks = np.abs(loadings[:count]).argmax(axis=1)
    signs = np.where(loadings[np.arange(count), peaks] < 0, -1.0, 1.0)
    points, explained = np.zeros((len(given), AXES)), np.zeros(AXES)
    points[:, :count] = left[:, :count] * (sizes[:count] * signs)
    total = float(np.sum(sizes**2))
    if total > 0:
        explained[:count] = sizes[:count] ** 2 / total
    return WeightsPlane(points, explained)

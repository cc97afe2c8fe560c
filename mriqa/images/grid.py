"""The numbers that a source can hold: what is simulated from it must look as if it were stored.

Otherwise a network learns to tell simulated images from real ones by their decimals alone.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.images.store import SeriesAttributes

Image = NDArray[np.float32]


def as_stored(image: Image, source: Image, attributes: SeriesAttributes) -> Image:
    """`image`, made from `source` (of any shape, as the store gives it), on the source's own grid.

    Integers are rounded and kept within their type. Floating-point values are rounded to whole
    numbers if all of `source` are whole, as those of magnitude images converted once often are.
    """
    dtype = np.dtype(attributes.dtype)
    if dtype.kind != "f":
        return _on_grid(image, dtype, attributes.slope, attributes.inter)
    finite = source[np.isfinite(source)]
    return np.rint(image) if np.array_equal(finite, np.rint(finite)) else image


def _on_grid(image: Image, dtype: np.dtype[Any], slope: float, inter: float) -> Image:
    limits = np.iinfo(dtype)
    finite = np.where(np.isfinite(image), image, 0).astype(np.float64)
    stored = np.clip(np.rint((finite - inter) / slope), limits.min, limits.max)
    return np.asarray(stored * slope + inter, dtype=np.float32)

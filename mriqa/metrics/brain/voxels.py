"""What is done to voxels before anything is measured."""

import numpy as np

from mriqa.metrics.regions import Mask, Volume

Box = tuple[slice, slice, slice]

_LARGEST = float(np.finfo(np.float32).max)


def clean(image: Volume, highest: float = _LARGEST) -> Volume:
    """`image`, in place: 0 for what is negative or not finite, `highest` for what is above that."""
    # Most planes need nothing, and comparisons with NaN are false.
    if not (image.min(initial=0) >= 0 and image.max(initial=0) <= highest):
        np.fmax(image, np.float32(0), out=image)
        image[np.isinf(image)] = 0
        np.minimum(image, np.float32(highest), out=image)
    return image


def bounding_box(mask: Mask) -> Box | None:
    """The smallest box that holds `mask` `(z, y, x)`; None if nothing is set."""
    plane: Mask = np.asarray(mask.any(axis=0))
    lines = (mask.any(axis=(1, 2)), plane.any(axis=1), plane.any(axis=0))
    ends = [np.flatnonzero(line)[[0, -1]] for line in lines if line.any()]
    if len(ends) < len(lines):
        return None
    z, y, x = (slice(int(first), int(last) + 1) for first, last in ends)
    return z, y, x

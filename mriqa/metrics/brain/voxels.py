"""What is done to voxels before anything is measured."""

import numpy as np

from mriqa.metrics.regions import Mask, Volume

Box = tuple[slice, slice, slice]


def clean(image: Volume) -> Volume:
    """`image`, in place, without what is negative or not finite."""
    # Most planes need nothing, and comparisons with NaN are false.
    if not (image.min(initial=0) >= 0 and image.max(initial=0) < np.inf):
        np.fmax(image, np.float32(0), out=image)
        image[np.isinf(image)] = 0
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

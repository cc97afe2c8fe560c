"""Head, air and what is not air although it should be: masks for the metrics of the background."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mriqa.metrics.brain.coarse import Coarse, grown, large_components, mask_on_voxels, shrunk
from mriqa.metrics.brain.morphology import open_edges, open_faces
from mriqa.metrics.brain.order import median
from mriqa.metrics.brain.summary import GAUSSIAN_3_4
from mriqa.metrics.regions import Mask, Volume, otsu_threshold

Up = tuple[int, int]
"""Array axis (0, 1, 2: z, y, x) and direction (1, -1) that lead to the top of the head."""

Z_SCORE = 10.0
"""Air so many deviations above 0 is an artifact (MRIQC)."""

_NEAR = 0.10
"""Air this near to the head, relative to the farthest air, holds no artifacts (MRIQC)."""

_MIN_FRAME = 500
_MIN_SIGNAL = 10
_OTSU_BINS = 256
_BRIGHT_PERCENT = 99.0
_CLOSE_MM = 8.0
_SCALP_MM = 30.0
"""Above the face, nothing of the head is farther than this from the brain."""

_GUARD_MM = 4.0
"""Air keeps away from the head by so much: its rim is partly scalp."""

_ABOVE_FACE = 0.4
"""Height of the plane through nasion and occiput, of the brain's height from its lowest point."""


def up_of_affine(affine: npt.NDArray[np.float64]) -> Up:
    """Where the top of the head is in an array `(z, y, x)` whose voxels (x, y, z) `affine` places.

    `affine` `(4, 4)` leads to RAS+ millimetres, as NIfTI's does; oblique volumes get the nearest
    axis.
    """
    upwards = affine[2, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    axis = int(np.abs(upwards).argmax())
    return 2 - axis, 1 if upwards[axis] > 0 else -1


def up_of_orientation(orientation: str) -> Up | None:
    """The same of an array whose axes grow towards `orientation`, as `SAL`; None if none of them
    leads up or down."""
    for axis, letter in enumerate(orientation):
        if letter in "SI":
            return axis, 1 if letter == "S" else -1
    return None


@dataclass(frozen=True)
class AirMasks:
    """Bool `(z, y, x)`; see `maps.BrainTissue`."""

    head: Mask
    air: Mask
    artifacts: Mask
    frame: Mask | None


def air_masks(volume: Volume, coarse: Coarse, brain: Mask, up: Up | None) -> AirMasks:
    """Masks of `volume` `(z, y, x)` >= 0 from its block means; `brain` is on the blocks.

    Where `up` is not known, the air around the face and neck counts as well, and ghosts of some
    20% of the signal and more are taken for head.
    """
    shape = (volume.shape[0], volume.shape[1], volume.shape[2])
    above = _above_face(brain, up)
    head = head_of(coarse, brain)
    if up is not None:
        # Strong ghosts look like head, but lie farther away than any scalp.
        head &= ~above | grown(brain, _SCALP_MM, coarse.spacing_mm)
    distance = ndimage.distance_transform_edt(~head, sampling=coarse.spacing_mm)
    hat = (distance > _GUARD_MM) & above
    far = distance >= _NEAR * float(distance.max(initial=0, where=hat))
    frame = empty_frame(volume)
    hat_on = mask_on_voxels(hat, coarse, shape)
    if frame is not None:
        hat_on &= ~frame
    found = artifacts(volume, hat_on, mask_on_voxels(far, coarse, shape))
    return AirMasks(mask_on_voxels(head, coarse, shape), hat_on & ~found, found, frame)


def head_of(coarse: Coarse, brain: Mask) -> Mask:
    """The head on the blocks of `coarse`: what Otsu's threshold of cube roots leaves, closed.

    MRIQC thresholds the gradient instead. Skull and sinuses are filled; the brain belongs to it.
    """
    seed = large_components(foreground(coarse.image)) | brain
    closed = shrunk(grown(seed, _CLOSE_MM, coarse.spacing_mm), _CLOSE_MM, coarse.spacing_mm)
    return np.asarray(ndimage.binary_fill_holes(closed | seed))


def foreground(image: Volume) -> Mask:
    """Blocks above Otsu's threshold of the cube roots of `image` >= 0."""
    bright = float(np.percentile(image, _BRIGHT_PERCENT))
    if bright <= 0:
        return np.asarray(image > 0)
    roots = np.cbrt(np.minimum(image / bright, 1))
    counts, edges = np.histogram(roots, _OTSU_BINS, (0, 1))
    return np.asarray(roots > otsu_threshold(counts, (edges[1:] + edges[:-1]) / 2))


def _above_face(brain: Mask, up: Up | None) -> npt.NDArray[np.bool_]:
    """Blocks above the plane through nasion and occiput, where that can be said.

    MRIQC maps both landmarks (z = -14 mm in MNI space) with a registration; there, this plane
    lies at 0.4 of the brain's height. A tilted head makes it a slightly different plane.
    """
    if up is None or not brain.any():
        return np.ones(brain.shape, np.bool_)
    axis, direction = up
    others = tuple(a for a in range(3) if a != axis)
    planes = np.flatnonzero(brain.any(axis=others))
    height = planes[-1] - planes[0]
    index = np.arange(brain.shape[axis])
    share = (index - planes[0]) if direction > 0 else (planes[-1] - index)
    above = share >= _ABOVE_FACE * height
    return np.asarray(above.reshape([-1 if a == axis else 1 for a in range(3)]) & True)


def artifacts(volume: Volume, hat: Mask, far: Mask) -> Mask:
    """Voxels of the air `hat` above 10 deviations, `far` from the head, opened by 6 neighbours.

    Mortamet et al., MRM 62:365, 2009, as MRIQC's `artifact_mask`: the deviation is the MAD of the
    positive values of the air. Nothing where fewer than 10 of them are positive.
    """
    air = volume[hat]
    positive = air[air > 0]
    if positive.size < _MIN_SIGNAL:
        return np.zeros(volume.shape, np.bool_)
    spread = median(positive, about=median(positive)) / GAUSSIAN_3_4
    found = volume > np.float32(Z_SCORE * spread)
    found &= hat
    found &= far
    return open_faces(found)


def empty_frame(volume: Volume) -> Mask | None:
    """Voxels that a rotation or the provider left empty, or None (MRIQC's `RotationMask`).

    The two largest connected parts of what is 0 or less, opened by 18 neighbours, if they have
    500 voxels at least. Beyond the volume everything counts as empty.
    """
    empty = np.pad(volume <= 0, 1, constant_values=True)
    opened = open_edges(empty)
    inner = (slice(1, -1),) * 3
    if np.count_nonzero(opened[inner]) < _MIN_FRAME:
        return None
    labels, count = ndimage.label(opened)
    if count > 2:
        # Plane by plane: bincount makes 64-bit numbers of what it is given.
        sizes = np.zeros(count + 1, np.intp)
        for plane in labels:
            sizes += np.bincount(plane.ravel(), minlength=count + 1)
        sizes[0] = 0
        kept = np.zeros(count + 1, np.bool_)
        kept[np.argsort(sizes)[-2:]] = True
        opened = kept[labels]
    frame = opened[inner]
    return np.ascontiguousarray(frame) if np.count_nonzero(frame) >= _MIN_FRAME else None

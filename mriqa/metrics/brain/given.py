"""Brain and tissues of a volume that comes with a mask or tissue maps of the user.

What is not given is estimated as in `tissue`: within a given mask the tissues, about given tissues
the air around the head, and the bias field that they leave.
"""

from dataclasses import dataclass

import numpy as np

from mriqa.errors import MapsError
from mriqa.metrics.brain import mixture
from mriqa.metrics.brain.air import Up, air_masks
from mriqa.metrics.brain.bias import Field, field_on, fitted_field
from mriqa.metrics.brain.coarse import coarsened
from mriqa.metrics.brain.maps import SUM_SLACK, BrainTissue
from mriqa.metrics.brain.measure import MIN_BRAIN_VOXELS
from mriqa.metrics.brain.mixture import Contrast
from mriqa.metrics.brain.tissue import ROUNDS, blocks_of, estimate_tissue, residual
from mriqa.metrics.brain.voxels import clean
from mriqa.metrics.regions import Mask, Volume

VALUES, EMPTY = "maps_values", "maps_empty"

SLACK = 1e-3
"""Values may leave 0 to 1 by so much: scaled integers and float32 round."""

_INSIDE = 0.5
_LEAST_SUM = 1e-6

Maps = tuple[Volume, Volume, Volume]


@dataclass(frozen=True)
class Given:
    """What the user has, checked: the brain mask, maps of CSF, grey and white matter, or both."""

    brain: Mask | None = None
    maps: Maps | None = None

    @property
    def source(self) -> str:
        """The level of the column `brain_source`."""
        if self.maps is not None:
            return "maps"
        return "own" if self.brain is None else "mask"


def checked_mask(values: Volume, name: str) -> Mask:
    """The brain by a mask of 0 and 1, `(z, y, x)`; `name` is the file that messages mention.

    Raises MapsError if a value is neither, or nearly nothing is inside.
    """
    _check_range(values, name, "a brain mask holds 0 and 1")
    brain = values > np.float32(_INSIDE)
    _check_size(brain, name, "the mask holds")
    return np.asarray(brain)


def checked_maps(maps: Maps, names: tuple[str, str, str]) -> Maps:
    """Probability maps of CSF, grey and white matter `(z, y, x)`, limited to 0 to 1 in place.

    Raises MapsError if a value is no probability, they exceed 1 together, or all are empty.
    """
    for values, name in zip(maps, names, strict=True):
        _check_range(values, name, "probabilities lie between 0 and 1")
        np.clip(values, 0, 1, out=values)
    highest = float((maps[0] + maps[1] + maps[2]).max())
    if highest > 1 + SUM_SLACK:
        raise MapsError(
            VALUES,
            f"{names[0]}: with those of gm and wm beside it the probabilities sum up to "
            f"{highest:g} in some voxel; together they may be 1 at most",
        )
    _check_size(_any(maps), names[0], "the maps of csf, gm and wm together hold")
    return maps


def tissue_of_given(
    volume: Volume,
    spacing_mm: tuple[float, float, float],
    contrast: Contrast,
    given: Given,
    *,
    up: Up | None = None,
) -> BrainTissue:
    """Tissues and masks of a brain volume `(z, y, x)` float32 by what is `given`.

    The other arguments, and what SeriesError is raised for, are those of `estimate_tissue`. Raises
    MapsError where mask and maps have hardly a voxel in common.
    """
    if given.maps is None:
        return estimate_tissue(volume, spacing_mm, contrast, up=up, brain=given.brain)
    held = _any(given.maps)
    if given.brain is not None:
        held &= given.brain
        _check_size(held, "brain mask", "the tissue maps inside of it hold")
    image = clean(volume.astype(np.float32, copy=True))
    coarse = coarsened(image, spacing_mm)
    inside = blocks_of(held, coarse, spacing_mm)
    means = [coarsened(one * held, spacing_mm).image for one in given.maps]
    shape = (volume.shape[0], volume.shape[1], volume.shape[2])
    bias = field_on(_field(coarse.image, means, inside, contrast), shape)
    masks = air_masks(image, coarse, inside, up)
    return BrainTissue(
        held,
        np.stack([one[held] for one in given.maps]),
        masks.head | held,
        masks.air & ~held,
        masks.artifacts & ~held,
        masks.frame,
        bias,
    )


def _field(image: Volume, means: list[Volume], inside: Mask, contrast: Contrast) -> Field:
    """The bias field that the tissues leave of the blocks' `image`; `means`: of the maps."""
    probabilities = np.zeros((3, *image.shape), np.float32)
    for place, one in zip(mixture.ORDER[contrast], means, strict=True):
        probabilities[place] = one * inside
    # At the brain's rim blocks are partly no brain.
    probabilities /= np.maximum(probabilities.sum(axis=0), np.float32(_LEAST_SUM))
    shape = (image.shape[0], image.shape[1], image.shape[2])
    corrected = image
    for _ in range(ROUNDS):
        left, weights = residual(image, probabilities, corrected, inside, contrast)
        field = fitted_field(left, weights, inside)
        corrected = image / field_on(field, shape)
    return field


def _any(maps: Maps) -> Mask:
    found = maps[0] > 0
    for one in maps[1:]:
        found |= one > 0
    return np.asarray(found)


def _check_range(values: Volume, name: str, allowed: str) -> None:
    low, high = float(values.min()), float(values.max())
    # NaN fails every comparison.
    if not (low >= -SLACK and high <= 1 + SLACK):
        n_bad = int(np.count_nonzero(~np.isfinite(values)))
        found = (
            f"{n_bad} values are not finite" if n_bad else f"it reaches from {low:g} to {high:g}"
        )
        raise MapsError(VALUES, f"{name}: {found}; {allowed}")


def _check_size(mask: Mask, name: str, what: str) -> None:
    n_voxels = int(np.count_nonzero(mask))
    if n_voxels < MIN_BRAIN_VOXELS:
        raise MapsError(
            EMPTY, f"{name}: {what} {n_voxels} voxels of brain; {MIN_BRAIN_VOXELS} are needed"
        )

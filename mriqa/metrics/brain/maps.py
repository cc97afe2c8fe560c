"""Where brain, tissues, head and air of one volume are: what the metrics are computed on."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mriqa.errors import UserError
from mriqa.metrics.brain.fractions import Probabilities
from mriqa.metrics.brain.voxels import Box, bounding_box
from mriqa.metrics.regions import Mask, Volume

TISSUES = ("csf", "gm", "wm")
"""Order of the tissues in every array and tuple of this package."""

SUM_SLACK = 0.02
"""Probabilities of a voxel may exceed 1 together by so much (rounding, interpolation)."""


@dataclass(frozen=True)
class BrainTissue:
    """Tissues and masks of one volume; all masks bool `(z, y, x)`.

    `brain`: voxels in which some tissue has a probability; `probabilities` `(3, n)` float32: of
    CSF, grey and white matter in these n voxels, in C order. `head`: scalp, skull and brain.
    `air`: air above the face without artifacts ("hat"). `artifacts`: voxels of that air that hold
    signal. `frame`: voxels that a rotation or the provider left empty, or None. `bias` float32
    `(z, y, x)`: the receive field, about 1 in the brain, by which the volume is divided; None if
    it is not known, and then the volume is taken as it is.
    """

    brain: Mask
    probabilities: Probabilities
    head: Mask
    air: Mask
    artifacts: Mask
    frame: Mask | None = None
    bias: Volume | None = None

    @cached_property
    def box(self) -> Box:
        """The smallest box that holds the brain; the whole volume if there is none."""
        return bounding_box(self.brain) or (slice(None), slice(None), slice(None))


def tissue_of_maps(
    shape: tuple[int, int, int],
    maps: tuple[npt.NDArray[np.generic], npt.NDArray[np.generic], npt.NDArray[np.generic]],
    *,
    head: npt.NDArray[np.generic],
    air: npt.NDArray[np.generic],
    artifacts: npt.NDArray[np.generic],
    frame: npt.NDArray[np.generic] | None = None,
    bias: npt.NDArray[np.generic] | None = None,
) -> BrainTissue:
    """The user's own maps and masks of a volume of `shape` (z, y, x), checked.

    `maps`: probabilities of CSF, grey and white matter, 0 to 1 (masks of 0 and 1 will do), at
    most 1 together. Masks are true where not 0. Raises UserError that names the map, what is
    wrong with it and what is allowed.
    """
    for name, array in zip(TISSUES, maps, strict=True):
        _check_shape(f"probability map of {name}", array, shape)
    brain = np.logical_or(maps[0], maps[1])
    np.logical_or(brain, maps[2], out=brain)
    probabilities = np.stack([array[brain].astype(np.float32) for array in maps])
    for name, probability in zip(TISSUES, probabilities, strict=True):
        _check_range(f"probability map of {name}", probability)
    _check_sum(probabilities)
    return BrainTissue(
        brain,
        probabilities,
        _mask("head mask", head, shape),
        _mask("air mask", air, shape),
        _mask("artifact mask", artifacts, shape),
        frame=None if frame is None else _mask("frame mask", frame, shape),
        bias=None if bias is None else _field(bias, shape),
    )


def tissue_of_labels(
    labels: npt.NDArray[np.generic], csf: int, gm: int, wm: int
) -> tuple[Probabilities, Probabilities, Probabilities]:
    """Maps of 0 and 1 from a segmentation `(z, y, x)` whose labels the caller names.

    Raises UserError where a label does not occur: most often it is another tool's numbering.
    """
    maps = []
    for name, label in zip(TISSUES, (csf, gm, wm), strict=True):
        one = labels == label
        if not one.any():
            found = ", ".join(str(value) for value in np.unique(labels)[:10])
            raise UserError(
                f"the segmentation has no voxel with label {label} ({name}); its labels: {found}"
            )
        maps.append(one.astype(np.float32))
    return maps[0], maps[1], maps[2]


def _check_shape(name: str, array: npt.NDArray[np.generic], shape: tuple[int, int, int]) -> None:
    if array.shape != shape:
        raise UserError(
            f"the {name} has the shape {array.shape} (z, y, x), the volume {shape}; "
            "resample it to the volume's grid"
        )


def _check_range(name: str, array: Probabilities) -> None:
    low, high = float(array.min(initial=0)), float(array.max(initial=0))
    # NaN fails every comparison.
    if not (low >= 0 and high <= 1 + SUM_SLACK):
        raise UserError(
            f"the {name} reaches from {low:g} to {high:g}; probabilities lie between 0 and 1"
        )


def _check_sum(probabilities: Probabilities) -> None:
    highest = float(probabilities.sum(axis=0).max(initial=0))
    if highest > 1 + SUM_SLACK:
        raise UserError(
            f"the probabilities of csf, gm and wm sum up to {highest:g} in some voxel; "
            "together they may be 1 at most"
        )


def _mask(name: str, array: npt.NDArray[np.generic], shape: tuple[int, int, int]) -> Mask:
    _check_shape(name, array, shape)
    return array.astype(np.bool_)


def _field(bias: npt.NDArray[np.generic], shape: tuple[int, int, int]) -> Volume:
    _check_shape("bias field", bias, shape)
    low, high = float(np.min(bias)), float(np.max(bias))
    if not (low > 0 and np.isfinite(high)):
        raise UserError(
            f"the bias field reaches from {low:g} to {high:g}; it must be finite and above 0"
        )
    return np.ascontiguousarray(bias, np.float32)

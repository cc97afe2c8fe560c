"""The number that is learned: standardised for the network, and what its patches say of a volume.

[P] A patch takes its volume's number; networks learn it in standard deviations of the training
side, whatever its unit is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.errors import ErrorCode, SeriesError, UserError

Floats = NDArray[np.float64]
LEAST_VALUES = 2


@dataclass(frozen=True)
class TargetScale:
    """Mean and standard deviation of the target on the training side, in its own unit."""

    mean: float
    sd: float

    @classmethod
    def of(cls, values: Sequence[float], name: str) -> "TargetScale":
        """Of the targets of the training volumes; `name` is the target's, for messages.

        Raises:
            UserError: A value is not finite, or there are not two that differ.
        """
        found = np.asarray(values, dtype=np.float64)
        if not np.isfinite(found).all():
            count = int(np.count_nonzero(~np.isfinite(found)))
            raise UserError(
                f"target {name}: {count} of {found.size} values are not finite numbers; leave "
                "those series out of the table of targets"
            )
        # Without deviations of about its own precision a scale would blow rounding up.
        sd = float(found.std()) if found.size >= LEAST_VALUES else 0.0
        if not sd > 1e-9 * float(np.abs(found).max(initial=0)):
            raise UserError(
                f"target {name}: {found.size} training volumes have values that differ by nothing; "
                "there must be two different ones to learn from"
            )
        return cls(float(found.mean()), sd)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "TargetScale":
        """From `{"mean": …, "sd": …}`, which `dataclasses.asdict` gives."""
        return cls(float(content["mean"]), float(content["sd"]))

    def standardised(self, values: Sequence[float] | Floats) -> Floats:
        """What the network learns: (value − mean) / SD."""
        return (np.asarray(values, dtype=np.float64) - self.mean) / self.sd

    def restored(self, outputs: Sequence[float] | NDArray[np.floating]) -> Floats:
        """What the network says, in the target's unit."""
        return np.asarray(outputs, dtype=np.float64) * self.sd + self.mean


@dataclass(frozen=True)
class VolumePrediction:
    """What the patches say of a volume, in the target's unit.

    `value` is their mean. `spread` is their standard deviation: how far places of this volume
    differ, be it that its quality does or that the network is unsure. It is no confidence interval
    of `value`: patches overlap, and all may err alike. None where there is a single patch.
    """

    value: float
    spread: float | None
    n_patches: int


def volume_prediction(
    outputs: Sequence[float] | NDArray[np.floating], scale: TargetScale, what: str
) -> VolumePrediction:
    """Of a volume, named `what`, from what the network says of each of its patches.

    Raises:
        SeriesError: (internal) The network said something that is no number, or nothing.
    """
    found = scale.restored(outputs)
    if found.size == 0 or not np.isfinite(found).all():
        raise SeriesError(
            ErrorCode.INTERNAL, f"{what}: HyS-Net gives no finite number for one of its patches"
        )
    spread = float(found.std(ddof=1)) if found.size > 1 else None
    value = math.fsum(found.tolist()) / found.size  # the order of patches changes nothing
    return VolumePrediction(value, spread, int(found.size))

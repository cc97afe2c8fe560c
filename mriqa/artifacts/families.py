"""The artifact families and what a severity means in physical units.

Severity 0 is the identity; 0.25, 0.5 and 1 are mild, medium and strong; every quantity below is
linear in between. The values are anchors: changing one changes every label made with it.
"""

import math
from enum import StrEnum
from typing import Literal

import numpy as np

PhaseAxis = Literal["y", "x"]
Acquisition = Literal["2d", "3d"]
Timing = Literal["shared", "per_slice"]


class Family(StrEnum):
    """What kind of artifact."""

    JUMP = "jump"
    JUMPS = "jumps"
    BREATHING = "breathing"
    DRIFT = "drift"
    NOISE = "noise"
    GHOSTING = "ghosting"
    SPIKES = "spikes"
    LOW_PASS = "low_pass"  # noqa: S105 not a password
    WRAP = "wrap"
    BIAS = "bias"
    DROPOUT = "dropout"
    INTERSLICE = "interslice"


SEVERITIES = (0.0, 0.25, 0.5, 1.0)
"""Severities at which the anchors stand: none, mild, medium, strong."""

BREATHING_MM = (0.0, 2.0, 5.0, 9.0)
MOTION_DEG = (0.0, 1.0, 3.0, 6.0)
MOTION_MM = (0.0, 1.0, 3.0, 6.0)
MOTION_SHARE = (0.0, 0.20, 0.35, 0.50)
NOISE_FACTOR = (1.0, 1.5, 2.5, 4.0)
GHOST_AMPLITUDE = (0.0, 0.1, 0.2, 0.4)
LINES_KEPT = (1.0, 0.80, 0.65, 0.50)
WRAP_SHARE = (0.0, 0.05, 0.10, 0.20)
BIAS_AMPLITUDE = (0.0, 0.2, 0.4, 0.7)
DROPOUT_SHARE = (0.0, 0.1, 0.2, 0.4)
DROPOUT_FACTOR = (1.0, 0.7, 0.5, 0.2)
SPIKE_AMPLITUDE = (0.0, 0.1, 0.3, 1.0)
INTERSLICE_DEG = (0.0, 1.5, 3.0, 6.0)
INTERSLICE_MM = (0.0, 1.5, 3.0, 6.0)

LEAST_SLICES = {Family.INTERSLICE: 3}
"""Of families that show only between slices, how many a volume must have."""


def at_severity(anchors: tuple[float, float, float, float], severity: float) -> float:
    """The physical quantity at `severity`, linear between its anchors."""
    return float(np.interp(severity, SEVERITIES, anchors))


def check_severity(severity: float) -> float:
    """`severity` as float; raises ValueError unless it lies in [0, 1]."""
    value = float(severity)
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"severity is {severity!r}; it must lie between 0 (none) and 1 (strong)")
    return value


def is_possible(family: Family, slices: int) -> bool:
    """Whether a volume of so many slices can have an artifact of `family`."""
    return slices >= LEAST_SLICES.get(family, 1)


def check_family(family: str) -> Family:
    """`family` as Family; raises ValueError naming the families there are."""
    try:
        return Family(family)
    except ValueError:
        allowed = ", ".join(member.value for member in Family)
        raise ValueError(f"family is {family!r}; it must be one of {allowed}") from None


def check_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """`shape` as (z, y, x); raises ValueError unless it is three positive numbers."""
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape is {tuple(shape)}; it must be three positive sizes (z, y, x)")
    return int(shape[0]), int(shape[1]), int(shape[2])


def check_spacing(spacing_mm: tuple[float, ...]) -> tuple[float, float, float]:
    """`spacing_mm` as (dz, dy, dx); raises ValueError unless it is three positive numbers."""
    if len(spacing_mm) != 3 or not all(math.isfinite(d) and d > 0 for d in spacing_mm):
        raise ValueError(
            f"spacing_mm is {tuple(spacing_mm)}; it must be three positive lengths (dz, dy, dx)"
        )
    return float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2])


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")

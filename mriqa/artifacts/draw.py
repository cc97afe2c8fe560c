"""Drawing the parameters of an artifact: the only place where something is random.

Each drawer takes the same random numbers whatever the severity, so one seed is one artifact that
grows with severity: the same direction, period, slices, only more of it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mriqa.artifacts import families as anchors
from mriqa.artifacts.families import (
    LEAST_SLICES,
    Acquisition,
    Family,
    PhaseAxis,
    Timing,
    at_severity,
    check_choice,
    check_family,
    check_severity,
    check_shape,
    check_spacing,
    is_possible,
)
from mriqa.artifacts.fields import ORDERS
from mriqa.artifacts.model import (
    Artifact,
    Bias,
    Breathing,
    Dropout,
    Ghosting,
    Interslice,
    LowPass,
    Motion,
    Move,
    Noise,
    Spike,
    Spikes,
    Wrap,
)
from mriqa.artifacts.patterns import drift_moves, interslice_poses, jump_moves, jumps_moves


@dataclass(frozen=True)
class _Request:
    family: Family
    severity: float
    shape: tuple[int, int, int]
    seed: int
    phase_axis: PhaseAxis
    acquisition: Acquisition
    timing: Timing
    keep_zeros: bool

    @property
    def lines(self) -> int:
        return self.shape[1 if self.phase_axis == "y" else 2]

    @property
    def tracks(self) -> int:
        """How many timings there are: one, or one a slice."""
        return self.shape[0] if self.timing == "per_slice" else 1

    def common(self) -> dict[str, Any]:
        return {
            "family": self.family,
            "severity": self.severity,
            "seed": self.seed,
            "shape": self.shape,
            "phase_axis": self.phase_axis,
            "keep_zeros": self.keep_zeros,
        }


def draw(
    family: Family,
    severity: float,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    seed: int,
    *,
    phase_axis: PhaseAxis = "y",
    acquisition: Acquisition = "2d",
    timing: Timing = "shared",
    keep_zeros: bool = False,
) -> Artifact:
    """Draw an artifact for a volume of `shape` (z, y, x) and `spacing_mm` (dz, dy, dx).

    Equal arguments give an equal artifact; the same seed at another severity gives the same
    artifact, weaker or stronger. `acquisition` "2d": slices are encoded each for itself and move in
    their plane; "3d": the volume moves in space. `timing` "shared": all slices see the motion at
    the same line (interleaved slices); "per_slice": each at its own (slices one after another);
    only for 2-D. `keep_zeros`: see `Artifact`. Lengths are stored in mm and become voxels in
    `apply`. Raises ValueError naming what is not allowed.
    """
    check_choice("phase_axis", phase_axis, ("y", "x"))
    check_choice("acquisition", acquisition, ("2d", "3d"))
    check_choice("timing", timing, ("shared", "per_slice"))
    if acquisition == "3d" and timing == "per_slice":
        raise ValueError("timing per_slice needs acquisition 2d: in 3d no slice has its own time")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must not be negative")
    check_spacing(spacing_mm)
    request = _Request(
        check_family(family),
        check_severity(severity),
        check_shape(shape),
        int(seed),
        phase_axis,
        acquisition,
        timing,
        bool(keep_zeros),
    )
    rng = np.random.default_rng([request.seed, list(Family).index(request.family)])
    return _DRAWERS[request.family](request, rng)


def _motion(pattern: Callable[..., tuple[Move, ...]]) -> "Drawer":
    def drawer(request: _Request, rng: np.random.Generator) -> Artifact:
        tracks = tuple(
            pattern(request.severity, request.lines, request.acquisition, rng)
            for _ in range(request.tracks)
        )
        return Motion(**request.common(), acquisition=request.acquisition, tracks=tracks)

    return drawer


def _breathing(request: _Request, rng: np.random.Generator) -> Artifact:
    # 4-12 breaths an acquisition: a 20 s scan at 12-20 breaths a minute, and longer sequences.
    cycles = rng.uniform(4, 12)
    return Breathing(
        **request.common(),
        peak_to_peak_mm=at_severity(anchors.BREATHING_MM, request.severity),
        period_lines=request.lines / cycles,
        phases_rad=tuple(rng.uniform(0, 2 * math.pi, request.tracks).tolist()),
    )


def _noise(request: _Request, rng: np.random.Generator) -> Artifact:
    factor = at_severity(anchors.NOISE_FACTOR, request.severity)
    return Noise(**request.common(), sigma_factor=factor, noise_seed=_seed(rng))


def _ghosting(request: _Request, rng: np.random.Generator) -> Artifact:
    return Ghosting(
        **request.common(),
        amplitude=at_severity(anchors.GHOST_AMPLITUDE, request.severity),
        period_lines=float(rng.integers(2, 7)),
        phase_rad=rng.uniform(0, 2 * math.pi),
        # Not against the image: ghosts that darken it would make less of a change, not more.
        ghost_phase_rad=rng.uniform(0, math.pi / 2),
    )


def _spikes(request: _Request, rng: np.random.Generator) -> Artifact:
    slices = request.shape[0]
    if request.acquisition == "3d":
        hit = rng.integers(0, slices, rng.integers(1, 4))
    else:
        hit = np.flatnonzero(rng.random(slices) < rng.uniform(0.3, 1.0))
        hit = hit if hit.size else rng.integers(0, slices, 1)
        hit = np.repeat(hit, rng.integers(1, 3, hit.size))
    return Spikes(
        **request.common(),
        acquisition=request.acquisition,
        amplitude=at_severity(anchors.SPIKE_AMPLITUDE, request.severity),
        spikes=tuple(_spike(int(index), request.shape, rng) for index in hit),
    )


def _spike(index: int, shape: tuple[int, int, int], rng: np.random.Generator) -> Spike:
    """Between 15% and 90% of the way from the centre to the edge of k-space, any direction."""
    radius, angle = rng.uniform(0.15, 0.9), rng.uniform(0, 2 * math.pi)
    return Spike(
        slice=index,
        frequency_y=_outward(radius * math.sin(angle) * shape[1] / 2),
        frequency_x=_outward(radius * math.cos(angle) * shape[2] / 2),
        phase_rad=rng.uniform(0, 2 * math.pi),
    )


def _outward(frequency: float) -> int:
    """Rounded away from zero, so that no spike falls on the centre of a small volume."""
    return int(math.copysign(math.ceil(abs(frequency)), frequency))


def _low_pass(request: _Request, rng: np.random.Generator) -> Artifact:
    return LowPass(**request.common(), kept=at_severity(anchors.LINES_KEPT, request.severity))


def _wrap(request: _Request, rng: np.random.Generator) -> Artifact:
    sides: tuple[Literal["low", "high", "both"], ...] = ("low", "high", "both")
    return Wrap(
        **request.common(),
        share=at_severity(anchors.WRAP_SHARE, request.severity),
        side=sides[int(rng.integers(3))],
        phase_rad=rng.uniform(0, math.pi / 2),
    )


def _bias(request: _Request, rng: np.random.Generator) -> Artifact:
    # Slow cosines dominate, as near a coil.
    weights = [float(rng.normal() / sum(order)) for order in ORDERS]
    amplitude = at_severity(anchors.BIAS_AMPLITUDE, request.severity)
    return Bias(**request.common(), amplitude=amplitude, weights=tuple(weights))


def _dropout(request: _Request, rng: np.random.Generator) -> Artifact:
    order = rng.permutation(request.shape[0])
    share = at_severity(anchors.DROPOUT_SHARE, request.severity)
    count = max(1, round(share * request.shape[0]))
    return Dropout(
        **request.common(),
        factor=at_severity(anchors.DROPOUT_FACTOR, request.severity),
        slices=tuple(sorted(int(index) for index in order[:count])),
        noise_seed=_seed(rng),
    )


def _interslice(request: _Request, rng: np.random.Generator) -> Artifact:
    slices = request.shape[0]
    if request.acquisition == "3d" or not is_possible(Family.INTERSLICE, slices):
        raise ValueError(
            f"interslice motion needs acquisition 2d and {LEAST_SLICES[Family.INTERSLICE]} slices "
            f"or more, not {request.acquisition} and {slices}: take another family"
        )
    interleave = int(rng.integers(2, 4))
    return Interslice(
        **request.common(),
        interleave=interleave,
        poses=interslice_poses(request.severity, slices, interleave, rng),
        noise_seed=_seed(rng),
    )


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**53))  # JSON numbers are exact up to here in every reader


Drawer = Callable[[_Request, np.random.Generator], Artifact]
_DRAWERS: dict[Family, Drawer] = {
    Family.JUMP: _motion(jump_moves),
    Family.JUMPS: _motion(jumps_moves),
    Family.DRIFT: _motion(drift_moves),
    Family.BREATHING: _breathing,
    Family.NOISE: _noise,
    Family.GHOSTING: _ghosting,
    Family.SPIKES: _spikes,
    Family.LOW_PASS: _low_pass,
    Family.WRAP: _wrap,
    Family.BIAS: _bias,
    Family.DROPOUT: _dropout,
    Family.INTERSLICE: _interslice,
}

"""Drawing the parameters of an artifact: the only place where something is random."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mriqa.artifacts.families import (
    BREATHING_MM,
    GHOST_AMPLITUDE,
    NOISE_FACTOR,
    Acquisition,
    Family,
    PhaseAxis,
    Timing,
    at_severity,
    check_family,
    check_severity,
)
from mriqa.artifacts.model import Artifact, Breathing, Ghosting, Noise


@dataclass(frozen=True)
class _Request:
    family: Family
    severity: float
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
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

    def common(self) -> dict[str, object]:
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
    """Draw an artifact for a volume of `shape` (z, y, x).

    Equal arguments give an equal artifact. The same seed at another severity gives the same
    artifact, weaker or stronger. Raises ValueError for an unknown family, a severity outside
    [0, 1] or an impossible shape.
    """
    request = _Request(
        check_family(family),
        check_severity(severity),
        (int(shape[0]), int(shape[1]), int(shape[2])),
        (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2])),
        int(seed),
        phase_axis,
        acquisition,
        timing,
        keep_zeros,
    )
    rng = np.random.default_rng([request.seed, list(Family).index(request.family)])
    return _DRAWERS[request.family](request, rng)


def _breathing(request: _Request, rng: np.random.Generator) -> Artifact:
    # 4-12 breaths an acquisition: 15-20 s at 12-20 breaths a minute, and longer sequences.
    cycles = rng.uniform(4, 12)
    return Breathing(
        **request.common(),  # type: ignore[arg-type]
        peak_to_peak_mm=at_severity(BREATHING_MM, request.severity),
        period_lines=request.lines / cycles,
        phases_rad=tuple(rng.uniform(0, 2 * math.pi, request.tracks).tolist()),
    )


def _noise(request: _Request, rng: np.random.Generator) -> Artifact:
    return Noise(
        **request.common(),  # type: ignore[arg-type]
        sigma_factor=at_severity(NOISE_FACTOR, request.severity),
        noise_seed=int(rng.integers(2**53)),
    )


def _ghosting(request: _Request, rng: np.random.Generator) -> Artifact:
    return Ghosting(
        **request.common(),  # type: ignore[arg-type]
        amplitude=at_severity(GHOST_AMPLITUDE, request.severity),
        period_lines=float(rng.integers(2, 7)),
        phase_rad=rng.uniform(0, 2 * math.pi),
        ghost_phase_rad=rng.uniform(0, math.pi),
    )


_DRAWERS: dict[Family, Callable[[_Request, np.random.Generator], Artifact]] = {
    Family.BREATHING: _breathing,
    Family.NOISE: _noise,
    Family.GHOSTING: _ghosting,
}

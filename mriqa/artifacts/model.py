"""Drawn artifacts: every random choice, as frozen data that can be stored and replayed."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar

from mriqa.artifacts.families import (
    Acquisition,
    Family,
    PhaseAxis,
    check_family,
    check_severity,
)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What all families share.

    `shape` (z, y, x) is that of the volume the parameters were drawn for; `phase_axis` the
    phase-encode axis; `seed` the one given to `draw`. `keep_zeros`: voxels that are exactly 0 stay
    0, as where a provider masked the air after reconstruction.
    """

    families: ClassVar[tuple[Family, ...]] = ()
    family: Family
    severity: float
    seed: int
    shape: tuple[int, int, int]
    phase_axis: PhaseAxis = "y"
    keep_zeros: bool = False

    def __post_init__(self) -> None:
        check_severity(self.severity)

    @property
    def axis(self) -> int:
        """The phase-encode axis as an index into (z, y, x)."""
        return 1 if self.phase_axis == "y" else 2

    def to_json(self) -> str:
        """All parameters as one JSON object; `artifact_from_json` gives back an equal artifact."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> "Artifact":
        """Same as `artifact_from_json`."""
        return artifact_from_json(text)


@dataclass(frozen=True, kw_only=True)
class Breathing(Artifact):
    """Periodic translation along the phase-encode axis; one phase, or one a slice."""

    families: ClassVar[tuple[Family, ...]] = (Family.BREATHING,)
    peak_to_peak_mm: float
    period_lines: float
    phases_rad: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Noise(Artifact):
    """Complex Gaussian noise that multiplies the background sigma by `sigma_factor`."""

    families: ClassVar[tuple[Family, ...]] = (Family.NOISE,)
    sigma_factor: float
    noise_seed: int


@dataclass(frozen=True, kw_only=True)
class Ghosting(Artifact):
    """Modulation of every `period_lines`-th line: ghosts FOV/period apart, each `amplitude`."""

    families: ClassVar[tuple[Family, ...]] = (Family.GHOSTING,)
    amplitude: float
    period_lines: float
    phase_rad: float
    ghost_phase_rad: float


def artifact_from_json(text: str) -> Artifact:
    """The artifact that `Artifact.to_json` wrote; raises ValueError naming what is wrong."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not the JSON of an artifact: {error}") from error
    if not isinstance(values, dict) or "family" not in values:
        raise ValueError("not the JSON of an artifact: the key `family` is missing")
    family = check_family(values["family"])
    kind = _kinds()[family]
    fields = {name: _tupled(value) for name, value in values.items()} | {"family": family}
    try:
        return kind(**fields)
    except TypeError as error:
        raise ValueError(f"not the JSON of a {family} artifact: {error}") from error


def _kinds() -> dict[Family, type[Artifact]]:
    return {family: kind for kind in Artifact.__subclasses__() for family in kind.families}


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value


__all__ = ["Acquisition", "Artifact", "Breathing", "Ghosting", "Noise", "artifact_from_json"]

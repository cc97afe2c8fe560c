"""Drawn artifacts: every random choice, as frozen data that can be stored and replayed."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from mriqa.artifacts.families import Acquisition, Family, PhaseAxis, check_family, check_severity


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
        if self.family not in self.families:
            raise ValueError(f"{type(self).__name__} cannot hold the family {self.family!r}")
        if self.phase_axis not in ("y", "x"):
            raise ValueError(f"phase_axis is {self.phase_axis!r}; it must be 'y' or 'x'")

    @property
    def axis(self) -> int:
        """The phase-encode axis as an index into (z, y, x)."""
        return 1 if self.phase_axis == "y" else 2

    def to_json(self) -> str:
        """All parameters as one JSON object; `from_json` gives back an equal artifact."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> "Artifact":
        """The artifact that `to_json` wrote; raises ValueError naming what is wrong."""
        return artifact_from_json(text)


@dataclass(frozen=True)
class Pose:
    """Where the object is: `rotation_deg` is the rotation vector (z, y, x) about the centre of the
    volume, `translation_mm` (z, y, x) follows it.
    """

    rotation_deg: tuple[float, float, float]
    translation_mm: tuple[float, float, float]

    @property
    def is_rest(self) -> bool:
        """Whether it is the pose of the volume itself."""
        return not any((*self.rotation_deg, *self.translation_mm))


@dataclass(frozen=True)
class Move:
    """A pose and the lines acquired in it.

    `start` to `stop` (exclusive) count lines in ascending frequency, n // 2 being the centre of
    k-space. `rotation_deg` is the rotation vector (z, y, x) about the centre of the volume,
    `translation_mm` (z, y, x) follows it. Slices of a 2-D acquisition use the in-plane part.
    """

    start: int
    stop: int
    rotation_deg: tuple[float, float, float]
    translation_mm: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Motion(Artifact):
    """Rigid poses of groups of lines: one track for all slices, or one for each slice."""

    families: ClassVar[tuple[Family, ...]] = (Family.JUMP, Family.JUMPS, Family.DRIFT)
    acquisition: Acquisition
    tracks: tuple[tuple[Move, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Breathing(Artifact):
    """Sinusoidal translation along the phase-encode axis; one phase, or one for each slice."""

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
    """Lines modulated with a period: ghosts FOV / `period_lines` away, each of `amplitude`.

    `phase_rad` is the modulation's, `ghost_phase_rad` that of the ghosts against the image
    (0: amplitude modulation; pi/2: phase modulation).
    """

    families: ClassVar[tuple[Family, ...]] = (Family.GHOSTING,)
    amplitude: float
    period_lines: float
    phase_rad: float
    ghost_phase_rad: float


@dataclass(frozen=True)
class Spike:
    """One k-space point: its slice (2-D) or slice frequency (3-D), and in-plane frequencies."""

    slice: int
    frequency_y: int
    frequency_x: int
    phase_rad: float


@dataclass(frozen=True, kw_only=True)
class Spikes(Artifact):
    """K-space points outside the centre raised by `amplitude` times the peak of k-space."""

    families: ClassVar[tuple[Family, ...]] = (Family.SPIKES,)
    acquisition: Acquisition
    amplitude: float
    spikes: tuple[Spike, ...]


@dataclass(frozen=True, kw_only=True)
class LowPass(Artifact):
    """Only the central `kept` share of the lines was acquired; the others are zero (Gibbs)."""

    families: ClassVar[tuple[Family, ...]] = (Family.LOW_PASS,)
    kept: float


@dataclass(frozen=True, kw_only=True)
class Wrap(Artifact):
    """The object reaches over the field of view by `share` of it and folds in at the other end.

    `side`: the end of the phase-encode axis at which it folds in; `both`: half at each.
    """

    families: ClassVar[tuple[Family, ...]] = (Family.WRAP,)
    share: float
    side: Literal["low", "high", "both"]
    phase_rad: float


@dataclass(frozen=True, kw_only=True)
class Bias(Artifact):
    """Smooth field from 1 - `amplitude` to 1 + `amplitude`, a sum of cosines.

    `weights` holds one number for every (z, y, x) order in `mriqa.artifacts.fields.ORDERS`.
    """

    families: ClassVar[tuple[Family, ...]] = (Family.BIAS,)
    amplitude: float
    weights: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Dropout(Artifact):
    """Whole slices at `factor` of their signal; the noise of the air stays what it was."""

    families: ClassVar[tuple[Family, ...]] = (Family.DROPOUT,)
    factor: float
    slices: tuple[int, ...]
    noise_seed: int


@dataclass(frozen=True, kw_only=True)
class Interslice(Artifact):
    """Motion between the excitations of the slices of a 2-D acquisition.

    Each slice is whole, but of another pose: `poses` holds one for each. `interleave`: every so
    many-th slice was excited in one pass, from the first one on, then the next ones.
    """

    families: ClassVar[tuple[Family, ...]] = (Family.INTERSLICE,)
    interleave: int
    poses: tuple[Pose, ...]
    noise_seed: int


def artifact_from_json(text: str) -> Artifact:
    """The artifact that `Artifact.to_json` wrote; raises ValueError naming what is wrong."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not the JSON of an artifact: {error}") from error
    if not isinstance(values, dict) or "family" not in values:
        raise ValueError("not the JSON of an artifact: the key `family` is missing")
    family = check_family(values["family"])
    kinds = {member: kind for kind in Artifact.__subclasses__() for member in kind.families}
    try:
        fields = {name: _frozen(value) for name, value in values.items()} | {"family": family}
        return kinds[family](**fields)
    except TypeError as error:
        raise ValueError(f"not the JSON of a {family} artifact: {error}") from error


def _frozen(value: Any) -> Any:
    """Lists as tuples, objects as the Move, Pose or Spike that they were."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        kind = Spike if "frequency_y" in value else Move if "start" in value else Pose
        return kind(**{name: _frozen(item) for name, item in value.items()})
    return value

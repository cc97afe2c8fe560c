"""What the experiments with SimCLR try: config/experiments.yaml is generated from these models."""

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from mriqa.config import PretrainingSection, ReferenceSection, Section, SliceFamily
from mriqa.errors import ConfigError
from mriqa.evaluation.settings_file import load_settings

MILD, MEDIUM, STRONG = 0.25, 0.5, 1.0
LEVEL_NAMES = {MILD: "mild", MEDIUM: "medium", STRONG: "strong"}
MAIN: tuple[SliceFamily, ...] = ("noise", "ghosting", "breathing", "jumps")
OTHER: tuple[SliceFamily, ...] = (
    "jump", "drift", "spikes", "low_pass", "wrap", "bias", "dropout",
)  # fmt: skip
S = TypeVar("S", bound=Section)
Levels = dict[SliceFamily, tuple[float, ...]]
Mode = Literal["full", "small", "references"]


class ModeSection(Section):
    """How much of the experiments is run."""

    subjects: int = Field(20, ge=3, description="Test subjects at most.")
    strata: int | None = Field(None, ge=1, description="Strata at most, the largest; none: all.")
    copy_slices: int | None = Field(
        None, ge=2, description="Slices of a test volume that are looked at; none: all."
    )
    levels: Levels = Field(
        dict.fromkeys(MAIN, (MILD, MEDIUM, STRONG)) | dict.fromkeys(OTHER, (MEDIUM, STRONG)),
        description="Severities of each simulated family; 0.25 mild, 0.5 medium, 1 strong.",
    )
    held_out: tuple[SliceFamily, ...] = Field(
        (*MAIN, *OTHER), description="Families taken out of the bank, one at a time."
    )
    rising: tuple[float, ...] = Field(
        (0.125, MILD, MEDIUM, 0.75, STRONG),
        description="Severities above 0 of one artifact that grows; none: not asked.",
    )
    rising_families: tuple[SliceFamily, ...] = Field(
        MAIN, description="Whose severity rises so; the others have their `levels`."
    )
    rising_subjects: int = Field(8, ge=1, description="Subjects for whom severity rises.")
    trained: int = Field(3, ge=1, description="Encoders trained, seeds from the run's own on.")
    untrained: int = Field(3, ge=0, description="Encoders with random weights, seeds from 0 on.")
    shuffles: int = Field(20, ge=0, description="Banks with HQ and LQ labels drawn anew.")
    hq_volumes: int | None = Field(
        None, ge=2, description="HQ volumes of a bank at most; none: all the run has."
    )
    calibrate: bool = Field(True, description="quality_score of the trained encoders, too.")
    second_protocol: bool = Field(
        True, description="Breath-held against free-breathing, where the truth marks them."
    )
    ablation: bool = Field(True, description="Also the ablations below.")

    @field_validator("levels", "rising")
    @classmethod
    def _within(cls, value: Any) -> Any:
        listed = value.values() if isinstance(value, dict) else [value]
        for levels in listed:
            if any(not 0 < level <= 1 for level in levels):
                raise ValueError(f"severities must lie above 0 and up to 1, not {levels}")
        return value


SMALL = ModeSection(
    subjects=8, strata=1, levels=dict.fromkeys(MAIN[:3], (MEDIUM, STRONG)),
    held_out=("ghosting",), rising=(), rising_families=(), trained=1, untrained=1, hq_volumes=20,
    calibrate=False, second_protocol=False, ablation=False,
)  # fmt: skip


REFERENCES = ModeSection(
    subjects=1000, copy_slices=24, rising=(), rising_families=(), trained=1, calibrate=False,
    second_protocol=False, ablation=False,
)  # fmt: skip


class EncoderAblation(Section):
    """Another encoder: what is changed in `simclr.pretraining` of the run."""

    name: str = Field(min_length=1)
    pretraining: dict[str, bool | int | float | str] = Field(default_factory=dict)
    whole_slice_px: int | None = Field(
        None, ge=16, description="Whole slices resized to so many pixels before they are embedded."
    )
    trained: bool = Field(True, description="False: with random weights.")


class ReadoutAblation(Section):
    """The run's own encoder read out otherwise: what is changed in `simclr.reference`."""

    name: str = Field(min_length=1)
    reference: dict[str, bool | int | float | list[str]] = Field(default_factory=dict)
    hq_volumes: int | None = Field(None, ge=2, description="Of a bank, drawn five times.")


_RESIZED: dict[str, bool | int | float | str] = {"views": "resized_crop", "view_px": 96}
ENCODERS = (
    EncoderAblation(name="whole slices at 96 px", pretraining=_RESIZED, whole_slice_px=96),
    EncoderAblation(name="whole slices at 96 px, untrained", whole_slice_px=96, trained=False),
    EncoderAblation(name="gamma 1", pretraining={"gamma": 1.0}),
    EncoderAblation(name="gamma 1, untrained", pretraining={"gamma": 1.0}, trained=False),
    EncoderAblation(name="temperature 0.5", pretraining={"temperature": 0.5}),
    EncoderAblation(name="no artifacts in the pool", pretraining={"artifact_share": 0.0}),
)
READOUTS = (
    *(ReadoutAblation(name=f"bank of {n} HQ volumes", hq_volumes=n) for n in (5, 10, 20)),
    *(ReadoutAblation(name=f"{n} references a class", reference={"per_class": n}) for n in (5, 10)),
    *(
        ReadoutAblation(name=f"shrinkage {value:g}", reference={"shrinkage": value})
        for value in (0.0, 0.03, 0.1, 0.6, 1.0)
    ),
)


class ExperimentsSection(Section):
    """The experiments of `mriqa experiment simclr`."""

    seed: int = Field(0, ge=0, description="Of subjects, artifacts, shuffles and the bootstrap.")
    bootstraps: int = Field(200, ge=0, description="Resamples of subjects for intervals.")
    full: ModeSection = Field(ModeSection(), description="Without --small.")
    small: ModeSection = Field(SMALL, description="With --small: a minute, for the workflow.")
    references: ModeSection = Field(
        REFERENCES,
        description="With --references: the HQ references themselves are tested, each without "
        "those of its own subject. For a cohort without a truth.",
    )
    encoders: tuple[EncoderAblation, ...] = Field(
        ENCODERS,
        description="Ablation: one more encoder each, with what is changed in simclr.pretraining.",
    )
    readouts: tuple[ReadoutAblation, ...] = Field(
        READOUTS,
        description="Ablation: the run's own encoder, with what is changed in simclr.reference.",
    )

    @model_validator(mode="before")
    @classmethod
    def _modes_keep_their_own(cls, raw: Any) -> Any:
        """What is not named of a mode is that mode's own, not the full one's."""
        if not isinstance(raw, dict):
            return raw
        own = {"small": SMALL, "references": REFERENCES}
        named = {name: own[name].model_dump() | raw[name] for name in own
                 if isinstance(raw.get(name), dict)}  # fmt: skip
        return {**raw, **named}

    def of_mode(self, name: "Mode") -> ModeSection:
        """The settings of a mode."""
        section: ModeSection = getattr(self, name)
        return section


def load_experiments(path: Path | None) -> ExperimentsSection:
    """The experiments of a YAML file, or the defaults; raises ConfigError naming what is wrong."""
    return load_settings(path, ExperimentsSection)


def changed_pretraining(base: PretrainingSection, changes: dict[str, Any]) -> PretrainingSection:
    """`base` with `changes`, checked; raises ConfigError."""
    return _changed(base, changes, "encoders.pretraining")


def changed_reference(base: ReferenceSection, changes: dict[str, Any]) -> ReferenceSection:
    """`base` with `changes`, checked; raises ConfigError."""
    return _changed(base, changes, "readouts.reference")


def _changed(base: S, changes: dict[str, Any], where: str) -> S:
    try:
        return type(base).model_validate({**base.model_dump(), **changes})
    except ValidationError as error:
        one = error.errors()[0]
        key = ".".join(map(str, one["loc"]))
        raise ConfigError(f"experiments: {where}.{key}: {one['msg']} ({one['input']!r})") from None

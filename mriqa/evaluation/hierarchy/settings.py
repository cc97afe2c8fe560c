"""What the experiments with the hierarchy try: config/hierarchy_experiments.yaml is made of it."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mriqa.artifacts.severity import FAIL_ABOVE, PASS_BELOW
from mriqa.config import ArtifactFamily, RoundsSection, Section, TuningSection, VolumeStageSection
from mriqa.config.base import Fraction
from mriqa.config.methods import SLICE_FAMILIES

Severities = tuple[Fraction, Fraction]
Ablation = Literal["simclr_start", "local_slices", "local_volumes", "forest"]
LabelledShare = Annotated[float, Field(gt=0, le=1)]


class HierarchyExperiments(Section):
    """The experiments of `mriqa experiment hierarchy`."""

    seed: int = Field(0, ge=0, description="Of volumes, artifacts, labels and the bootstrap.")
    seeds: int = Field(3, ge=1, description="Slice networks and draws of labels, from `seed` on.")
    bootstraps: int = Field(200, ge=0, description="Resamples of subjects for intervals.")
    learnt: int = Field(
        150, ge=8, description="Good volumes of training subjects at most, to make copies of."
    )
    held: int = Field(90, ge=4, description="Those of other subjects at most: they test.")
    volumes_a_series: int = Field(4, ge=1, description="Of a diffusion series, a shell, at most.")
    copies: int = Field(15, ge=3, description="Simulated copies of each to learn from.")
    held_copies: int = Field(12, ge=3, description="Simulated copies of each that test.")
    passing: Severities = Field((0.0, 0.1), description="Severities that pass.")
    questionable: Severities = Field((0.3, 0.5), description="Severities that are questionable.")
    failing: Severities = Field((0.75, 1.0), description="Severities that fail.")
    noise: tuple[Fraction, ...] = Field(
        (0.0, 0.1, 0.2, 0.3, 0.4), description="Shares of labels that are wrong."
    )
    fractions: tuple[LabelledShare, ...] = Field(
        (0.05, 0.1, 0.2, 0.5), description="Shares of volumes that are labelled."
    )
    noise_at: Fraction = Field(0.2, description="Share of wrong labels where `fractions` vary.")
    fraction_at: LabelledShare = Field(0.1, description="Share of labels where `noise` varies.")
    tuning: TuningSection = TuningSection()
    volumes: VolumeStageSection = VolumeStageSection(iterations=200, rounds=RoundsSection(most=4))
    left_out: tuple[tuple[ArtifactFamily, ...], ...] = Field(
        (
            ("noise", "breathing", "wrap"),
            ("ghosting", "jump", "low_pass", "dropout"),
            ("jumps", "drift", "spikes", "bias"),
        ),
        description="Families that are tested without having been simulated before: for each "
        "group a slice network is tuned, and volumes are learned, without any of it.",
    )
    left_out_seeds: int = Field(1, ge=0, description="Of `seeds`, for how many; 0: not asked.")
    ablations: tuple[Ablation, ...] = Field(
        ("simclr_start", "local_slices", "local_volumes", "forest"),
        description="What else is learned beside the first seed: from SimCLR's start; without "
        "nonlocal blocks in the slice network, or over a volume's slices; random forests.",
    )
    simclr_iterations: int = Field(
        300, ge=1, description="Steps of contrastive pretraining, for SimCLR's start."
    )
    elsewhere: Path | None = Field(
        None,
        description="Results of another cohort's finished run, with diffusion or other 4D series: "
        "artifacts are simulated in some of their volumes, and looked for with what was learned "
        "here.",
    )

    @model_validator(mode="after")
    def _severities_are_those_of_the_ratings(self) -> "HierarchyExperiments":
        spans = self.spans
        if any(low > high for low, high in spans):
            raise ValueError("severities must be given as [lowest, highest]")
        if not (
            spans[0][1] < PASS_BELOW <= spans[1][0] and spans[1][1] <= FAIL_ABOVE < spans[2][0]
        ):
            raise ValueError(
                f"passing severities must lie below {PASS_BELOW:g}, failing ones above "
                f"{FAIL_ABOVE:g}, questionable ones between; got {spans}"
            )
        return self

    @model_validator(mode="after")
    def _nothing_is_empty(self) -> "HierarchyExperiments":
        if not (self.noise and self.fractions and all(self.left_out)):
            raise ValueError("noise, fractions and each group of left_out must hold at least 1")
        return self

    @model_validator(mode="after")
    def _something_is_simulated(self) -> "HierarchyExperiments":
        for group in self.left_out:
            if not set(SLICE_FAMILIES) - set(group):
                raise ValueError(
                    f"left_out: a group names all of {', '.join(SLICE_FAMILIES)}; "
                    "no slice network can be tuned without any: divide it"
                )
        return self

    @property
    def spans(self) -> tuple[Severities, Severities, Severities]:
        """Severities by rating, in the order of RATINGS."""
        return self.passing, self.questionable, self.failing

    @property
    def conditions(self) -> list[tuple[float, float]]:
        """Pairs of the share labelled and the share of these that are wrong, each once.

        That of `fraction_at` and `noise_at` is among them: targets and calibration are of it.
        """
        found = [(self.fraction_at, noise) for noise in self.noise]
        found += [(fraction, self.noise_at) for fraction in self.fractions]
        found.append((self.fraction_at, self.noise_at))
        return list(dict.fromkeys(found))

    @property
    def digest(self) -> str:
        """Sixteen hex digits that stand for all of it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

"""What the experiments with HyS-Net try: config/hysnet_experiments.yaml is made of it.

How each network learns, and what, is `hysnet.learning` of the cohort's own configuration.
"""

from typing import Literal

from pydantic import Field, model_validator

from mriqa.config import Section

Backbone = Literal["resnet18", "resnet34", "resnet50"]
Comparator = Literal["brisque", "deepiqa", "two_stream", "dbcnn"]
Dimensions = Literal[2, 3]


class ShiftSection(Section):
    """Networks that learn one content and are tested on another."""

    contrasts: tuple[str, ...] = Field(
        (), description="Two or more: each is learned alone, and all together; none: not asked."
    )
    target: str = Field(
        "body_snr_tissue", description="A metric that has the same definition in all of them."
    )

    @model_validator(mode="after")
    def _is_a_shift(self) -> "ShiftSection":
        if len(set(self.contrasts)) == 1 or len(set(self.contrasts)) < len(self.contrasts):
            raise ValueError(f"contrasts must be two or more different ones; got {self.contrasts}")
        return self


class ElsewhereSection(Section):
    """Volumes of another cohort to which noise is added (`evaluation.elsewhere`)."""

    contrasts: tuple[str, ...] = Field(("T1w",), description="Of which the volumes are taken.")
    most: int = Field(20, ge=1, description="Volumes at most, drawn by the seed.")


class HysnetExperiments(Section):
    """The experiments of `mriqa experiment hysnet`."""

    seed: int = Field(0, ge=0, description="Of networks, noise and the bootstrap.")
    seeds: int = Field(
        3, ge=1, description="Of the plain and the hyper network with the first backbone in 3D."
    )
    other_seeds: int = Field(1, ge=1, description="Of all other networks.")
    bootstraps: int = Field(1000, ge=0, description="Resamples of subjects for intervals.")
    dimensions: tuple[Dimensions, ...] = Field((2, 3), description="Of the paper's Table 1.")
    backbones: tuple[Backbone, ...] = Field(
        ("resnet18", "resnet34", "resnet50"), description="Of the paper's Table 1."
    )
    comparators: tuple[Comparator, ...] = Field(
        ("brisque", "deepiqa", "two_stream", "dbcnn"),
        description="Beside HyS-Net, as in the paper's Table 2; small and trained from scratch.",
    )
    shift: ShiftSection = ShiftSection()
    elsewhere: ElsewhereSection = ElsewhereSection()

    @model_validator(mode="after")
    def _has_the_main_pair(self) -> "HysnetExperiments":
        if 3 not in self.dimensions or not self.backbones:
            raise ValueError(
                "dimensions must hold 3, and backbones at least one: HyS-Net in 3D is what all "
                "else is compared with"
            )
        return self

"""The sections of the hierarchy: from whom its networks learn, how, and how labels are doubted."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from mriqa.config.base import Fraction, Section
from mriqa.config.methods import (
    ARTIFACT_FAMILIES,
    SLICE_FAMILIES,
    ArtifactFamily,
    PretrainingSection,
    SliceFamily,
)


class RoundsSection(Section):
    """Self-training: what a round does with labels, given and added."""

    folds: int = Field(
        5,
        ge=2,
        le=20,
        description="Each label is judged by a network that has not seen its subject.",
    )
    wrong_share: float | None = Field(
        None,
        gt=0,
        lt=0.6,
        description="Share of people's labels thought to be wrong: the fewer, the surer networks "
        "must be to doubt one. Without: estimated in every round, by how labels and networks "
        "that have not seen them agree.",
    )
    keep_from: Fraction = Field(
        0.4,
        description="A label is kept if its class is the likeliest, all things considered, and has "
        "this probability.",
    )
    change_from: Fraction = Field(
        0.7, description="Probability from which another class takes a label's place."
    )
    add_from: Fraction = Field(
        0.5, description="Probability of its likeliest class from which an unlabelled item enters."
    )
    cap: float = Field(
        0.0,
        ge=0,
        description="Unlabelled items that enter, a class, as a multiple of its labels. 0: none; "
        "measured, they made networks worse (docs/results/hierarchy_demo.md).",
    )
    stop_share: Fraction = Field(0.01, description="Less than this share of labels changed: done.")
    most: int = Field(5, ge=1, description="Rounds at most.")

    @model_validator(mode="after")
    def _thresholds_ordered(self) -> "RoundsSection":
        if self.keep_from > self.change_from:
            raise ValueError(
                f"keep_from {self.keep_from:g} must not exceed change_from {self.change_from:g}: "
                "to change a label takes more than to keep it"
            )
        return self


class StageSection(Section):
    """The networks of a stage."""

    channels: int = Field(64, ge=2, description="Of what a slice says after the first layer.")
    dropout: float = Field(0.3, ge=0, lt=1)
    focus: float = Field(2.0, ge=0, description="γ of the focal loss; 0: cross-entropy.")
    batch: int = Field(64, ge=2, description="Items a step, over all workers.")
    iterations: int = Field(300, ge=1, description="Steps a round.")
    learning_rate: float = Field(2e-3, gt=0, le=10)
    weight_decay: float = Field(1e-4, ge=0, le=1)
    warmup_share: Fraction = 0.1
    rounds: RoundsSection = RoundsSection()
    seed: int = Field(0, ge=0, description="Of weights, batches and folds.")

    @property
    def nonlocal_blocks(self) -> int:
        """Of the network: a single slice has no others to look at."""
        return 0

    @property
    def trees(self) -> int:
        """Of a forest; 0: it is a network."""
        return 0


class SliceStageSection(StageSection):
    """What rates single slices, by what the slice network says of them and their metrics."""

    batch: int = Field(512, ge=2, description="Slices a step, over all workers.")


class VolumeStageSection(StageSection):
    """The network over a volume's slices."""

    channels: int = Field(16, ge=2, description="Of what a slice says after the first layer.")
    kind: Literal["network", "forest"] = Field(
        "network", description="`forest`: random forests over what slices say, for comparison."
    )
    blocks: int = Field(1, ge=0, description="Nonlocal blocks; 0: slices do not see one another.")
    forest_trees: int = Field(200, ge=1, le=2000, description="Of a forest.")

    @property
    def nonlocal_blocks(self) -> int:
        """Of the network."""
        return self.blocks

    @property
    def trees(self) -> int:
        """Of a forest; 0: it is a network."""
        return self.forest_trees if self.kind == "forest" else 0


class SlicePretrainingSection(PretrainingSection):
    """The series that are learned from; contrastive pretraining of the slice network."""

    encoder: Literal["resnet18", "resnet34", "resnet50", "nonlocal", "local"] = "nonlocal"


class TuningSection(Section):
    """The slice network learns to tell simulated artifacts on slices: which, and how severe."""

    iterations: int = Field(2000, ge=0, description="Steps; 0: it is not tuned.")
    batch: int = Field(
        32, ge=2, description="Slices a step, over all workers; two views of each are seen."
    )
    view_px: int = Field(128, ge=32, le=512, description="Side of what is shown of a slice.")
    artifact_share: Fraction = Field(0.75, description="Slices that get a simulated artifact.")
    learning_rate: float = Field(1e-3, gt=0, le=10)
    weight_decay: float = Field(1e-6, ge=0, le=1)
    warmup_share: Fraction = 0.05


class SimulatedSection(Section):
    """Copies of trusted volumes with simulated artifacts: their severity is their label."""

    trusted: Path | None = Field(
        None,
        description="TSV with series_id and, where wanted, volume: scans known to be good. Without "
        "it the metrics propose a list, references/hierarchy.tsv in the results: copy, edit and "
        "name it here, and another model is trained.",
    )
    proposed: int = Field(40, ge=2, description="Trusted volumes proposed a stratum.")
    families: tuple[ArtifactFamily, ...] = Field(
        ARTIFACT_FAMILIES,
        min_length=1,
        description="Simulated in the copies. interslice, motion between slices of 2-D "
        "acquisitions (leave it out where yours are 3-D), shows in no single slice and needs "
        "another family beside it.",
    )
    copies: int = Field(6, ge=1, description="Copies of each, at severities from 0 to 1.")
    weight: float = Field(
        0.5, gt=0, le=1, description="Of a simulated label; one that a person gave has 1."
    )
    seed: int = Field(0, ge=0, description="Of the artifacts and their severities.")

    @property
    def slice_families(self) -> tuple[SliceFamily, ...]:
        """Of `families` those that a slice shows by itself: what the slice network is taught."""
        return tuple(one for one in SLICE_FAMILIES if one in self.families)

    @field_validator("families")
    @classmethod
    def _teach_slices(cls, value: tuple[ArtifactFamily, ...]) -> tuple[ArtifactFamily, ...]:
        if not set(value) & set(SLICE_FAMILIES):
            raise ValueError(
                "interslice motion shows in no single slice, and the slice network would have "
                f"nothing to learn; name one or more of {', '.join(SLICE_FAMILIES)} beside it"
            )
        return value


class LearningSection(Section):
    """What the hierarchy learns, and from whom. A change retrains and rescores."""

    labels: Literal["given", "simulated", "both"] = Field(
        "both",
        description="Learn from what raters said (the section labels), from simulated copies of "
        "trusted volumes, which needs no rater, or from both.",
    )
    init: Literal["simclr", "random"] = Field(
        "simclr", description="The slice network starts from contrastive pretraining, or untrained."
    )
    pretraining: SlicePretrainingSection = SlicePretrainingSection()
    tuning: TuningSection = TuningSection()
    simulated: SimulatedSection = SimulatedSection()
    unlabelled: int = Field(
        4000, ge=0, description="Volumes without a label that self-training looks at, at most."
    )
    min_subjects: int = Field(
        8,
        ge=2,
        description="A stratum of fewer subjects is neither learned nor rated.",
    )
    min_accuracy: Fraction = Field(
        0.65,
        description="Balanced accuracy on validation volumes (chance is 0.33; wrong labels lower "
        "it) below which the hierarchy says what it thinks, but SimCLR or the metrics rate.",
    )
    slices: SliceStageSection = SliceStageSection()
    volumes: VolumeStageSection = VolumeStageSection()

    @property
    def selection(self) -> PretrainingSection:
        """What names the series that are learned from."""
        return self.pretraining

    @property
    def identity(self) -> "LearningSection":
        """What decides what is learned, wherever files lie: the content of lists counts apart."""
        simulated = self.simulated.model_copy(update={"trusted": None})
        return self.model_copy(update={"simulated": simulated})

    @property
    def asks_people(self) -> bool:
        """Whether what raters said is learned from."""
        return self.labels != "simulated"

    @property
    def simulates(self) -> bool:
        """Whether copies of trusted volumes are learned from."""
        return self.labels != "given"


class HierarchySection(Section):
    """Slice, volume and subject ratings from few, noisy labels (`methods: [hierarchy]`)."""

    pretrained: Path | None = Field(
        None,
        description="Folder of a model that another cohort has trained (models/hierarchy/<model_id>"
        " in its results): nothing is trained; strata that it does not know are not rated by it.",
    )
    learning: LearningSection = LearningSection()

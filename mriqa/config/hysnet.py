"""The sections of HyS-Net: its network, its patches, how it learns a numeric quality score.

Defaults are the paper's (arXiv 2107.06888), but for what is marked [P], which is ours.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from mriqa.config.base import Section

Side = Annotated[int, Field(ge=16, le=512)]
Step = Annotated[int, Field(ge=1, le=512)]
Width = Annotated[int, Field(ge=1, le=4096)]
STORED_PERCENTILES = (99.0, 99.5, 99.9)
"""Of those that the store has of every volume, the highest."""


class HysnetNetSection(Section):
    """The network: a ResNet, and a head whose weights a hyper-network makes for every image."""

    backbone: Literal["resnet18", "resnet34", "resnet50"] = "resnet18"
    dimensions: Literal[2, 3] = Field(3, description="3: cubes of a volume; 2: its slices.")
    hyper: bool = Field(
        True, description="false: the head has weights of its own, the same for every image."
    )
    width: float = Field(
        1.0, ge=1 / 16, le=2, description="Times the backbone's channels; small ones suit a CPU."
    )
    branch: tuple[Width, Width] = Field(
        (256, 112), description="Channels of the two convolutions of a hyper-network's branch. [P]"
    )
    predictor: tuple[Width, Width] = Field(
        (128, 64), description="Outputs of the head's hidden layers; a number follows. [P]"
    )


class HysnetPatchSection(Section):
    """What of a volume the network sees at a time."""

    sides: tuple[Side, Side, Side] = Field(
        (96, 96, 96),
        description="Of a cube, in voxels (z, y, x). An axis that is longer than the usual volume "
        "is shortened to it, with its step: a stack of 44 slices gets 48. [P]",
    )
    steps: tuple[Step, Step, Step] = Field(
        (48, 48, 48), description="From cube to cube (z, y, x) when a volume is judged."
    )
    slice_px: Side = Field(
        384, description="Side of a slice, with 2 dimensions: padded to it, or resized if larger."
    )
    per_volume: int = Field(9, ge=1, description="Random patches of each volume in an epoch.")
    upper_percentile: float = Field(
        99.9,
        description="Of the foreground, 99, 99.5 or 99.9: it becomes 1, as does what is brighter. "
        "[P]",
    )
    gamma: float = Field(
        1.0,
        gt=0,
        le=2,
        description="Exponent of the scaled intensities; below 1 lifts the air. [P]",
    )

    @field_validator("upper_percentile")
    @classmethod
    def _is_stored(cls, value: float) -> float:
        if value not in STORED_PERCENTILES:
            allowed = ", ".join(f"{one:g}" for one in STORED_PERCENTILES)
            raise ValueError(f"{value:g} is not stored with the images; allowed: {allowed}")
        return value

    @model_validator(mode="after")
    def _without_gaps(self) -> "HysnetPatchSection":
        for axis, side, step in zip("zyx", self.sides, self.steps, strict=True):
            if step > side:
                raise ValueError(
                    f"steps: {step} along {axis} exceeds the cube's side {side}: voxels between "
                    f"two cubes would not be seen; at most {side} is allowed"
                )
        return self


class HysnetTargetSection(Section):
    """The number that is learned of every volume."""

    column: str = Field(
        "body_snr_tissue",
        min_length=1,
        description="A metric of the volumes (docs/tables.md), or a column of `table`.",
    )
    table: Path | None = Field(
        None,
        description="CSV, TSV or Parquet with `series_id` (or `bids_name`, as MRIQC's "
        "group_T1w.tsv has it), where wanted `volume`, and `column`: numbers of your own.",
    )


class HysnetLearningSection(Section):
    """What HyS-Net learns and how. A change retrains and rescores."""

    target: HysnetTargetSection = HysnetTargetSection()
    contrasts: tuple[str, ...] = Field(
        (),
        description="To train on, and to predict of. Without it the cohort must have a single one: "
        "the same number means other things in other anatomies. Those named are learned together.",
    )
    sites: tuple[str, ...] = Field((), description="To train on; none: all.")
    max_series: int = Field(40_000, ge=2, description="At most so many series, drawn by the seed.")
    net: HysnetNetSection = HysnetNetSection()
    patches: HysnetPatchSection = HysnetPatchSection()
    batch: int = Field(8, ge=2, description="Patches a step, over all workers. [P]")
    epochs: float = Field(50, gt=0, description="Each shows `per_volume` patches of every volume.")
    learning_rate: float = Field(1e-4, gt=0, le=10)
    halve_epochs: float = Field(10, gt=0, description="The learning rate is halved after so many.")
    hyper_rate: float = Field(
        10.0, gt=0, le=1000, description="The hyper-network learns so many times as fast. [P]"
    )
    weight_decay: float = Field(0.0, ge=0, le=1)
    held_out: int = Field(
        1000,
        ge=0,
        description="Volumes of validation subjects, and of test subjects, on which the model is "
        "tried in the end, at most.",
    )
    seed: int = Field(0, ge=0, description="Of weights, volumes and places.")

    @property
    def pools_contrasts(self) -> bool:
        """Whether series of several contrasts are learned from where none is named."""
        return False

    @property
    def selection(self) -> "HysnetLearningSection":
        """What names the series that are learned from."""
        return self

    @property
    def identity(self) -> "HysnetLearningSection":
        """What decides what is learned, wherever files lie: the numbers of a table count apart."""
        target = self.target.model_copy(update={"table": None})
        return self.model_copy(update={"target": target})


class HysnetSection(Section):
    """A numeric quality score, learned from a column of numbers (`methods: [hysnet]`)."""

    pretrained: Path | None = Field(
        None,
        description="Folder of a model that another cohort has trained (models/hysnet/<model_id> "
        "in its results): nothing is trained; contrasts that it does not know have no prediction.",
    )
    learning: HysnetLearningSection = HysnetLearningSection()
